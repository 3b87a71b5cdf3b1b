"""Calls in ``http`` passages: the holder's session becomes the platform's own, for what is granted and no more (S1 8).

Each call is looked at, asked of the grants, counted in the passage and in the three sessions, and written down, in one
transaction and before anything is sent; and it is cut at once when its grant, or the passage, ends.
"""

import hmac
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from catalog.clouds import AccountOf, CloudAccount
from catalog.connections import count_call
from catalog.consent import standing
from catalog.errors import CallsExhausted, CatalogError, Denied, NotFound, TooManyCalls
from catalog.model.passage import Passage, PassageKind
from catalog.model.platform import Platform
from catalog.passages import record_answer, record_call, require_any_grant, require_covered, why_over
from catalog.platforms import cloud_account
from catalog.ports import Asked, Carrier, Clock, HttpAnswer, NativePassage, PassageCall, PassageTerms
from catalog.secrets import Sealer, Secret
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id, find
from gateway.connections.auditing import may_change, note_passed
from gateway.connections.call_rates import CallRates
from gateway.connections.passages import OpenPassage, OpenPassages
from gateway.connections.watched import has_ended
from gateway.errors import Unauthenticated

# What the holder is told of a call that is not covered, and of one too many in this minute.
_DENIED_STATUS = 403
_EXHAUSTED_STATUS = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class PassingPolicy:
    """How long one call may take and how long its answer may be, and how many may run at once in one passage."""

    call_timeout_s: float = 60.0
    answer_limit_bytes: int = 64 * 1024 * 1024
    calls_limit: int = 32


class OpenNative(Protocol):
    """How a platform's own API is passed into."""

    def __call__(
        self, provider: str, terms: PassageTerms, account: AccountOf, carrier: Carrier, clock: Clock
    ) -> NativePassage:
        """Return the passage into ``provider``'s API; nothing is sent. Raises InvalidValue when it has none."""
        ...


class Passing:
    """The ``http`` passages of this process, from opening to the last call."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        sealer: Sealer,
        carrier: Carrier,
        passages: OpenPassages,
        open_native: OpenNative,
        policy: PassingPolicy | None = None,
        rates: CallRates | None = None,
    ) -> None:
        """Take what calls need. Passages' secrets are derived from a key that only this process has; none is kept."""
        self._database = database
        self._clock = clock
        self._sealer = sealer
        self._carrier = carrier
        self._passages = passages
        self._open_native = open_native
        self._policy = policy or PassingPolicy()
        self._rates = CallRates() if rates is None else rates
        self._key = secrets.token_bytes(32)
        self._running: Counter[str] = Counter()

    def environment(self, row: Passage, platform: Platform, address: str) -> Mapping[str, str]:
        """Return what the platform's own clients need to know of the passage; ``address`` is its URL as they know it.

        Raises InvalidValue when the platform's provider has no API to pass into. Thread-safe.
        """
        return self._native(row, platform, address).environment()

    async def admit(self, passage_id: str, address: str) -> None:
        """Let calls into a passage whose row is there. Raises NotFound, WrongState."""
        row, platform = await self._database.read(lambda tx: _rows(tx, passage_id))
        native = self._native(row, platform, address)
        self._passages.admit(
            row, lambda tx, now_s: require_any_grant(tx, row.platform_id, now_s), native=native, address=address
        )

    @asynccontextmanager
    async def answer(self, passage_id: str, call: PassageCall) -> AsyncIterator[HttpAnswer]:
        """Answer one call; its address is known here. Leaving the block ends the call.

        Entering raises NotFound for no such passage, Unauthenticated for a call that is not its holder's, PassageEnded,
        TooManyCalls, Denied for what no grant covers, and CloudError. In the block PassageEnded may come any moment.
        """
        held = self._passages.get(passage_id)
        if held is None or held.native is None:
            raise await self._why_not_open(passage_id, call)
        call = replace(call, address=held.address)
        _prove(held.native, call)
        with self._counted(held):
            asked, kept = await self._let_pass(held, held.native, call)
            with held.call(lambda tx, now_s: require_covered(tx, held.platform, asked, now_s)) as watched:
                async with watched.while_allowed(), held.native.send(call) as answer:
                    await self._note_answer(kept, answer.status)
                    yield replace(answer, body=_counting(answer.body, held))

    async def refusal(self, passage_id: str, call: PassageCall, *, status: int, message: str) -> HttpAnswer | None:
        """Return ``message`` in the words of the passage's platform; None when there is no such passage."""
        held = self._passages.get(passage_id)
        native = held.native if held is not None else None
        if native is None:
            try:
                native = self._native(*await self._database.read(lambda tx: _rows(tx, passage_id)), address="")
            except NotFound:
                return None
        return native.refusal(call, status=status, message=message)

    def _native(self, row: Passage, platform: Platform, address: str) -> NativePassage:
        async def account() -> CloudAccount:
            return await self._database.read(lambda tx: cloud_account(tx, platform.id, self._sealer))

        terms = PassageTerms(
            passage=row.id,
            address=address,
            secret=Secret(hmac.digest(self._key, row.id.encode(), "sha256").hex()),
            region=platform.region,
            expires_at_s=row.expires_at_s,
            call_timeout_s=self._policy.call_timeout_s,
            answer_limit_bytes=self._policy.answer_limit_bytes,
        )
        return self._open_native(platform.provider, terms, account, self._carrier, self._clock)

    async def _why_not_open(self, passage_id: str, call: PassageCall) -> Exception:
        """Return why nothing can be called there; the reason of its end is told to its holder alone."""
        row, platform = await self._database.read(lambda tx: _rows(tx, passage_id))
        try:
            _prove(self._native(row, platform, call.address), call)
        except Unauthenticated as error:
            return error
        return has_ended(row.end_reason or "this process does not hold it")

    @contextmanager
    def _counted(self, held: OpenPassage) -> Iterator[None]:
        if self._running[held.id] >= self._policy.calls_limit:
            raise TooManyCalls(f"{self._policy.calls_limit} calls run in this passage already", field="passage")
        self._running[held.id] += 1
        try:
            yield
        finally:
            self._running[held.id] -= 1
            if not self._running[held.id]:
                del self._running[held.id]

    async def _let_pass(self, held: OpenPassage, native: NativePassage, call: PassageCall) -> tuple[Asked, int]:
        """Return what ``call`` is and the id under which it is kept. Raises Denied, PassageEnded; both are kept too."""
        now_s = self._clock.now_s()
        asked, denied = _looked_at(native, call)

        def work(tx: Tx) -> tuple[int, Exception | None]:
            if reason := why_over(tx, held.id, now_s):
                return 0, has_ended(reason)
            refused = denied or self._uncovered(tx, held, asked, now_s)
            needed = f"{asked.capability}:{asked.verb}" if asked.capability else ""
            exhausted = isinstance(refused, CallsExhausted)
            status = None if refused is None else _EXHAUSTED_STATUS if exhausted else _DENIED_STATUS
            kept = record_call(tx, held.id, asked.what, needed, now_s, refused=refused is not None, status=status)
            if refused is not None or may_change(call, asked):
                # In its own words and not by the call's row: of those, only a passage's newest thousand are kept.
                told = {"what": asked.what, "needed": needed}
                note_passed(tx, held.row, "passage_call", told, now_s, refused=refused)
            if refused is None:
                count_call(tx, held.row.connection_id)
            assert kept.id is not None
            return kept.id, refused

        held.count(calls=1, bytes_in=len(call.body))
        kept, refused = await self._database.write(work)
        if refused is not None:
            raise refused
        return asked, kept

    def _uncovered(self, tx: Tx, held: OpenPassage, asked: Asked, now_s: float) -> CatalogError | None:
        try:
            require_covered(tx, held.platform, asked, now_s)
            if asked.capability and not asked.is_local:
                self._rates.take(standing(tx, held.platform, asked.capability, now_s), now_s)
        except (Denied, CallsExhausted) as error:
            return error
        return None

    async def _note_answer(self, kept: int, status: int) -> None:
        now_s = self._clock.now_s()
        await self._database.write(lambda tx: record_answer(tx, kept, status, now_s))


def _rows(tx: Tx, passage_id: str) -> tuple[Passage, Platform]:
    row = find(tx, Passage, passage_id)
    if row is None or row.kind is not PassageKind.HTTP:
        raise NotFound("there is no such passage")
    return row, by_id(tx, Platform, row.platform_id)


def _prove(native: NativePassage, call: PassageCall) -> None:
    if not native.is_from_holder(call):
        raise Unauthenticated("this call does not prove itself by the passage's own credentials")


def _looked_at(native: NativePassage, call: PassageCall) -> tuple[Asked, Denied | None]:
    try:
        return native.asked(call), None
    except Denied as error:
        return Asked(what=f"{call.method} {call.path}"), error


async def _counting(body: AsyncIterator[bytes], held: OpenPassage) -> AsyncIterator[bytes]:
    async for piece in body:
        held.count(bytes_out=len(piece))
        yield piece
