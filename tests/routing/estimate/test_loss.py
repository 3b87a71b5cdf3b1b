"""Bounds of a loss ratio hold what they promise, widen with age and burstiness, and take counts that are not whole."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.estimate.loss import RUN_LIMITS, UNKNOWN_RUN_LIMIT, bounds, design_effect, faded, run_limit


def at_most(lost: int, sent: int, loss_ratio: float) -> float:
    """Return the chance that at most ``lost`` of ``sent`` packets are lost."""
    return sum(math.comb(sent, each) * loss_ratio**each * (1 - loss_ratio) ** (sent - each) for each in range(lost + 1))


@pytest.mark.parametrize(
    ("lost", "sent", "low", "high"),
    [
        pytest.param(0, 0, 0.0, 1.0, id="nothing sent, all is possible"),
        pytest.param(0, 100, 0.0, 0.0295, id="0.9705 ** 100 = 5 %"),
        pytest.param(0, 300, 0.0, 0.0099, id="0.9901 ** 300 = 5 %"),
        pytest.param(5, 5, 0.5493, 1.0, id="0.5493 ** 5 = 5 %"),
        pytest.param(1, 2, 0.0253, 0.9747, id="1 - 0.9747 ** 2 = 5 %, and the same from above"),
    ],
)
def test_bounds(lost: int, sent: int, low: float, high: float) -> None:
    """Each bound is the ratio at which what was seen, or anything more extreme, has a chance of one in twenty."""
    assert [float(bound) for bound in bounds(lost, sent)] == pytest.approx([low, high], abs=5e-5)


@given(sent=st.integers(1, 60), share=st.floats(0, 1), confidence=st.floats(0.5, 0.999))
def test_a_bound_is_wrong_as_often_as_it_says(sent: int, share: float, confidence: float) -> None:
    """Were the ratio at the upper bound, so few losses would have a chance of 1 - confidence; likewise below."""
    lost = round(share * sent)
    low, high = (float(bound) for bound in bounds(lost, sent, confidence))
    if lost < sent:
        assert at_most(lost, sent, high) == pytest.approx(1 - confidence, abs=1e-6)
    if lost > 0:
        assert 1 - at_most(lost - 1, sent, low) == pytest.approx(1 - confidence, abs=1e-6)


@given(
    sent=st.floats(0.1, 10_000), share=st.floats(0, 1), ages_s=st.lists(st.floats(0, 10_000), min_size=2, max_size=2)
)
def test_what_is_older_is_less_certain(sent: float, share: float, ages_s: list[float]) -> None:
    """Faded counts never allow less than fresher ones did."""
    young_s, old_s = sorted(ages_s)
    young = bounds(faded(share * sent, young_s, 300), faded(sent, young_s, 300))
    old = bounds(faded(share * sent, old_s, 300), faded(sent, old_s, 300))
    assert old[0] <= young[0] + 1e-9
    assert old[1] >= young[1] - 1e-9


def test_certainty_fades_to_ignorance() -> None:
    """300 packets without a loss say 150 after one half-life and nothing after a hundred."""
    assert float(faded(300, 60, 60)) == 150
    assert float(faded(300, -5, 60)) == 300  # a clock that went back makes nothing younger than new
    low, high = bounds(faded(3, 6000, 60), faded(300, 6000, 60))
    assert float(low) == pytest.approx(0, abs=1e-9)
    assert float(high) == pytest.approx(1, abs=1e-9)


def test_many_links_at_once() -> None:
    """Arrays give what their elements give, one by one."""
    lost, sent = np.array([0.0, 0.4, 7.0]), np.array([12.5, 80.1, 7.0])
    low, high = bounds(lost, sent)
    alone = [bounds(*counts) for counts in zip(lost, sent, strict=True)]
    assert low.tolist() == [float(bound) for bound, _ in alone]
    assert high.tolist() == [float(bound) for _, bound in alone]


def test_more_lost_than_sent_by_rounding() -> None:
    """Counts that faded apart by a rounding error are as many lost as sent."""
    low, high = bounds(2.0000000001, 2.0)
    assert float(low) == pytest.approx(0.05**0.5)
    assert float(high) == 1.0


def test_runs_say_less_than_their_packets() -> None:
    """With losses in runs of ten, 1,900 packets say what 100 independent ones do."""
    assert float(design_effect(10)) == 19
    low, high = bounds(38, 1900, design_effect=design_effect(10))
    plain_low, plain_high = bounds(2, 100)
    assert (float(low), float(high)) == pytest.approx((float(plain_low), float(plain_high)))


@pytest.mark.parametrize(
    ("mean_run", "loss_ratio"), [(1.0, 0.0), (1 / 0.9, 0.1), (2.0, 0.0), (4.0, 0.05), (10.0, 0.01)]
)
def test_design_effect_is_how_far_a_chain_spreads(mean_run: float, loss_ratio: float) -> None:
    """It is 1 + 2 x the sum of a chain's correlations, which shrink by 1 - (chance to start) - (chance to end)."""
    end = 1 / mean_run
    start = end * loss_ratio / (1 - loss_ratio)
    correlations = sum((1 - start - end) ** distance for distance in range(1, 2000))
    assert float(design_effect(mean_run, loss_ratio)) == pytest.approx(1 + 2 * correlations)


@pytest.mark.parametrize(
    ("lost", "bursts", "singles", "expected"),
    [
        pytest.param(0, 0, 0, 10.0, id="nothing seen"),
        pytest.param(5, 5, 5, 10.0, id="five single ones leave 1 / 0.05 ** (1 / 5) = 1.8, and nothing else is known"),
        pytest.param(20, 20, 20, 1.25, id="twenty leave 1 / 0.05 ** (1 / 20) = 1.16"),
        pytest.param(1000, 100, 10, 12.5, id="90 ends in 900 leave a mean of 1 / 0.084 = 11.9"),
        pytest.param(2, 1, 0, 10.0, id="one of two tells little"),
        pytest.param(30, 1, 0, 63.0, id="one of thirty: twice its 29 further losses"),
        pytest.param(1000, 2, 0, 100.0, id="there is a longest step"),
    ],
)
def test_run_limit(lost: int, bursts: int, singles: int, expected: float) -> None:
    """The limit is the step above the longest mean that is believable, and ten while little is known."""
    assert run_limit(lost, bursts, singles) == expected


def test_single_losses_do_not_hide_bursts() -> None:
    """Of 200 losses 100 are single, a mean of 1.8; ten bursts of ten all the same allow one of 1 / 0.0615 = 16.3.

    Bursts that go on ended 10 times after 90 losses: 0.0615 at least.
    """
    assert run_limit(200, 110, 100) == 20.0


@given(lost=st.floats(0, 1000), share=st.floats(0.01, 1), single=st.floats(0, 1))
def test_any_counts_have_a_limit(lost: float, share: float, single: float) -> None:
    """Whatever was counted, faded or not, the answer is one of the steps."""
    bursts = lost * share
    assert run_limit(lost, bursts, bursts * single) in RUN_LIMITS
    assert UNKNOWN_RUN_LIMIT in RUN_LIMITS
