"""The only reader of wall time; everything else is given a Clock."""

import time


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch (UTC)."""
        return time.time()  # noqa: TID251 the one place where wall time is read
