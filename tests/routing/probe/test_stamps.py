"""The clock of the kernel's stamps: setting it is noticed, its ordinary running is not."""

import pytest

from routing.probe.stamps import StampClock

_MS = 1_000_000


class _Clocks:
    """A wall clock and a monotonic clock that move as told, in ns; each reading takes ``reading_ns``."""

    def __init__(self) -> None:
        self.real_ns, self.monotonic_ns, self.reading_ns = 1_800_000_000_000 * _MS, 0, 0

    def real(self) -> int:
        self._pass(self.reading_ns)
        return self.real_ns

    def monotonic(self) -> int:
        self._pass(self.reading_ns)
        return self.monotonic_ns

    def run(self, ns: int, *, set_by: int = 0) -> None:
        self._pass(ns)
        self.real_ns += set_by

    def _pass(self, ns: int) -> None:
        self.real_ns += ns
        self.monotonic_ns += ns


def _clock() -> tuple[_Clocks, StampClock]:
    clocks = _Clocks()
    return clocks, StampClock(clocks.real, clocks.monotonic)


@pytest.mark.parametrize("set_by_ms", [-3_600_000, -2, 2, 250])
def test_a_set_clock_is_noticed_once(set_by_ms: int) -> None:
    """The step is told exactly, with its sign, and not again."""
    clocks, clock = _clock()
    clocks.run(40 * _MS)
    assert clock.step_ns() == 0
    clocks.run(40 * _MS, set_by=set_by_ms * _MS)
    assert clock.step_ns() == set_by_ms * _MS
    clocks.run(40 * _MS)
    assert clock.step_ns() == 0


def test_small_steps_add_up() -> None:
    """Five steps of 0.3 ms are each too small to tell; once together they pass 1 ms they are told: 1.2 ms."""
    clocks, clock = _clock()
    told = []
    for _ in range(5):
        clocks.run(_MS, set_by=300_000)
        told.append(clock.step_ns())
    assert told == [0, 0, 0, 1_200_000, 0]


def test_a_pause_between_the_readings_is_no_step() -> None:
    """When the process is held up for 5 ms between reading one clock and the other, nothing is told."""
    clocks, clock = _clock()
    clocks.reading_ns = 5 * _MS
    assert clock.step_ns() == 0
    clocks.reading_ns = 0
    assert clock.step_ns() == 0
