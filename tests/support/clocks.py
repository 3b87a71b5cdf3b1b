"""A clock that stands still until a test moves it."""


class ManualClock:
    """Wall time as the test says; begins at a round moment so that numbers can be checked by eye."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        """Return seconds since the Unix epoch, as last set."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now_s += seconds
