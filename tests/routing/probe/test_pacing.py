"""The pacer holds its rate over any stretch of time: a coarse timer costs nothing, a pause makes no burst."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.probe.pacing import Pacer

_LATENESS_S = 0.006


def _taken(pacer: Pacer, now_s: float) -> int:
    """Return how many packets may leave at ``now_s``."""
    count = 0
    while pacer.take(now_s):
        count += 1
    return count


def test_a_coarse_timer_does_not_slow_it_down() -> None:
    """Woken every 3 ms, 1,000 packets/s are 3 a wake-up: the first plus 3 in each of 1,000 wake-ups after it, 3,001."""
    pacer = Pacer(1000)
    assert _taken(pacer, 100.0) >= 1
    # The first call may also use what a pause before it left open, at most lateness x rate.
    count = sum(_taken(pacer, 100.0 + 0.003 * turn) for turn in range(1, 1001))
    assert abs(count - 3000) <= 1


@pytest.mark.parametrize("rate_pps", [1.0, 100.0, 5000.0])
def test_a_pause_is_no_reason_for_a_burst(rate_pps: float) -> None:
    """After ten seconds of silence, as many leave at once as 6 ms hold, plus one: 1, 1 and 31."""
    pacer = Pacer(rate_pps, lateness_s=_LATENESS_S)
    _taken(pacer, 50.0)
    assert _taken(pacer, 60.0) == {1.0: 1, 100.0: 1, 5000.0: 31}[rate_pps]


@given(
    rate_pps=st.floats(1, 20_000),
    waits_s=st.lists(st.floats(0, 0.05), min_size=1, max_size=60),
)
def test_no_stretch_of_time_holds_more_than_its_share(rate_pps: float, waits_s: list[float]) -> None:
    """Between any two wake-ups, both counted, at most rate x (time + lateness) + 1 packets leave."""
    pacer = Pacer(rate_pps, lateness_s=_LATENESS_S)
    now_s, sends = 1000.0, []
    for wait_s in waits_s:
        now_s += wait_s
        sends.append((now_s, _taken(pacer, now_s)))
    for place, (start_s, _) in enumerate(sends):
        total = 0
        for end_s, count in sends[place:]:
            total += count
            # Clock values near 1,000 s have a grain of 1e-13 s.
            assert total <= rate_pps * (end_s - start_s + _LATENESS_S) + 1 + 1e-6


@given(rate_pps=st.floats(10, 20_000), late_s=st.lists(st.floats(0, 0.005), min_size=1, max_size=80))
def test_late_wake_ups_leave_no_drift(rate_pps: float, late_s: list[float]) -> None:
    """Whoever takes each packet at most 5 ms after ``next_s`` ends where the schedule ends: start + n / rate."""
    pacer = Pacer(rate_pps, lateness_s=_LATENESS_S)
    assert pacer.take(10.0)
    begin_s = pacer.next_s
    now_s = 10.0
    for late in late_s:
        now_s = max(now_s, pacer.next_s + late)
        assert pacer.take(now_s)
    assert math.isclose(pacer.next_s, begin_s + len(late_s) / rate_pps, abs_tol=1e-9)


@pytest.mark.parametrize("rate_pps", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_rate_is_refused(rate_pps: float) -> None:
    """Zero, negative and unbounded rates are mistakes."""
    with pytest.raises(ValueError, match="rate"):
        Pacer(rate_pps)
