"""Round trips that beat light, are negative or no number at all are refused and counted; all others pass."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.estimate.plausible import VACUUM, Refusal, SampleGate, least_rtt_ms, least_rtts_ms, refusal

LATITUDES, LONGITUDES = st.floats(-90, 90), st.floats(-180, 180)
PLACES = st.tuples(LATITUDES, LONGITUDES)


@pytest.mark.parametrize(
    ("lat_b", "lon_b", "expected_ms"),
    [
        pytest.param(0, 90, 99.14, id="a quarter of the globe: 2 x (10,007.5 - 100) km / 199.86 km/ms"),
        pytest.param(0, 180, 199.29, id="half of it: 2 x (20,015.1 - 100) / 199.86"),
        pytest.param(90, 0, 99.14, id="the pole is a quarter away too"),
        pytest.param(0, 0, 0.0, id="the same place"),
        pytest.param(0, 0.8, 0.0, id="89 km are within what a place is off by"),
        pytest.param(math.nan, 0, 0.0, id="nobody knows where"),
    ],
)
def test_least_rtt(lat_b: float, lon_b: float, expected_ms: float) -> None:
    """The least is light in fibre, there and back along the great circle from (0, 0), 100 km forgiven."""
    assert least_rtt_ms(0, 0, lat_b, lon_b) == pytest.approx(expected_ms, abs=0.01)


@given(PLACES, PLACES)
def test_both_directions_take_as_long(here: tuple[float, float], there: tuple[float, float]) -> None:
    """The least is the same there as back, never negative, never more than half the globe's."""
    least_ms = least_rtt_ms(*here, *there)
    assert least_ms == pytest.approx(least_rtt_ms(*there, *here), abs=1e-6)
    assert 0 <= least_ms <= 200


@given(PLACES, PLACES)
def test_vacuum_is_half_as_fast_again(here: tuple[float, float], there: tuple[float, float]) -> None:
    """In vacuum the least is two thirds of that in fibre."""
    assert least_rtt_ms(*here, *there, speed_ratio=VACUUM) == pytest.approx(least_rtt_ms(*here, *there) * 2 / 3)


def test_many_distances_at_once() -> None:
    """1,099.31 km take 2 x 999.31 / 199.86 = 10 ms; where the distance is unknown nothing is ruled out."""
    assert least_rtts_ms(np.array([1099.31, np.nan, 50.0])) == pytest.approx([10.0, 0.0, 0.0], abs=1e-4)


@pytest.mark.parametrize(
    ("sample_ms", "expected"),
    [
        pytest.param(20.0, None, id="just possible"),
        pytest.param(19.999, Refusal.FASTER_THAN_LIGHT, id="just not"),
        pytest.param(0.0, Refusal.FASTER_THAN_LIGHT, id="no time at all"),
        pytest.param(-0.001, Refusal.NEGATIVE, id="back before it left"),
        pytest.param(-math.inf, Refusal.NOT_A_NUMBER, id="minus infinity"),
        pytest.param(math.inf, Refusal.NOT_A_NUMBER, id="infinity"),
        pytest.param(math.nan, Refusal.NOT_A_NUMBER, id="NaN"),
    ],
)
def test_refusal(sample_ms: float, expected: Refusal | None) -> None:
    """Each impossible sample has one reason."""
    assert refusal(sample_ms, 20.0) == expected


def test_where_nothing_is_known_only_nonsense_is_refused() -> None:
    """With a least of 0 any time from 0 on is possible."""
    assert refusal(0.0, 0.0) is None
    assert refusal(-1e-9, 0.0) is Refusal.NEGATIVE


def test_the_gate_counts() -> None:
    """What is refused is counted by reason, also what a prober refused by itself; what passes is not."""
    gate = SampleGate()
    assert [gate.admits(sample_ms, 20.0) for sample_ms in (25.0, 5.0, 6.0, -1.0, math.nan)] == [True, *[False] * 4]
    gate.refuse(Refusal.WRONG_ID, 3)
    assert gate.refused == {
        Refusal.NOT_A_NUMBER: 1,
        Refusal.NEGATIVE: 1,
        Refusal.FASTER_THAN_LIGHT: 2,
        Refusal.WRONG_ID: 3,
    }


@given(st.lists(st.tuples(st.floats(), st.floats(0, 300)), max_size=30))
def test_many_samples_are_judged_as_each_alone(samples: list[tuple[float, float]]) -> None:
    """Arrays and single samples pass, and are counted, alike."""
    together, alone = SampleGate(), SampleGate()
    samples_ms = np.array([sample_ms for sample_ms, _ in samples])
    passed = together.admitted(samples_ms, np.array([least_ms for _, least_ms in samples]))
    assert passed.tolist() == [alone.admits(*sample) for sample in samples]
    assert together.refused == alone.refused
