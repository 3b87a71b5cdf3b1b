"""The driver of every connected platform: dialled through its tunnel, held to its grants, counted in its sessions."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from catalog.consent import allowed, standing
from catalog.errors import CloudRefused, Denied
from catalog.machines import made_by_us
from catalog.messages.handshake import Capability, ServiceInformation
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.platforms import cloud_account
from catalog.ports import (
    Clock,
    CloudAccount,
    CloudDriver,
    CloudItem,
    CloudMachine,
    CloudSize,
    Dialer,
    Listing,
    MachineAction,
    MachineSpec,
    Proof,
)
from catalog.secrets import Sealer
from catalog.store.database import Database
from catalog.store.rows import first
from gateway.connections.sessions import Sessions
from gateway.connections.tunnels import LiveConnections, TunnelDialer

BuildDriver = Callable[[CloudAccount, Dialer], CloudDriver]


@dataclass(frozen=True, slots=True)
class _Held:
    account: CloudAccount
    driver: CloudDriver


class RoutedClouds:
    """catalog.ports.Clouds over the tunnels of this process."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        live: LiveConnections,
        sessions: Sessions,
        build_driver: BuildDriver,
        clock: Clock,
    ) -> None:
        """Take what a driver needs; drivers are built when first wanted and kept, threads and all."""
        self._database = database
        self._sealer = sealer
        self._live = live
        self._sessions = sessions
        self._build_driver = build_driver
        self._clock = clock
        self._held: dict[PlatformId, _Held] = {}
        self._building = asyncio.Lock()

    async def driver(self, platform: PlatformId) -> CloudDriver:
        """Return the platform's driver; each of its calls is checked against the grants and counted.

        Raises CloudUnavailable while no connection to the platform is established.
        """
        self._live.to_platform(platform)  # fail now rather than in the middle of a call
        return GrantedDriver(await self.ungranted(platform), platform, self)

    async def ungranted(self, platform: PlatformId) -> CloudDriver:
        """Return the bare driver, for the log-in that precedes any grant."""
        async with self._building:
            account = await self._database.read(lambda tx: cloud_account(tx, platform, self._sealer))
            held = self._held.get(platform)
            if held is not None and _same(held.account, account):
                return held.driver
            dialer = TunnelDialer(self._live, platform, asyncio.get_running_loop())
            fresh = self._held[platform] = _Held(account, self._build_driver(account, dialer))
            if held is not None:
                await held.driver.close()
            return fresh.driver

    async def check(self, platform: PlatformId, capability: Capability, *verbs: str) -> None:
        """Count a call that is covered by any of ``verbs``. Raises CloudRefused when none is granted."""
        now_s = self._clock.now_s()
        refused: Denied | None = None
        for verb in verbs:
            try:
                await self._database.read(lambda tx, verb=verb: allowed(tx, platform, capability, verb, now_s))  # type: ignore[misc]
            except Denied as error:
                refused = error
            else:
                await self._sessions.count(self._live.to_platform(platform).connection)
                return
        raise CloudRefused(str(refused), fix="the platform's owner grants it, and an admin accepts") from refused

    async def ended(self, platform: PlatformId) -> bool:
        """Tell whether a machine grant under which we made machines is over: revoked, expired, or asked for anew."""
        now_s = self._clock.now_s()
        return await self._database.read(
            lambda tx: (
                standing(tx, platform, Capability.MACHINE, now_s) is None
                and first(tx, Machine, platform_id=platform) is not None
            )
        )

    async def count(self, platform: PlatformId) -> None:
        """Count one business call."""
        await self._sessions.count(self._live.to_platform(platform).connection)

    async def is_ours(
        self, platform: PlatformId, *, cloud_id: str | None = None, tags: Mapping[str, str], name: str = ""
    ) -> bool:
        """Tell whether the machine with this id, or else these tags or this name, is one that we made."""
        return await self._database.read(lambda tx: made_by_us(tx, platform, cloud_id=cloud_id, tags=tags, name=name))

    async def close(self) -> None:
        """Let go of every driver."""
        for held in self._held.values():
            await held.driver.close()
        self._held.clear()


def _same(one: CloudAccount, other: CloudAccount) -> bool:
    """Tell whether a driver built for ``one`` serves ``other``: secrets compare by what they hold."""
    return one.secret.reveal() == other.secret.reveal() and _public(one) == _public(other)


def _public(account: CloudAccount) -> tuple[object, ...]:
    reached = (account.endpoint, account.services)
    return (account.provider, account.region, *reached, account.account, dict(account.options))


@dataclass(frozen=True, slots=True)
class GrantedDriver:
    """catalog.ports.CloudDriver that asks the grants first: what is not granted never leaves the gateway.

    A grant that ends leaves machines behind that we made under it. Those, and no others, may be looked for, read and
    destroyed afterwards: or they would run, and cost their owner money, for ever.
    """

    inner: CloudDriver
    platform: PlatformId
    clouds: RoutedClouds

    async def log_in(self) -> ServiceInformation:
        """Log in and list services: allowed before any grant, and not a business call."""
        return await self.inner.log_in()

    async def prove(self, capability: str) -> Proof:
        """Prove one granted capability."""
        verbs = ("list", "create") if capability == Capability.MACHINE else ("list",)
        await self.clouds.check(self.platform, Capability(capability), *verbs)
        return await self.inner.prove(capability)

    async def listing(self, capability: str) -> Listing:
        """Return the whole list of one granted capability."""
        await self.clouds.check(self.platform, Capability(capability), "list")
        return await self.inner.listing(capability)

    async def sizes(self) -> Sequence[CloudSize]:
        """Return the sizes."""
        await self.clouds.check(self.platform, Capability.SIZE, "list")
        return await self.inner.sizes()

    async def images(self) -> Sequence[CloudItem]:
        """Return the images."""
        await self.clouds.check(self.platform, Capability.IMAGE, "list")
        return await self.inner.images()

    async def locations(self) -> Sequence[CloudItem]:
        """Return the locations."""
        await self.clouds.check(self.platform, Capability.LOCATION, "list")
        return await self.inner.locations()

    async def key_pairs(self) -> Sequence[CloudItem]:
        """Return the key pairs."""
        await self.clouds.check(self.platform, Capability.KEY_PAIR, "list")
        return await self.inner.key_pairs()

    async def volumes(self) -> Sequence[CloudItem]:
        """Return the volumes."""
        await self.clouds.check(self.platform, Capability.VOLUME, "list")
        return await self.inner.volumes()

    async def machines(self) -> Sequence[CloudMachine]:
        """Return every machine of the account."""
        await self.clouds.check(self.platform, Capability.MACHINE, "list")
        return await self.inner.machines()

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Return our machines by tag; who may create may also look for what was created, then and later."""
        if await self.clouds.ended(self.platform) and await self.clouds.is_ours(self.platform, tags=tags):
            await self.clouds.count(self.platform)
        else:
            await self.clouds.check(self.platform, Capability.MACHINE, "list", "create", "destroy")
        return await self.inner.find_machines(tags)

    async def create_machine(self, spec: MachineSpec) -> CloudMachine:
        """Create a machine."""
        await self.clouds.check(self.platform, Capability.MACHINE, "create")
        return await self.inner.create_machine(spec)

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return one machine; after the grant's end only one of ours."""
        if await self.clouds.ended(self.platform):
            return await self._own(cloud_id)
        await self.clouds.check(self.platform, Capability.MACHINE, "list", "create", "destroy")
        return await self.inner.machine(cloud_id)

    async def act(self, cloud_id: str, action: MachineAction) -> None:
        """Start, stop, reboot or destroy; after the grant's end only destroy, and only what is ours."""
        if action is MachineAction.DESTROY and await self.clouds.ended(self.platform):
            if await self._own(cloud_id) is None:
                return
        else:
            await self.clouds.check(self.platform, Capability.MACHINE, action.value)
        await self.inner.act(cloud_id, action)

    async def _own(self, cloud_id: str) -> CloudMachine | None:
        """Return a machine that we made, None when it is gone. Raises CloudRefused when it is not ours."""
        await self.clouds.count(self.platform)
        seen = await self.inner.machine(cloud_id)
        if seen is None or await self.clouds.is_ours(self.platform, cloud_id=cloud_id, tags=seen.tags, name=seen.name):
            return seen
        raise CloudRefused("the grant has ended, and this machine is not one of ours", field="capability")

    async def close(self) -> None:
        """Do nothing: the driver is shared, and closed by RoutedClouds."""
