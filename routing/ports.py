"""What routing needs from outside, each as a small protocol; ``gateway`` implements them."""

from typing import Protocol


class Clock(Protocol):
    """The only source of wall time."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch (UTC)."""
        ...
