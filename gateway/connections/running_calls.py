"""The calls of drivers that run in this process: each loses its connection the moment no grant covers it any more.

What it did at its cloud by then is *unknown*: it ends in CloudTimedOut, never in a refusal.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from catalog.errors import CloudTimedOut
from catalog.store.database import Tx
from gateway.connections.watched import GrantedCheck, Watched, refusal


class RunningCalls:
    """Every driver call that runs now. Nothing is cut unless somebody reviews; see ``enforcement``."""

    def __init__(self) -> None:
        """Start with none."""
        self._running: set[Watched] = set()

    def __len__(self) -> int:
        return len(self._running)

    @contextmanager
    def watched(self, check: GrantedCheck) -> Iterator[Watched]:
        """Watch one call while the block lasts; from the block's beginning on a review may end it."""
        call = Watched(check, _unknown)
        self._running.add(call)
        try:
            yield call
        finally:
            self._running.discard(call)

    def verdicts(self, tx: Tx, now_s: float) -> dict[Watched, str]:
        """Return why each call that may not go on may not. A pure read, in any thread."""
        reasons = ((call, refusal(tx, call, now_s)) for call in tuple(self._running))
        return {call: reason for call, reason in reasons if reason is not None}


def _unknown(reason: str) -> CloudTimedOut:
    return CloudTimedOut(f"the call was cut off, and its outcome is not known: {reason}", field="capability")
