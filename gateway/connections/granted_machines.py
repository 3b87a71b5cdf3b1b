"""The driver of a connected platform: what is not granted never leaves the gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.allowance import Wanted, refuse_item, refuse_outside
from catalog.clouds import CloudDriver, CloudMachine, Listing, MachineAction, MachineSpec, Proof
from catalog.messages.handshake import Capability, ServiceInformation
from catalog.model.ids import PlatformId
from gateway.connections.granted import Granted
from gateway.connections.granted_assets import GrantedAssets

if TYPE_CHECKING:
    from gateway.connections.clouds import RoutedClouds


@dataclass(frozen=True, slots=True)
class GrantedDriver:
    """catalog.clouds.CloudDriver that asks the grants first; see ``granted``."""

    inner: CloudDriver
    platform: PlatformId
    clouds: "RoutedClouds"

    @property
    def assets(self) -> GrantedAssets:
        """What can be made beside machines, where that is granted."""
        return GrantedAssets(self.inner.assets, self.platform, self.clouds)

    async def log_in(self) -> ServiceInformation:
        """Log in and list services: allowed before any grant, and not a business call."""
        return await self.inner.log_in()

    async def prove(self, capability: str) -> Proof:
        """Prove one granted capability."""
        verbs = ("list", "create") if capability == Capability.MACHINE else ("list",)
        return await self._of(Capability(capability)).call(verbs, lambda: self.inner.prove(capability))

    async def rights(self) -> Sequence[Proof]:
        """Return what the account could do: allowed before any grant, and not a business call."""
        return await self.inner.rights()

    async def listing(self, capability: str) -> Listing:
        """Return the whole list of one granted capability."""
        return await self._of(Capability(capability)).call(("list",), lambda: self.inner.listing(capability))

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Return our machines by tag; who may create may also look for what was created, then and later."""
        return await self._machines.find(tags, lambda: self.inner.find_machines(tags))

    async def create_machine(self, spec: MachineSpec) -> CloudMachine:
        """Create a machine that the grant has in its scope, unless it ended since that was asked for."""
        wanted = Wanted(size=spec.size, image=spec.image, location=spec.location, network=spec.network)
        return await self._machines.create(
            lambda: self.inner.create_machine(spec),
            epoch=spec.epoch,
            refuse_outside=lambda tx, grant: refuse_outside(tx, grant, wanted),
        )

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return one machine; after the grant's end only one of ours."""
        return await self._machines.read(cloud_id, lambda: self.inner.machine(cloud_id))

    async def act(self, cloud_id: str, action: MachineAction) -> None:
        """Start, stop, reboot or destroy; after the grant's end only destroy, and only what is ours."""
        if action is MachineAction.DESTROY:
            await self._machines.destroy(
                cloud_id, lambda: self.inner.act(cloud_id, action), read=lambda: self.inner.machine(cloud_id)
            )
        else:
            await self._machines.act(action.value, cloud_id, lambda: self.inner.act(cloud_id, action))

    async def rebuild(self, cloud_id: str, image: str) -> None:
        """Make the machine's disk anew from an image that the grant has in its scope."""
        await self._machines.act(
            "rebuild",
            cloud_id,
            lambda: self.inner.rebuild(cloud_id, image),
            refuse_outside=lambda tx, grant: refuse_item(tx, grant, "image", image),
        )

    async def resize(self, cloud_id: str, size: str) -> None:
        """Give the machine a size that the grant has in its scope."""
        await self._machines.act(
            "resize",
            cloud_id,
            lambda: self.inner.resize(cloud_id, size),
            refuse_outside=lambda tx, grant: refuse_item(tx, grant, "size", size),
        )

    async def rename(self, cloud_id: str, name: str) -> None:
        """Have the machine called ``name``."""
        await self._machines.act("rename", cloud_id, lambda: self.inner.rename(cloud_id, name))

    async def console(self, cloud_id: str) -> str:
        """Return what the machine has written to its console."""
        return await self._machines.act("console", cloud_id, lambda: self.inner.console(cloud_id))

    @property
    def _machines(self) -> Granted:
        return self._of(Capability.MACHINE)

    def _of(self, capability: Capability) -> Granted:
        return Granted(clouds=self.clouds, platform=self.platform, capability=capability, thing=capability.value)

    async def close(self) -> None:
        """Do nothing: the driver is shared, and closed by RoutedClouds."""
