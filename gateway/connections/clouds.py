"""The driver of every connected platform: dialled through its tunnel, held to its grants, counted in its sessions."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from catalog.allowance import Wanted, refuse_outside
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
from catalog.store.database import Database, Tx
from catalog.store.rows import first
from gateway.connections.running_calls import RunningCalls
from gateway.connections.sessions import Sessions
from gateway.connections.tunnels import LiveConnections, TunnelDialer
from gateway.connections.watched import GrantedCheck

T = TypeVar("T")

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
        self.calls = RunningCalls()
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

    async def covered(self, platform: PlatformId, check: GrantedCheck, call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call`` returns, counted, while ``check`` holds.

        Raises CloudRefused, and nothing is sent, when it does not hold; CloudTimedOut when it ceases to meanwhile.
        """
        with self.calls.watched(check) as watched:
            now_s = self._clock.now_s()
            try:
                await self._database.read(lambda tx: check(tx, now_s))
            except Denied as error:
                raise _not_granted(str(error)) from error
            await self.count(platform)
            if watched.ended.is_set():
                raise _not_granted(watched.reason)
            async with watched.while_allowed():
                return await call()

    async def ended(self, platform: PlatformId) -> bool:
        """Tell whether a machine grant under which we made machines is over: revoked, expired, or asked for anew."""
        now_s = self._clock.now_s()
        return await self._database.read(lambda tx: _ended(tx, platform, now_s))

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
        check = self._any_of(Capability(capability), *verbs)
        return await self.clouds.covered(self.platform, check, lambda: self.inner.prove(capability))

    async def rights(self) -> Sequence[Proof]:
        """Return what the account could do: allowed before any grant, and not a business call."""
        return await self.inner.rights()

    async def listing(self, capability: str) -> Listing:
        """Return the whole list of one granted capability."""
        check = self._any_of(Capability(capability), "list")
        return await self.clouds.covered(self.platform, check, lambda: self.inner.listing(capability))

    async def sizes(self) -> Sequence[CloudSize]:
        """Return the sizes."""
        return await self.clouds.covered(self.platform, self._any_of(Capability.SIZE, "list"), self.inner.sizes)

    async def images(self) -> Sequence[CloudItem]:
        """Return the images."""
        return await self.clouds.covered(self.platform, self._any_of(Capability.IMAGE, "list"), self.inner.images)

    async def locations(self) -> Sequence[CloudItem]:
        """Return the locations."""
        return await self.clouds.covered(self.platform, self._any_of(Capability.LOCATION, "list"), self.inner.locations)

    async def key_pairs(self) -> Sequence[CloudItem]:
        """Return the key pairs."""
        return await self.clouds.covered(self.platform, self._any_of(Capability.KEY_PAIR, "list"), self.inner.key_pairs)

    async def volumes(self) -> Sequence[CloudItem]:
        """Return the volumes."""
        return await self.clouds.covered(self.platform, self._any_of(Capability.VOLUME, "list"), self.inner.volumes)

    async def machines(self) -> Sequence[CloudMachine]:
        """Return every machine of the account."""
        return await self.clouds.covered(self.platform, self._any_of(Capability.MACHINE, "list"), self.inner.machines)

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Return our machines by tag; who may create may also look for what was created, then and later."""

        def check(tx: Tx, now_s: float) -> None:
            if not (_ended(tx, self.platform, now_s) and made_by_us(tx, self.platform, tags=tags)):
                self._looking(tx, now_s)

        return await self.clouds.covered(self.platform, check, lambda: self.inner.find_machines(tags))

    async def create_machine(self, spec: MachineSpec) -> CloudMachine:
        """Create a machine that the grant has in its scope, unless it ended since that was asked for."""
        wanted = Wanted(size=spec.size, image=spec.image, location=spec.location)

        def check(tx: Tx, now_s: float) -> None:
            grant = allowed(tx, self.platform, Capability.MACHINE, "create", now_s)
            if spec.epoch is not None and spec.epoch != grant.epoch:
                raise Denied("the grant under which this machine was asked for has ended", field="capability")
            refuse_outside(tx, grant, wanted)

        return await self.clouds.covered(self.platform, check, lambda: self.inner.create_machine(spec))

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return one machine; after the grant's end only one of ours."""
        if await self.clouds.ended(self.platform):
            return await self._own(cloud_id)
        return await self.clouds.covered(self.platform, self._looking, lambda: self.inner.machine(cloud_id))

    async def act(self, cloud_id: str, action: MachineAction) -> None:
        """Start, stop, reboot or destroy; after the grant's end only destroy, and only what is ours."""
        if action is MachineAction.DESTROY and await self.clouds.ended(self.platform):
            if await self._own(cloud_id) is not None:
                await self.inner.act(cloud_id, action)
            return
        check = self._any_of(Capability.MACHINE, action.value)
        await self.clouds.covered(self.platform, check, lambda: self.inner.act(cloud_id, action))

    def _any_of(self, capability: Capability, *verbs: str) -> GrantedCheck:
        """Return the check that any of ``verbs`` is granted."""

        def check(tx: Tx, now_s: float) -> None:
            grant = standing(tx, self.platform, capability, now_s)
            if grant is None or not set(verbs) & set(grant.verbs):
                allowed(tx, self.platform, capability, verbs[-1], now_s)

        return check

    def _looking(self, tx: Tx, now_s: float) -> None:
        """Check that a machine may be looked for: who may create may also see what was created."""
        self._any_of(Capability.MACHINE, "list", "create", "destroy")(tx, now_s)

    async def _own(self, cloud_id: str) -> CloudMachine | None:
        """Return a machine that we made, None when it is gone. Raises CloudRefused when it is not ours."""
        await self.clouds.count(self.platform)
        seen = await self.inner.machine(cloud_id)
        if seen is None or await self.clouds.is_ours(self.platform, cloud_id=cloud_id, tags=seen.tags, name=seen.name):
            return seen
        raise CloudRefused("the grant has ended, and this machine is not one of ours", field="capability")

    async def close(self) -> None:
        """Do nothing: the driver is shared, and closed by RoutedClouds."""


def _not_granted(reason: str) -> CloudRefused:
    return CloudRefused(reason, fix="the platform's owner grants it, and an admin accepts")


def _ended(tx: Tx, platform: PlatformId, now_s: float) -> bool:
    over = standing(tx, platform, Capability.MACHINE, now_s) is None
    return over and first(tx, Machine, platform_id=platform) is not None
