"""What the grant of one capability at one platform, or the wind-down that follows it, allows of each call there.

While a grant stands, its verbs say. It may leave things behind that we made under it: those, and no others, may be
looked for, read and destroyed after its end, or they would run, and cost their owner money, for ever. The drivers of
machines and of assets make each of their calls through here, so that which check applies is decided once.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from catalog import imported, machines
from catalog.assets import asking
from catalog.consent import allowed, standing
from catalog.errors import CloudRefused, Denied
from catalog.messages.contracts import TAG_ASSET, TAG_MACHINE
from catalog.messages.handshake import Capability
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId
from catalog.store.database import Tx
from catalog.winding_down import session_of
from gateway.connections.left import DESTROY, Left
from gateway.connections.watched import GrantedCheck

if TYPE_CHECKING:
    from gateway.connections.clouds import RoutedClouds

T = TypeVar("T")


class _Seen(Protocol):
    """A machine or asset as its cloud reports it."""

    @property
    def tags(self) -> Mapping[str, str]: ...

    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=_Seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The calls that have to do with one kind of thing (``thing``, in words) that ``made_by`` of a capability makes."""

    clouds: "RoutedClouds"
    platform: PlatformId
    capability: Capability
    thing: str
    made_by: str = "create"

    async def call(self, verbs: tuple[str, ...], call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call`` returns while any of ``verbs`` is granted."""
        return await self._covered(self._any_of(*verbs), call)

    async def create(
        self, call: Callable[[], Awaitable[T]], *, epoch: int | None, refuse_outside: Callable[[Tx, Grant], None]
    ) -> T:
        """Return what ``call`` makes in the grant's scope, unless the epoch in which it was asked for has ended."""

        def check(tx: Tx, now_s: float) -> None:
            grant = allowed(tx, self.platform, self.capability, self.made_by, now_s)
            if epoch is not None and epoch != grant.epoch:
                raise Denied(f"the grant under which this {self.thing} was asked for has ended", field="capability")
            refuse_outside(tx, grant)

        return await self._covered(check, call)

    async def find(self, tags: Mapping[str, str], call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call`` finds by ``tags``; who may create may also look for what was created, then and later."""

        def check(tx: Tx, now_s: float) -> None:
            if not (self._session(tx, now_s) and self._is_ours(tx, tags=tags)):
                self._looking(tx, now_s)

        named = tags.get(TAG_MACHINE if self.capability is Capability.MACHINE else TAG_ASSET, "")
        return await self._covered(check, call, self._left("find", named))

    async def read(self, cloud_id: str, call: Callable[[], Awaitable[S | None]]) -> S | None:
        """Return what ``call`` reads of the thing with this id; after the grant's end only what is ours."""
        if await self.is_over():
            return await self._own(cloud_id, call)
        return await self._covered(self._looking, call)

    async def act(
        self,
        verb: str,
        cloud_id: str,
        call: Callable[[], Awaitable[T]],
        *,
        refuse_outside: Callable[[Tx, Grant], None] = lambda _tx, _grant: None,
    ) -> T:
        """Do ``verb`` by ``call`` to the thing with this id while that is granted, for an imported one too."""

        def check(tx: Tx, now_s: float) -> None:
            refuse_outside(tx, allowed(tx, self.platform, self.capability, verb, now_s))
            if self.capability is Capability.MACHINE:
                imported.refuse_deed(tx, self.platform, cloud_id, verb, now_s)

        return await self._covered(check, call)

    async def destroy(
        self,
        cloud_id: str,
        call: Callable[[], Awaitable[None]],
        *,
        read: Callable[[], Awaitable[_Seen | None]],
    ) -> None:
        """Destroy by ``call`` what ``read`` reads; after the grant's end only what is ours."""
        if not await self.is_over():
            await self.act(DESTROY, cloud_id, call)
        elif await self._own(cloud_id, read) is not None:
            await self._covered(self._winding_down, call, self._left(DESTROY, cloud_id, counts=False))

    async def is_over(self) -> bool:
        """Tell whether the grant under which we made something is over, and its wind-down not yet."""
        now_s = self.clouds.now_s()
        return await self.clouds.database.read(lambda tx: self._session(tx, now_s) is not None)

    async def _own(self, cloud_id: str, read: Callable[[], Awaitable[S | None]]) -> S | None:
        """Return what ``read`` reads, None when it is gone. Raises CloudRefused when we did not make it."""
        if await self.clouds.database.read(lambda tx: self._was_there_before(tx, cloud_id)):
            message = f"the grant has ended, and this {self.thing} was not made under it"
            raise CloudRefused(message, field="capability")
        seen = await self._covered(self._winding_down, read, self._left("read", cloud_id))
        if seen is None:
            return None
        tags, name = seen.tags, seen.name
        if await self.clouds.database.read(lambda tx: self._is_ours(tx, cloud_id=cloud_id, tags=tags, name=name)):
            return seen
        raise CloudRefused(f"the grant has ended, and this {self.thing} is not one of ours", field="capability")

    async def _covered(self, check: GrantedCheck, call: Callable[[], Awaitable[T]], left: Left | None = None) -> T:
        return await self.clouds.covered(self.platform, check, call, capability=self.capability, left=left)

    def _any_of(self, *verbs: str) -> GrantedCheck:
        """Return the check that any of ``verbs`` is granted."""

        def check(tx: Tx, now_s: float) -> None:
            grant = standing(tx, self.platform, self.capability, now_s)
            if grant is None or not set(verbs) & set(grant.verbs):
                allowed(tx, self.platform, self.capability, verbs[-1], now_s)

        return check

    def _looking(self, tx: Tx, now_s: float) -> None:
        """Check that it may be looked for: who may create may also see what was created."""
        self._any_of("list", self.made_by, DESTROY)(tx, now_s)

    def _winding_down(self, tx: Tx, now_s: float) -> None:
        """Check that the wind-down lasts; a grant that stands again is as good."""
        if self._session(tx, now_s) is None:
            self._looking(tx, now_s)

    def _session(self, tx: Tx, now_s: float) -> Grant | None:
        return session_of(tx, self.platform, self.capability, now_s)

    def _left(self, deed: str, subject: str, *, counts: bool = True) -> Left:
        return Left(deed, subject, counts=counts, capability=self.capability)

    def _is_ours(self, tx: Tx, *, cloud_id: str | None = None, tags: Mapping[str, str], name: str = "") -> bool:
        if self.capability is Capability.MACHINE:
            return machines.made_by_us(tx, self.platform, cloud_id=cloud_id, tags=tags, name=name)
        return asking.made_by_us(tx, self.platform, cloud_id=cloud_id, tags=tags)

    def _was_there_before(self, tx: Tx, cloud_id: str) -> bool:
        """Tell whether it was imported: no ended grant leaves that to us. Assets are not imported."""
        return self.capability is Capability.MACHINE and imported.is_imported(tx, self.platform, cloud_id)
