"""The passages that are open in this process: each is looked at again and again, and cut at once when it is over.

What decides is in the database alone: whoever closes a passage, revokes a token or takes a grant back only writes, and
wakes this. Without a wake it is seen within ``review_s``. A passage lives no longer than this process.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from catalog.errors import WrongState
from catalog.model.ids import PassageId, PlatformId
from catalog.model.passage import Passage, PassageKind
from catalog.passages import CLOSED, Usage, count, end, end_all, why_over
from catalog.ports import Clock, NativePassage
from catalog.store.database import Database, Tx
from gateway.connections.watched import REVIEW_S, GrantedCheck, Watched, refusal

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False, kw_only=True)
class OpenPassage(Watched):
    """One passage that is open here. ``native`` is the platform's own API as an ``http`` passage's holder may use it.

    ``address`` is the passage's URL as its holder knows it.
    """

    id: PassageId
    platform: PlatformId
    kind: PassageKind
    row: Passage  # as it was opened
    native: NativePassage | None = None
    address: str = ""
    running: set[Watched] = field(default_factory=set)
    _seen: Usage = field(default_factory=Usage)

    def end(self, reason: str) -> None:
        """End the passage and every call that runs in it."""
        super(OpenPassage, self).end(reason)
        for each in tuple(self.running):
            each.end(reason)

    def count(self, *, calls: int = 0, bytes_in: int = 0, bytes_out: int = 0) -> None:
        """Count what went through; written to the row with the next review, and at the end."""
        seen = self._seen
        self._seen = Usage(
            calls=seen.calls + calls, bytes_in=seen.bytes_in + bytes_in, bytes_out=seen.bytes_out + bytes_out
        )

    def taken(self) -> Usage:
        """Return what was counted since the last time, and begin anew."""
        seen, self._seen = self._seen, Usage()
        return seen

    @contextmanager
    def call(self, check: GrantedCheck) -> Iterator[Watched]:
        """Watch one call in the passage: it ends with the passage, or alone when ``check`` does not hold any more."""
        self.refuse_ended()
        watched = Watched(check)
        self.running.add(watched)
        try:
            yield watched
        finally:
            self.running.discard(watched)


class OpenPassages:
    """Every passage of this process, by id."""

    def __init__(self, database: Database, clock: Clock, *, review_s: float = REVIEW_S) -> None:
        """Take where passages are recorded, and how long a change that nobody announced may go unseen."""
        self._database = database
        self._clock = clock
        self._review_s = review_s
        self._open: dict[PassageId, OpenPassage] = {}
        self._woken = asyncio.Event()
        self._watching = False

    def __len__(self) -> int:
        return len(self._open)

    def get(self, passage_id: str) -> OpenPassage | None:
        """Return the passage, None when it is not open here."""
        return self._open.get(PassageId(passage_id))

    def admit(
        self, row: Passage, check: GrantedCheck, *, native: NativePassage | None = None, address: str = ""
    ) -> OpenPassage:
        """Hold a passage that outlives the request that opened it, until a review finds it over. May be repeated.

        Raises WrongState while nobody looks: what could not be cut must not begin.
        """
        if not self._watching:
            raise WrongState("passages are not watched over by this process now", field="background.disabled")
        held = self._open.get(row.id)
        if held is None:
            held = self._open[row.id] = OpenPassage(
                check, id=row.id, platform=row.platform_id, kind=row.kind, row=row, native=native, address=address
            )
            self._woken.set()
            log.info("passage open", extra={"passage": row.id, "platform": row.platform_id, "kind": row.kind.value})
        return held

    @asynccontextmanager
    async def opened(self, row: Passage, check: GrantedCheck) -> AsyncIterator[OpenPassage]:
        """Hold a passage as long as the block runs, and end its row then.

        Its ``ended`` is set when it was ended from elsewhere; ``while_allowed`` is how the block is cut by that.
        Raises WrongState as ``admit`` does.
        """
        passage = self.admit(row, check)
        try:
            yield passage
        finally:
            await self._end({passage: passage.reason or CLOSED})

    async def end_for_platform(self, platform: PlatformId, reason: str) -> int:
        """End every passage into ``platform`` now, and return how many there were."""
        ending = {each: reason for each in self._open.values() if each.platform == platform}
        await self._end(ending)
        return len(ending)

    def wake(self) -> None:
        """Look at every passage now: something was written that may end one."""
        self._woken.set()

    async def recover(self) -> None:
        """End what an earlier process left open. To be called before anything is opened."""
        now_s = self._clock.now_s()
        await self._database.write(lambda tx: end_all(tx, "the gateway was restarted", now_s))

    async def run(self) -> None:
        """Look at every passage when woken, and every ``review_s``, until cancelled; then end them all.

        Also when it fails: what cannot be looked at may not go on.
        """
        self._watching = True
        try:
            while True:
                self._woken.clear()
                await self.review()
                try:
                    async with asyncio.timeout(self._review_s if self._open else None):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            self._watching = False
            await self._end(dict.fromkeys(self._open.values(), "the gateway is going down"))

    async def review(self) -> None:
        """End what is over or not granted any more, and write down what was counted."""
        held = tuple(self._open.values())
        if not held:
            return
        now_s = self._clock.now_s()
        verdicts = await self._database.read(lambda tx: _verdicts(tx, held, now_s))
        for watched, reason in verdicts.items():
            watched.end(reason)
        await self._end({each: verdicts[each] for each in held if each in verdicts})
        await self._write_counts(held)

    async def _end(self, ending: dict[OpenPassage, str]) -> None:
        if not ending:
            return
        for passage, reason in ending.items():
            passage.end(reason)
            if self._open.pop(passage.id, None) is not None:
                log.info("passage ended", extra={"passage": passage.id, "reason": passage.reason})
        now_s = self._clock.now_s()
        seen = {each: each.taken() for each in ending}

        def work(tx: Tx) -> None:
            for passage, usage in seen.items():
                end(tx, passage.id, passage.reason, now_s)
                count(tx, passage.id, usage, now_s)

        await self._database.write(work)

    async def _write_counts(self, held: tuple[OpenPassage, ...]) -> None:
        counted = {each.id: seen for each in held if (seen := each.taken()) != Usage()}
        if counted:
            now_s = self._clock.now_s()
            await self._database.write(lambda tx: _count(tx, counted, now_s))


def _count(tx: Tx, counted: dict[PassageId, Usage], now_s: float) -> None:
    for passage, seen in counted.items():
        count(tx, passage, seen, now_s)


def _verdicts(tx: Tx, held: tuple[OpenPassage, ...], now_s: float) -> dict[Watched, str]:
    """Return why each passage or running call that may not go on may not; those that may are absent."""
    found: dict[Watched, str] = {}
    for passage in held:
        reason = why_over(tx, passage.id, now_s) or refusal(tx, passage, now_s)
        if reason is not None:
            found[passage] = reason
        else:
            refusals = ((call, refusal(tx, call, now_s)) for call in tuple(passage.running))
            found |= {call: why for call, why in refusals if why is not None}
    return found
