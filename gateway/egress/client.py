"""catalog.clouds.Clouds of a provisioner in a process of its own: over a line to the gateway, which is kept up."""

import asyncio
import concurrent.futures
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncssh

from catalog.clouds import CloudAccount, CloudDriver
from catalog.errors import CatalogError, CloudTimedOut, CloudUnavailable
from catalog.model.ids import PlatformId
from catalog.ports import Address, Dialer
from gateway.connections.held import HeldDrivers
from gateway.connections.tunnels import THREAD_GRACE_S
from gateway.egress.frames import SUBSYSTEM
from gateway.egress.keys import EgressKeys
from gateway.egress.line import AskingLine
from gateway.egress.methods import PassedOn
from gateway.egress.server import USER
from gateway.relays.ssh_keys import public_line
from routing.candidates import Route
from routing.errors import HopTimedOut, RoutingError
from routing.topology import Address as RoutedAddress
from routing.topology import Node, NodeKind, Topology
from routing.tunnel.policy import PoolPolicy, TunnelCredentials, TunnelPolicy
from routing.tunnel.pool import HopPool
from routing.tunnel.tunnel import Tunnel

log = logging.getLogger(__name__)

BuildDriver = Callable[[CloudAccount, Dialer], CloudDriver]

_SITE: Final = "gateway"
_GATEWAY: Final = "gateway"
_AGAIN_S: Final = 1.0  # between two attempts to reach the gateway
_GREETING_S: Final = 30.0


class EgressClouds:
    """The clouds behind the gateway at ``address``; see ``egress_clouds``."""

    def __init__(self, address: Address, keys: EgressKeys, policy: TunnelPolicy, build_driver: BuildDriver) -> None:
        """``build_driver`` makes the drivers whose calls are allowed."""
        self._address = address
        self._policy = policy
        self._credentials = TunnelCredentials(client_key=keys.provisioner)
        self._topology = _topology(address, keys)
        self._loop = asyncio.get_running_loop()
        self._held = HeldDrivers(lambda account: build_driver(account, LineDialer(self, account.platform)))
        self._line: AskingLine | None = None
        self._tunnel: Tunnel | None = None
        self._up = asyncio.Event()

    async def owner(self) -> str:
        """Return the mark that the gateway wants on everything that is made, once it can be reached."""
        while self._line is None:
            await self._up.wait()
        return self._line.owner

    async def driver(self, platform: PlatformId) -> CloudDriver:
        """Return the platform's driver. Raises CloudUnavailable while there is no line to the gateway."""
        line = self._line
        if line is None:
            raise CloudUnavailable("the gateway cannot be reached")

        async def carry(name: str, /, **arguments: Any) -> Any:
            return await line.ask(platform, name, arguments)

        return PassedOn(carry)

    async def run(self) -> None:
        """Keep the line up until cancelled."""
        try:
            while True:
                try:
                    await self._run_once()
                except (RoutingError, CatalogError, asyncssh.Error, OSError, EOFError, TimeoutError) as error:
                    log.warning("no line to the gateway", extra={"address": str(self._address), "detail": str(error)})
                await asyncio.sleep(_AGAIN_S)
        finally:
            await self._held.close()

    async def _run_once(self) -> None:
        # A pool of its own: what it keeps warm would outlive the line that it is for.
        async with HopPool(self._credentials, self._policy, PoolPolicy(idle_s=0)) as pool:
            lease = await pool.lease((_GATEWAY,), self._topology)
            route = Route(hops=(_GATEWAY,), target="clouds")
            target = RoutedAddress(self._address.host, self._address.port)
            tunnel = Tunnel(route, lease, target_address=target, policy=self._policy)
            try:
                await self._speak(tunnel)
            finally:
                self._line = self._tunnel = None
                self._up.clear()
                await tunnel.close()

    async def _speak(self, tunnel: Tunnel) -> None:
        writer, reader, _ = await tunnel.connections[-1].open_session(subsystem=SUBSYSTEM, encoding=None)
        async with asyncio.timeout(_GREETING_S):
            line = await AskingLine.greet(reader, writer, self._held.of)
        self._line, self._tunnel = line, tunnel
        self._up.set()
        log.info("a line to the gateway stands", extra={"address": str(self._address)})
        await line.run()

    def dial(self, platform: PlatformId, address: Address, timeout_s: float) -> socket.socket:
        """Return a connected blocking socket to ``address`` of ``platform``; called from a driver's thread."""
        waiting = asyncio.run_coroutine_threadsafe(self._open(platform, address, timeout_s), self._loop)
        try:
            return waiting.result(timeout_s + THREAD_GRACE_S)
        except concurrent.futures.CancelledError as error:
            raise CloudUnavailable("the provisioner is going down") from error
        except concurrent.futures.TimeoutError as error:
            waiting.cancel()
            raise CloudTimedOut("the gateway did not open a channel in time") from error

    async def _open(self, platform: PlatformId, address: Address, timeout_s: float) -> socket.socket:
        if self._tunnel is None:
            raise CloudUnavailable("the gateway cannot be reached")
        try:
            return await self._tunnel.open_socket(RoutedAddress(f"{platform}@{address.host}", address.port), timeout_s)
        except HopTimedOut as error:
            raise CloudTimedOut("the platform did not answer through the gateway in time", detail=str(error)) from error
        except RoutingError as error:
            raise CloudUnavailable("the platform cannot be reached through the gateway", detail=str(error)) from error


class LineDialer:
    """catalog.ports.Dialer of one platform, over whichever line to the gateway is up when a socket is wanted."""

    def __init__(self, clouds: EgressClouds, platform: PlatformId) -> None:
        """Take whose line it is."""
        self._clouds = clouds
        self._platform = platform

    def dial(self, address: Address, *, timeout_s: float) -> socket.socket:
        """Return a connected blocking socket; called from a driver's thread."""
        return self._clouds.dial(self._platform, address, timeout_s)


@asynccontextmanager
async def egress_clouds(
    address: Address, keys: EgressKeys, *, policy: TunnelPolicy, build_driver: BuildDriver
) -> AsyncIterator[EgressClouds]:
    """Keep a line to the gateway at ``address`` up while the block lasts, and return the clouds behind it."""
    clouds = EgressClouds(address, keys, policy, build_driver)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(clouds.run(), name="line to the gateway")
        try:
            yield clouds
        finally:
            keeping.cancel()


def _topology(address: Address, keys: EgressKeys) -> Topology:
    """Return a network of the gateway alone, which is dialled as a relay is: its key pinned, nothing else believed."""
    gateway = Node(
        name=_GATEWAY,
        kind=NodeKind.RELAY,
        site=_SITE,
        address=RoutedAddress(address.host, address.port),
        user=USER,
        host_key=public_line(keys.gateway),
    )
    here = Node(name="provisioner", kind=NodeKind.GATEWAY, site=_SITE)
    return Topology(gateway=here, relays=(gateway,), links=())
