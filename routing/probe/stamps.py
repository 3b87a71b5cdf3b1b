"""Take durations from the clock by which the kernel stamps packets, which somebody may set meanwhile.

The kernel stamps a packet as it arrives (SO_TIMESTAMPNS), long before a busy event loop reads it. It
stamps by CLOCK_REALTIME, so the time of sending is read from that clock too; a difference of the two
is a duration as long as nobody sets the clock in between, and ``StampClock`` notices when somebody does.
"""

import time
from collections.abc import Callable

# Both clocks are slewed alike, so they part only when CLOCK_REALTIME is set.
_STEP_NS = 1_000_000
# A pause between the readings of the two clocks would look like a step; readings further apart say nothing.
_TOGETHER_NS = 100_000


def real_ns() -> int:
    """Return CLOCK_REALTIME in nanoseconds: the clock of the kernel's stamps, for durations only."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


class StampClock:
    """Notices when CLOCK_REALTIME is set while durations are being taken from it."""

    def __init__(self, real: Callable[[], int] = real_ns, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        self._real, self._monotonic = real, monotonic
        self._apart_ns = real() - monotonic()

    def step_ns(self) -> int:
        """Return by how much the clock was set forward since the last call; 0 when it was not, negative: back."""
        before_ns = self._monotonic()
        real_now_ns = self._real()
        if self._monotonic() - before_ns > _TOGETHER_NS:
            return 0
        apart_ns = real_now_ns - before_ns
        step_ns = apart_ns - self._apart_ns
        # Small differences are not taken over, or many small steps would go unnoticed.
        if abs(step_ns) < _STEP_NS:
            return 0
        self._apart_ns = apart_ns
        return step_ns
