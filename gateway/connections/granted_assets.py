"""The assets of a connected platform: what is not granted never leaves the gateway, as it is with machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.allowance import refuse_elsewhere
from catalog.assets.asking import note_found
from catalog.cloud_assets import MADE_BY, USED_BY, AssetKind, AssetSpec, CloudAsset, CloudAssets
from catalog.clouds import Proof
from catalog.model.ids import PlatformId
from gateway.connections.granted import Granted

if TYPE_CHECKING:
    from gateway.connections.clouds import RoutedClouds


@dataclass(frozen=True, slots=True)
class GrantedAssets:
    """catalog.cloud_assets.CloudAssets that asks the grants first; see ``granted``."""

    inner: CloudAssets
    platform: PlatformId
    clouds: "RoutedClouds"

    @property
    def kinds(self) -> frozenset[AssetKind]:
        """What can be made at this kind of cloud."""
        return self.inner.kinds

    async def prove(self, kind: AssetKind) -> Proof:
        """Prove that a granted kind can be made."""
        return await self._of(kind).call((MADE_BY[kind][1],), lambda: self.inner.prove(kind))

    async def find(
        self, kind: AssetKind, tags: Mapping[str, str], like: AssetSpec | None = None
    ) -> Sequence[CloudAsset]:
        """Return assets by tag; who may create may also look for what was created, then and later.

        What is found after the grant's end is noted as ours: many kinds carry no tags that could say so again.
        """
        of_kind = self._of(kind)
        found = await of_kind.find(tags, lambda: self.inner.find(kind, tags, like))
        if found and await of_kind.is_over():
            now_s = self.clouds.now_s()
            await self.clouds.database.write(lambda tx: note_found(tx, self.platform, kind, found[0], now_s))
        return found

    async def create(self, spec: AssetSpec) -> CloudAsset:
        """Create an asset that the grant has in its scope, unless it ended since that was asked for."""
        return await self._of(spec.kind).create(
            lambda: self.inner.create(spec),
            epoch=spec.epoch,
            refuse_outside=lambda tx, grant: refuse_elsewhere(tx, grant, project=None, location=spec.location),
        )

    async def read(self, kind: AssetKind, cloud_id: str) -> CloudAsset | None:
        """Return one asset; after the grant's end only one of ours."""
        return await self._of(kind).read(cloud_id, lambda: self.inner.read(kind, cloud_id))

    async def destroy(self, kind: AssetKind, cloud_id: str) -> None:
        """Destroy it; after the grant's end only what is ours."""
        await self._of(kind).destroy(
            cloud_id, lambda: self.inner.destroy(kind, cloud_id), read=lambda: self.inner.read(kind, cloud_id)
        )

    async def attach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Attach one of ours to a machine."""
        await self._of(kind).call(USED_BY[kind][:1], lambda: self.inner.attach(kind, cloud_id, machine))

    async def detach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Detach one of ours from a machine."""
        await self._of(kind).call(USED_BY[kind][1:], lambda: self.inner.detach(kind, cloud_id, machine))

    def _of(self, kind: AssetKind) -> Granted:
        capability, made_by = MADE_BY[kind]
        return Granted(
            clouds=self.clouds, platform=self.platform, capability=capability, thing=kind.value, made_by=made_by
        )
