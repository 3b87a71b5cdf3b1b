"""The driver of every connected platform: dialled through its tunnel, held to its grants, counted in its sessions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from catalog.clouds import CloudAccount, CloudDriver
from catalog.connections import count_call
from catalog.consent import standing
from catalog.errors import CloudRefused, Denied
from catalog.messages.handshake import Capability
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId
from catalog.platforms import cloud_account
from catalog.ports import Clock, Dialer
from catalog.secrets import Sealer
from catalog.store.database import Database, Tx
from gateway.connections.auditing import note_wind_down
from gateway.connections.call_rates import CallRates
from gateway.connections.granted_machines import GrantedDriver
from gateway.connections.held import HeldDrivers
from gateway.connections.left import Left
from gateway.connections.running_calls import RunningCalls
from gateway.connections.tunnels import LiveConnections, TunnelDialer
from gateway.connections.watched import GrantedCheck

T = TypeVar("T")

BuildDriver = Callable[[CloudAccount, Dialer], CloudDriver]


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
        self._clock = clock
        self.calls = RunningCalls()
        self.rates = CallRates()
        self._held = HeldDrivers(lambda account: build_driver(account, self._dialer(account.platform)))

    def now_s(self) -> float:
        """Return the time by which grants are judged."""
        return self._clock.now_s()

    async def driver(self, platform: PlatformId) -> CloudDriver:
        """Return the platform's driver; each of its calls is checked against the grants and counted.

        Raises CloudUnavailable while no connection to the platform is established.
        """
        self._live.to_platform(platform)  # before anything is built
        return await self.granted(platform, await self.ungranted(platform))

    async def ungranted(self, platform: PlatformId) -> CloudDriver:
        """Return the bare driver, for the log-in that precedes any grant."""
        return await self._held.of(await self.account(platform))

    async def granted(self, platform: PlatformId, inner: CloudDriver) -> CloudDriver:
        """Return a driver that asks the grants before it calls ``inner``, which another process may make calls with.

        Raises CloudUnavailable while no connection to the platform is established.
        """
        self._live.to_platform(platform)  # fail now rather than in the middle of a call
        return GrantedDriver(inner, platform, self)

    async def account(self, platform: PlatformId) -> CloudAccount:
        """Return the platform's account as it is now. Raises what ``catalog.platforms.cloud_account`` does."""
        return await self.database.read(lambda tx: cloud_account(tx, platform, self._sealer))

    async def covered(
        self,
        platform: PlatformId,
        check: GrantedCheck,
        call: Callable[[], Awaitable[T]],
        *,
        capability: Capability,
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

    async def count(self, platform: PlatformId, left: Left | None = None) -> None:
        """Count one business call, and note what it does with what an ended grant ``left``."""
        connection, now_s = self._live.to_platform(platform).connection, self._clock.now_s()

        def note(tx: Tx) -> None:
            if left is None or left.counts:
                count_call(tx, connection)
            if left is not None and (grant := left.session(tx, platform, now_s)) is not None:
                note_wind_down(tx, grant, connection, left, now_s)

        await self.database.write(note)

    async def close(self) -> None:
        """Let go of every driver."""
        await self._held.close()

    def _dialer(self, platform: PlatformId) -> TunnelDialer:
        return TunnelDialer(self._live, platform, asyncio.get_running_loop())


def _not_granted(reason: str) -> CloudRefused:
    return CloudRefused(reason, fix="the platform's owner grants it, and an admin accepts")
