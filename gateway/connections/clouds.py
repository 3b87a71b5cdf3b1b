"""The driver of every connected platform: dialled through its tunnel, held to its grants, counted in its sessions."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from catalog import imported
from catalog.allowance import Wanted, refuse_outside
from catalog.clouds import (
    CloudAccount,
    CloudDriver,
    CloudMachine,
    Listing,
    MachineAction,
    MachineSpec,
    Proof,
)
from catalog.connections import count_call
from catalog.consent import allowed, standing
from catalog.errors import CloudRefused, Denied
from catalog.machines import made_by_us
from catalog.messages.contracts import TAG_MACHINE
from catalog.messages.handshake import Capability, ServiceInformation
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId
from catalog.platforms import cloud_account
from catalog.ports import Clock, Dialer
from catalog.secrets import Sealer
from catalog.store.database import Database, Tx
from catalog.winding_down import session_of
from gateway.connections.auditing import note_wind_down
from gateway.connections.call_rates import CallRates
from gateway.connections.granted_assets import GrantedAssets
from gateway.connections.left import DESTROY, Left
from gateway.connections.running_calls import RunningCalls
from gateway.connections.tunnels import LiveConnections, TunnelDialer
from gateway.connections.watched import GrantedCheck

T = TypeVar("T")

BuildDriver = Callable[[CloudAccount, Dialer], CloudDriver]


@dataclass(frozen=True, slots=True)
class _Held:
    account: CloudAccount
    driver: CloudDriver


class RoutedClouds:
    """catalog.clouds.Clouds over the tunnels of this process."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        live: LiveConnections,
        build_driver: BuildDriver,
        clock: Clock,
    ) -> None:
        """Take what a driver needs; drivers are built when first wanted and kept, threads and all."""
        self.database = database
        self._sealer = sealer
        self._live = live
        self._build_driver = build_driver
        self._clock = clock
        self.calls = RunningCalls()
        self.rates = CallRates()
        self._held: dict[PlatformId, _Held] = {}
        self._building = asyncio.Lock()

    def now_s(self) -> float:
        """Return the time by which grants are judged."""
        return self._clock.now_s()

    async def driver(self, platform: PlatformId) -> CloudDriver:
        """Return the platform's driver; each of its calls is checked against the grants and counted.

        Raises CloudUnavailable while no connection to the platform is established.
        """
        self._live.to_platform(platform)  # fail now rather than in the middle of a call
        return GrantedDriver(await self.ungranted(platform), platform, self)

    async def ungranted(self, platform: PlatformId) -> CloudDriver:
        """Return the bare driver, for the log-in that precedes any grant."""
        async with self._building:
            account = await self.database.read(lambda tx: cloud_account(tx, platform, self._sealer))
            held = self._held.get(platform)
            if held is not None and _same(held.account, account):
                return held.driver
            dialer = TunnelDialer(self._live, platform, asyncio.get_running_loop())
            fresh = self._held[platform] = _Held(account, self._build_driver(account, dialer))
            if held is not None:
                await held.driver.close()
            return fresh.driver

    async def covered(
        self,
        platform: PlatformId,
        check: GrantedCheck,
        call: Callable[[], Awaitable[T]],
        *,
        capability: Capability = Capability.MACHINE,
        left: Left | None = None,
    ) -> T:
        """Return what ``call`` of ``capability`` returns, counted, while ``check`` holds.

        ``left`` is what the call would do to machines that an ended grant left behind: then that is audited.
        Raises CloudRefused, and nothing is sent, when it does not hold, and CallsExhausted when the grant admits no
        further call now; CloudTimedOut when it ceases to hold meanwhile.
        """
        with self.calls.watched(check) as watched:
            now_s = self._clock.now_s()

            def look(tx: Tx) -> Grant | None:
                check(tx, now_s)
                return standing(tx, platform, capability, now_s)

            try:
                grant = await self.database.read(look)
            except Denied as error:
                raise _not_granted(str(error)) from error
            self.rates.take(grant, now_s)
            await self.count(platform, left)
            if watched.ended.is_set():
                raise _not_granted(watched.reason)
            async with watched.while_allowed():
                return await call()

    async def ended(self, platform: PlatformId) -> bool:
        """Tell whether a machine grant under which we made machines is over, and its wind-down not yet."""
        now_s = self._clock.now_s()
        return await self.database.read(lambda tx: session_of(tx, platform, Capability.MACHINE, now_s) is not None)

    async def count(self, platform: PlatformId, left: Left | None = None) -> None:
        """Count one business call, and note what it does with what an ended grant ``left``."""
        connection, now_s = self._live.to_platform(platform).connection, self._clock.now_s()

        def note(tx: Tx) -> None:
            if left is None or left.counts:
                count_call(tx, connection)
            if left is not None and (grant := left.session(tx, platform, now_s)) is not None:
                note_wind_down(tx, grant, connection, left, now_s)

        await self.database.write(note)

    async def is_ours(
        self, platform: PlatformId, *, cloud_id: str | None = None, tags: Mapping[str, str], name: str = ""
    ) -> bool:
        """Tell whether the machine with this id, or else these tags or this name, is one that we made."""
        return await self.database.read(lambda tx: made_by_us(tx, platform, cloud_id=cloud_id, tags=tags, name=name))

    async def is_imported(self, platform: PlatformId, cloud_id: str) -> bool:
        """Tell whether the machine with this id was there before us: no ended grant leaves it to us."""
        return await self.database.read(lambda tx: imported.is_imported(tx, platform, cloud_id))

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
    """catalog.clouds.CloudDriver that asks the grants first: what is not granted never leaves the gateway.

    A grant that ends leaves machines behind that we made under it. Those, and no others, may be looked for, read and
    destroyed afterwards: or they would run, and cost their owner money, for ever.
    """

    inner: CloudDriver
    platform: PlatformId
    clouds: RoutedClouds

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
        check = self._any_of(Capability(capability), *verbs)
        call = self.clouds.covered
        return await call(self.platform, check, lambda: self.inner.prove(capability), capability=Capability(capability))

    async def rights(self) -> Sequence[Proof]:
        """Return what the account could do: allowed before any grant, and not a business call."""
        return await self.inner.rights()

    async def listing(self, capability: str) -> Listing:
        """Return the whole list of one granted capability."""
        return await self._listed(Capability(capability), lambda: self.inner.listing(capability))

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Return our machines by tag; who may create may also look for what was created, then and later."""

        def check(tx: Tx, now_s: float) -> None:
            winding_down = session_of(tx, self.platform, Capability.MACHINE, now_s) is not None
            if not (winding_down and made_by_us(tx, self.platform, tags=tags)):
                self._looking(tx, now_s)

        left = Left("find", tags.get(TAG_MACHINE, ""))
        return await self.clouds.covered(self.platform, check, lambda: self.inner.find_machines(tags), left=left)

    async def create_machine(self, spec: MachineSpec) -> CloudMachine:
        """Create a machine that the grant has in its scope, unless it ended since that was asked for."""
        wanted = Wanted(size=spec.size, image=spec.image, location=spec.location, network=spec.network)

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
            left = Left(DESTROY, cloud_id, counts=False)
            if await self._own(cloud_id) is not None:
                await self._winding_down(lambda: self.inner.act(cloud_id, action), left)
            return

        def check(tx: Tx, now_s: float) -> None:
            allowed(tx, self.platform, Capability.MACHINE, action.value, now_s)
            imported.refuse_deed(tx, self.platform, cloud_id, action.value, now_s)

        await self.clouds.covered(self.platform, check, lambda: self.inner.act(cloud_id, action))

    async def _listed(self, capability: Capability, call: Callable[[], Awaitable[T]]) -> T:
        return await self.clouds.covered(self.platform, self._any_of(capability, "list"), call, capability=capability)

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
        if await self.clouds.is_imported(self.platform, cloud_id):
            raise CloudRefused("the grant has ended, and this machine was not made under it", field="capability")
        seen = await self._winding_down(lambda: self.inner.machine(cloud_id), Left("read", cloud_id))
        if seen is None or await self.clouds.is_ours(self.platform, cloud_id=cloud_id, tags=seen.tags, name=seen.name):
            return seen
        raise CloudRefused("the grant has ended, and this machine is not one of ours", field="capability")

    async def _winding_down(self, call: Callable[[], Awaitable[T]], left: Left) -> T:
        """Return what ``call`` returns while the wind-down lasts; a grant that stands again is as good."""

        def check(tx: Tx, now_s: float) -> None:
            if session_of(tx, self.platform, Capability.MACHINE, now_s) is None:
                self._looking(tx, now_s)

        return await self.clouds.covered(self.platform, check, call, left=left)

    async def close(self) -> None:
        """Do nothing: the driver is shared, and closed by RoutedClouds."""


def _not_granted(reason: str) -> CloudRefused:
    return CloudRefused(reason, fix="the platform's owner grants it, and an admin accepts")
