"""How many calls a minute a grant admits: a token bucket per grant, for drivers and native sessions alike.

In memory: a bucket that a restart filled anew is worth one tenth of a minute's calls.
"""

import math
import threading
from dataclasses import dataclass

from catalog.errors import CallsExhausted
from catalog.model.consent import Grant
from catalog.model.ids import GrantId

MINUTE_S = 60.0
# A tenth of a minute's calls may come at once, but no fewer than publishing makes in a row; the rest comes evenly, so
# that no minute whatever sees more than all.
_PART_AT_ONCE = 10
_LEAST_AT_ONCE = 5


@dataclass(slots=True)
class _Bucket:
    calls: float
    at_s: float


class CallRates:
    """The buckets of this process. Thread-safe."""

    def __init__(self) -> None:
        """Start with full buckets."""
        self._buckets: dict[GrantId, _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, grant: Grant | None, now_s: float) -> None:
        """Take one call of ``grant``; None, and one that says nothing of calls, admit any number.

        Raises CallsExhausted, which says when there is one again.
        """
        if grant is None or grant.calls_per_minute is None:
            return
        most = max(min(grant.calls_per_minute, _LEAST_AT_ONCE), grant.calls_per_minute // _PART_AT_ONCE)
        # One more than what is left of the minute: the last of them is ready when the minute is over, and not before.
        per_s = (grant.calls_per_minute - most + 1) / MINUTE_S
        with self._lock:
            bucket = self._buckets.setdefault(grant.id, _Bucket(most, now_s))
            bucket.calls = min(most, bucket.calls + max(0.0, now_s - bucket.at_s) * per_s)
            bucket.at_s = now_s
            if bucket.calls >= 1:
                bucket.calls -= 1
                return
            again_s = math.ceil((1 - bucket.calls) / per_s)
        raise CallsExhausted(
            f"the platform grants {grant.calls_per_minute} calls of '{grant.capability}' a minute", again_s=again_s
        )
