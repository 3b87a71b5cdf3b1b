"""Pauses that grow while something keeps failing, kept per key in memory: a restart tries everything anew.

No I/O and no clock.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True, kw_only=True)
class Backoff(Generic[K]):
    """After the n-th failure in a row a key is due ``first_s`` * 2^(n-1) later, at most ``longest_s``."""

    first_s: float = 10.0
    longest_s: float = 3600.0
    _failures: dict[K, tuple[int, float]] = field(default_factory=dict)  # key -> failures in a row, the last one's time

    def is_due(self, key: K, now_s: float) -> bool:
        """Tell whether ``key`` may be tried; one that never failed always may."""
        failures, at_s = self._failures.get(key, (0, 0.0))
        return not failures or now_s >= at_s + min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))

    def failures(self, key: K) -> int:
        """Return how often ``key`` has failed in a row."""
        return self._failures.get(key, (0, 0.0))[0]

    def failed(self, key: K, now_s: float) -> None:
        """Note one more failure."""
        failures, _ = self._failures.get(key, (0, 0.0))
        self._failures[key] = (failures + 1, now_s)

    def cleared(self, key: K) -> None:
        """Forget the failures; harmless when there are none."""
        self._failures.pop(key, None)
