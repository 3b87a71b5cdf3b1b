"""Pace packets: how many may leave now, so that the rate holds over any stretch of time. Pure: no clock of its own.

The generic cell rate algorithm (ITU-T I.371): each packet has its place on a schedule. Who comes a little late finds
the places that have passed still open, so a coarse timer does not slow the rate down; who comes very late
does not, so a process that was held up does not make good for it with a burst.
"""

import math

# Whoever wakes every 3 ms, and late by one when all is well, loses nothing; what is more than that is a choice.
_LATENESS_S = 0.006


class Pacer:
    """Permits ``rate_pps`` packets a second, evenly, and after a pause at most what ``lateness_s`` holds, plus one."""

    def __init__(self, rate_pps: float, *, lateness_s: float = _LATENESS_S) -> None:
        if not (math.isfinite(rate_pps) and rate_pps > 0):
            raise ValueError(f"a rate is a finite number of packets a second above 0, not {rate_pps!r}")
        self._gap_s = 1 / rate_pps
        self._lateness_s = lateness_s
        self._next_s = -math.inf

    @property
    def next_s(self) -> float:
        """When the next packet may leave, on the caller's clock; it may lie in the past."""
        return self._next_s

    def take(self, now_s: float) -> bool:
        """Return whether a packet may leave now; if so, its place on the schedule is used up."""
        place_s = max(self._next_s, now_s - self._lateness_s)
        if now_s < place_s:
            return False
        self._next_s = place_s + self._gap_s
        return True
