"""Something that goes on only while the grants cover it: looked at again and again, and cut the moment they do not.

Who looks, and how often, is another's business: ``passages`` for passages and the calls in them, ``running_calls`` for
the calls of drivers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from catalog.errors import Denied, PassageEnded
from catalog.store.database import Tx

# Half of the second within which a revocation promises to be felt; the other half is for the disk and the network.
REVIEW_S = 0.5
# Raises Denied when the grants do not cover it (any more). A pure read of the transaction's snapshot.
GrantedCheck = Callable[[Tx, float], None]


def has_ended(reason: str) -> PassageEnded:
    """Return what is raised where a passage that has ended is used."""
    return PassageEnded(f"the passage has ended: {reason}", field="passage", fix="open another one")


@dataclass(slots=True, eq=False)
class Watched:
    """Something that goes on only while its check holds. ``ended`` is set once, then ``reason`` says why."""

    check: GrantedCheck
    error: Callable[[str], Exception] = has_ended  # of the reason: what is raised where it was cut
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""
    _cuts: set[asyncio.Timeout] = field(default_factory=set)

    def end(self, reason: str) -> None:
        """Set ``ended`` and cut what runs in ``while_allowed``; harmless the second time."""
        if self.ended.is_set():
            return
        self.reason = reason
        self.ended.set()
        for cut in self._cuts:
            cut.reschedule(0)

    @asynccontextmanager
    async def while_allowed(self) -> AsyncIterator[None]:
        """Run the block; it is cancelled, and ``error`` raised in its place, the moment this ends."""
        self.refuse_ended()
        cut = asyncio.timeout(None)
        try:
            async with cut:
                self._cuts.add(cut)
                try:
                    yield
                finally:
                    self._cuts.discard(cut)
        except TimeoutError:
            if cut.expired():
                self.refuse_ended()
            raise
        # It ended while the block was on its last step, too late to cancel it.
        self.refuse_ended()

    def refuse_ended(self) -> None:
        """Raise ``error`` when this has ended."""
        if self.ended.is_set():
            raise self.error(self.reason)


def refusal(tx: Tx, watched: Watched, now_s: float) -> str | None:
    """Return why ``watched`` may not go on, None when its check holds."""
    try:
        watched.check(tx, now_s)
    except Denied as error:
        return str(error)
    return None
