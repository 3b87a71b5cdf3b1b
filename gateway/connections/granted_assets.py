"""The assets of a connected platform: what is not granted never leaves the gateway, as it is with machines."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from catalog.allowance import refuse_elsewhere
from catalog.assets.asking import made_by_us, note_found
from catalog.cloud_assets import MADE_BY, USED_BY, AssetKind, AssetSpec, CloudAsset, CloudAssets
from catalog.clouds import Proof
from catalog.consent import allowed, standing
from catalog.errors import CloudRefused, Denied
from catalog.messages.contracts import TAG_ASSET
from catalog.model.ids import PlatformId
from catalog.store.database import Tx
from catalog.winding_down import session_of
from gateway.connections.left import DESTROY, Left
from gateway.connections.watched import GrantedCheck

if TYPE_CHECKING:
    from gateway.connections.clouds import RoutedClouds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GrantedAssets:
    """catalog.cloud_assets.CloudAssets that asks the grants first.

    A grant that ends leaves assets behind that we made under it. Those, and no others, may be looked for, read and
    destroyed afterwards.
    """

    inner: CloudAssets
    platform: PlatformId
    clouds: "RoutedClouds"

    @property
    def kinds(self) -> frozenset[AssetKind]:
        """What can be made at this kind of cloud."""
        return self.inner.kinds

    async def prove(self, kind: AssetKind) -> Proof:
        """Prove that a granted kind can be made."""
        return await self._covered(kind, self._any_of(kind, MADE_BY[kind][1]), lambda: self.inner.prove(kind))

    async def find(
        self, kind: AssetKind, tags: Mapping[str, str], like: AssetSpec | None = None
    ) -> Sequence[CloudAsset]:
        """Return assets by tag; who may create may also look for what was created, then and later.

        What is found after the grant's end is noted as ours: many kinds carry no tags that could say so again.
        """
        capability = MADE_BY[kind][0]

        def check(tx: Tx, now_s: float) -> None:
            winding_down = session_of(tx, self.platform, capability, now_s) is not None
            if not (winding_down and made_by_us(tx, self.platform, tags=tags)):
                self._looking(kind)(tx, now_s)

        left = Left("find", tags.get(TAG_ASSET, ""), capability=capability)
        found = await self._covered(kind, check, lambda: self.inner.find(kind, tags, like), left)
        if found and await self._ended(kind):
            now_s = self.clouds.now_s()
            await self.clouds.database.write(lambda tx: note_found(tx, self.platform, kind, found[0], now_s))
        return found

    async def create(self, spec: AssetSpec) -> CloudAsset:
        """Create an asset that the grant has in its scope, unless it ended since that was asked for."""
        capability, verb = MADE_BY[spec.kind]

        def check(tx: Tx, now_s: float) -> None:
            grant = allowed(tx, self.platform, capability, verb, now_s)
            if spec.epoch is not None and spec.epoch != grant.epoch:
                raise Denied(f"the grant under which this {spec.kind} was asked for has ended", field="capability")
            refuse_elsewhere(tx, grant, project=None, location=spec.location)

        return await self._covered(spec.kind, check, lambda: self.inner.create(spec))

    async def read(self, kind: AssetKind, cloud_id: str) -> CloudAsset | None:
        """Return one asset; after the grant's end only one of ours."""
        if await self._ended(kind):
            return await self._own(kind, cloud_id)
        return await self._covered(kind, self._looking(kind), lambda: self.inner.read(kind, cloud_id))

    async def destroy(self, kind: AssetKind, cloud_id: str) -> None:
        """Destroy it; after the grant's end only what is ours."""
        if await self._ended(kind):
            left = Left(DESTROY, cloud_id, counts=False, capability=MADE_BY[kind][0])
            if await self._own(kind, cloud_id) is not None:
                await self._winding_down(kind, lambda: self.inner.destroy(kind, cloud_id), left)
            return
        await self._covered(kind, self._any_of(kind, "destroy"), lambda: self.inner.destroy(kind, cloud_id))

    async def attach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Attach one of ours to a machine."""
        await self._covered(
            kind, self._any_of(kind, USED_BY[kind][0]), lambda: self.inner.attach(kind, cloud_id, machine)
        )

    async def detach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Detach one of ours from a machine."""
        await self._covered(
            kind, self._any_of(kind, USED_BY[kind][1]), lambda: self.inner.detach(kind, cloud_id, machine)
        )

    async def _covered(
        self, kind: AssetKind, check: GrantedCheck, call: Callable[[], Awaitable[T]], left: Left | None = None
    ) -> T:
        return await self.clouds.covered(self.platform, check, call, capability=MADE_BY[kind][0], left=left)

    def _any_of(self, kind: AssetKind, *verbs: str) -> GrantedCheck:
        """Return the check that any of ``verbs`` is granted."""
        capability = MADE_BY[kind][0]

        def check(tx: Tx, now_s: float) -> None:
            grant = standing(tx, self.platform, capability, now_s)
            if grant is None or not set(verbs) & set(grant.verbs):
                allowed(tx, self.platform, capability, verbs[-1], now_s)

        return check

    def _looking(self, kind: AssetKind) -> GrantedCheck:
        """Return the check that one may be looked for: who may create may also see what was created."""
        return self._any_of(kind, "list", MADE_BY[kind][1], "destroy")

    async def _ended(self, kind: AssetKind) -> bool:
        """Tell whether the grant under which we made such assets is over, and its wind-down not yet."""
        now_s, capability = self.clouds.now_s(), MADE_BY[kind][0]
        ended = await self.clouds.database.read(lambda tx: session_of(tx, self.platform, capability, now_s))
        return ended is not None

    async def _own(self, kind: AssetKind, cloud_id: str) -> CloudAsset | None:
        """Return an asset that we made, None when it is gone. Raises CloudRefused when it is not ours."""
        left = Left("read", cloud_id, capability=MADE_BY[kind][0])
        seen = await self._winding_down(kind, lambda: self.inner.read(kind, cloud_id), left)
        if seen is None:
            return None
        tags = seen.tags
        if await self.clouds.database.read(lambda tx: made_by_us(tx, self.platform, cloud_id=cloud_id, tags=tags)):
            return seen
        raise CloudRefused(f"the grant has ended, and this {kind} is not one of ours", field="capability")

    async def _winding_down(self, kind: AssetKind, call: Callable[[], Awaitable[T]], left: Left) -> T:
        """Return what ``call`` returns while the wind-down lasts; a grant that stands again is as good."""

        def check(tx: Tx, now_s: float) -> None:
            if session_of(tx, self.platform, MADE_BY[kind][0], now_s) is None:
                self._looking(kind)(tx, now_s)

        return await self._covered(kind, check, call, left)
