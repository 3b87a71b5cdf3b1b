"""What is made beside machines, for any provider: a ``Shelf`` knows one kind of asset at one provider, and blocks.

``CallableAssets`` runs it in the platform's threads as ``GenericCloud`` runs everything else: routed, limited in time,
its errors translated.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from libcloud.common.exceptions import BaseHTTPError

from catalog.cloud_assets import AssetKind, AssetSpec, CloudAsset
from catalog.clouds import MachineStatus, Proof
from catalog.errors import CloudQuotaExhausted, CloudRefused, InvalidValue
from drivers.clouds.libcloud_bridge import Bridge
from drivers.clouds.routed_http import AnswerTooLong, current_call

T = TypeVar("T")

# Makes text of the cloud's fit to be shown: one printable line of at most so many characters.
Clean = Callable[[str, int], str]

_FORBIDDEN = 403


class Shelf(Protocol):
    """One kind of asset at one provider, as one call sees it. Every method blocks, and raises as libcloud does."""

    def prove(self) -> Proof:
        """Return whether such an asset may be made, by a call that makes none."""
        ...

    def find(self, tags: Mapping[str, str], like: AssetSpec | None) -> Iterable[CloudAsset]:
        """Return at least the assets with ``tags``; the cloud is asked to filter where it can."""
        ...

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Make it, with its tags in the same call where the cloud can."""
        ...

    def read(self, cloud_id: str) -> CloudAsset | None:
        """Return it, None when there is none."""
        ...

    def destroy(self, asset: CloudAsset) -> None:
        """Destroy what is attached to nothing; it may be gone by now."""
        ...

    def attach(self, asset: CloudAsset, machine: str) -> None:
        """Attach it."""
        ...

    def detach(self, asset: CloudAsset, machine: str) -> None:
        """Detach it."""
        ...

    def is_exhausted(self, error: BaseHTTPError) -> bool:
        """Return whether ``error``, of a creation, says that a quota is used up."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableAssets:
    """One account's assets. Implements ``catalog.cloud_assets.CloudAssets``.

    ``shelves`` makes the shelf of each kind that the provider has, on a new libcloud driver for one call.
    """

    bridge: Bridge
    new_driver: Callable[[], Any]
    shelves: Mapping[AssetKind, Callable[[Any], Shelf]]
    row_limit: int

    @property
    def kinds(self) -> frozenset[AssetKind]:
        """What the provider has shelves of."""
        return frozenset(self.shelves)

    async def prove(self, kind: AssetKind) -> Proof:
        """Return whether such an asset may be made."""
        return await self.bridge.call(
            lambda: replace(self._shelf(kind).prove(), request_id=current_call().request_id), repeatable=True
        )

    async def find(
        self, kind: AssetKind, tags: Mapping[str, str], like: AssetSpec | None = None
    ) -> Sequence[CloudAsset]:
        """Return the assets, not gone, whose tags include all of ``tags``."""
        if not tags:
            raise InvalidValue("assets are looked for by at least one tag", field="tags")
        found = await self.bridge.call(lambda: self._bounded(self._shelf(kind).find(tags, like)), repeatable=True)
        return [each for each in found if tags.items() <= each.tags.items() and each.status is not MachineStatus.GONE]

    async def create(self, spec: AssetSpec) -> CloudAsset:
        """Ask for an asset; it is asked for once, whatever comes of it."""
        return await self.bridge.call(lambda: self._create(spec))

    async def read(self, kind: AssetKind, cloud_id: str) -> CloudAsset | None:
        """Return the asset, or None when the cloud does not know it."""
        return await self.bridge.call(lambda: self._shelf(kind).read(cloud_id), repeatable=True)

    async def destroy(self, kind: AssetKind, cloud_id: str) -> None:
        """Destroy it, detached first from whatever it is attached to."""

        def work() -> None:
            shelf = self._shelf(kind)
            asset = shelf.read(cloud_id)
            if asset is None or asset.status is MachineStatus.GONE:
                return
            for machine in asset.machines:
                shelf.detach(asset, machine)
            shelf.destroy(asset)

        await self.bridge.call(work)

    async def attach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Attach it to ``machine``, unless it is already."""

        def work() -> None:
            shelf = self._shelf(kind)
            asset = self._there(shelf, kind, cloud_id)
            if machine not in asset.machines:
                shelf.attach(asset, machine)

        await self.bridge.call(work)

    async def detach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Detach it from ``machine``, if it is there."""

        def work() -> None:
            shelf = self._shelf(kind)
            asset = shelf.read(cloud_id)
            if asset is not None and machine in asset.machines:
                shelf.detach(asset, machine)

        await self.bridge.call(work)

    def _create(self, spec: AssetSpec) -> CloudAsset:
        shelf = self._shelf(spec.kind)
        try:
            return shelf.create(spec)
        except BaseHTTPError as error:
            if shelf.is_exhausted(error):
                detail = self.bridge.clean(str(error.message))
                raise CloudQuotaExhausted("the account's quota at the cloud is used up", detail=detail) from None
            raise

    def _shelf(self, kind: AssetKind) -> Shelf:
        make = self.shelves.get(kind)
        if make is None:
            raise CloudRefused(f"nothing of the kind '{kind}' is made at this cloud", field="kind")
        return make(self.new_driver())

    def _there(self, shelf: Shelf, kind: AssetKind, cloud_id: str) -> CloudAsset:
        asset = shelf.read(cloud_id)
        if asset is None or asset.status is MachineStatus.GONE:
            raise CloudRefused(f"the cloud does not know this {kind} any more")
        return asset

    def _bounded(self, rows: Iterable[T]) -> list[T]:
        listed: list[T] = []
        for row in rows:
            listed.append(row)
            if len(listed) > self.row_limit:
                raise AnswerTooLong("the cloud's list is longer than any list may be")
        return listed


def proved_by_list(kind: AssetKind, capability: str, work: Callable[[], object]) -> Proof:
    """Return what asking for a list, where no harmless try is possible, proves: only that nothing forbids a look."""
    request = f"list {kind}s"
    try:
        work()
    except BaseHTTPError as error:
        if error.code != _FORBIDDEN:
            raise
        return Proof(capability=capability, allowed=False, request=request, detail="HTTP 403")
    return Proof(capability=capability, allowed=True, request=request, detail="answered")
