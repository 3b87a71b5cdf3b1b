"""A tunnel that stands: open sockets through it, count what passes, notice its end, close it.

A socket from ``open_socket`` is one half of a ``socketpair()``; the other half is bridged to a channel of the
last relay, so there is no listening port that another local user could ride. A direct route is bridged in the
same way, so that closing the tunnel cuts its sockets too, even after TLS has wrapped them.
"""

import asyncio
import contextlib
import socket

import asyncssh

from routing.candidates import Route
from routing.errors import HopError, HopRefused, HopTimedOut, TunnelFull, TunnelLost
from routing.topology import Address
from routing.tunnel.bridge import Bridge, End, open_channel
from routing.tunnel.first import FirstChannel
from routing.tunnel.heartbeat import Listener
from routing.tunnel.hops import stripes_over, window_over
from routing.tunnel.liveness import Health
from routing.tunnel.policy import TunnelPolicy
from routing.tunnel.pool import Lease
from routing.tunnel.watch import wait_unreachable


class Tunnel:
    """The way to everything that the end of ``route`` may dial. Belongs to one event loop."""

    def __init__(
        self,
        route: Route,
        lease: Lease | None,
        *,
        target_address: Address,
        policy: TunnelPolicy,
        first: FirstChannel | None = None,
    ) -> None:
        """Take over ``lease``, on the last relay of ``route`` (None: a direct route), and what is open over it."""
        self.route = route
        self.hops = tuple(hop.name for hop in lease.hops) if lease else ()
        self.target_address = target_address
        self.channels_opened = 0
        self._lease = lease
        self._first = first
        self._hops = lease.hops if lease else ()
        self._policy = policy
        self._ended = asyncio.Event()  # set by the first hop to end, or by close
        self._is_closed = False
        self._bridges: set[Bridge] = set()
        self._opening: set[asyncio.Timeout] = set()
        self._bytes_in_before = 0  # by bridges that are gone
        self._bytes_out_before = 0
        self._direct_reason = ""
        self._health = Health.HEALTHY
        self._listeners: list[Listener] = []
        for hop in self._hops:
            hop.watch.listen(self._hop_ended)
        self._heartbeat = self._hops[-1].watch.heartbeat(self.connections, policy.liveness) if self._hops else None
        if self._heartbeat is not None:
            self._health = self._heartbeat.health  # others may have shared it for long
            self._heartbeat.join(self._felt)

    @property
    def connections(self) -> tuple[asyncssh.SSHClientConnection, ...]:
        """The relays' connections, the nearest first, to be measured; others may share them."""
        return tuple(hop.connection for hop in self._hops)

    @property
    def channels_open(self) -> int:
        """Sockets open through the tunnel now."""
        return len(self._bridges)

    @property
    def bytes_in(self) -> int:
        """Bytes that have come back through the tunnel since it stands."""
        return self._bytes_in_before + sum(bridge.bytes_in for bridge in self._bridges)

    @property
    def bytes_out(self) -> int:
        """Bytes that have gone out through the tunnel since it stands."""
        return self._bytes_out_before + sum(bridge.bytes_out for bridge in self._bridges)

    @property
    def is_lost(self) -> bool:
        """Whether the tunnel is closed or a relay of it is gone."""
        return self._ended.is_set()

    @property
    def health(self) -> Health:
        """What is believed of the way to the end of the route, or to a direct target; DEAD when the tunnel is lost."""
        return Health.DEAD if self.is_lost else self._health

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` at every change of health from now on, in the event loop."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Do not call ``listener`` any more; harmless when it is not known."""
        with contextlib.suppress(ValueError):
            self._listeners.remove(listener)

    @property
    def upload_stripes(self) -> int:
        """Over how many sockets a large upload should go at once, if its parts can; 1 where one socket is enough."""
        return stripes_over(self._hops[-1].connection, self._policy) if self._hops else 1

    async def open_socket(self, address: Address, timeout_s: float) -> socket.socket:
        """Return a connected, blocking stream socket to ``address`` as dialled from the end of the route.

        The caller closes it. When the tunnel ends, it reads as ended. Raises TunnelLost, TunnelFull, HopRefused or
        HopTimedOut (``hop`` is then the target), with nothing left open.
        """
        if self.is_lost:
            raise TunnelLost(self._reason())
        if len(self._bridges) + len(self._opening) >= self._policy.socket_limit:
            raise TunnelFull(f"the tunnel carries {self._policy.socket_limit} sockets already")
        patience = asyncio.timeout(timeout_s)
        self._opening.add(patience)
        try:
            async with patience:
                return await self._bridged(address)
        except TimeoutError as error:
            if self._is_closed:
                raise TunnelLost(self._reason()) from error
            raise HopTimedOut(f"{address} did not answer in time", hop=self.route.target) from error
        except asyncssh.ChannelOpenError as error:
            raise self._refused(address) from error
        except OSError as error:
            raise HopRefused(
                f"cannot connect to {address} ({error.strerror or type(error).__name__})", hop=self.route.target
            ) from error
        finally:
            self._opening.remove(patience)

    async def wait_lost(self) -> str:
        """Wait until the tunnel is of no more use; return why. Returns at once when it already is not."""
        if self._hops:
            await self._ended.wait()
        else:
            await self._wait_direct_lost()
        return self._reason()

    @property
    def lost_hop(self) -> str:
        """The name of the nearest hop that is gone; the target's when none of the relays is."""
        return next((hop.name for hop in self._hops if hop.watch.reason is not None), self.route.target)

    async def close(self) -> None:
        """End every socket, also those being opened, and give the relays' connections back. May be repeated."""
        self._is_closed = True
        self._ended.set()
        self._felt(Health.DEAD)
        self._cut()
        if self._first is not None:
            self._first.drop()
        for patience in self._opening:
            if not patience.expired():
                patience.reschedule(asyncio.get_running_loop().time())
        for hop in self._hops:
            hop.watch.unlisten(self._hop_ended)
        if self._heartbeat is not None:
            self._heartbeat.leave(self._felt)
        if self._lease is not None:
            await self._lease.release()

    def _hop_ended(self) -> None:
        self._ended.set()
        self._felt(Health.DEAD)

    def _felt(self, health: Health) -> None:
        if health is not self._health is not Health.DEAD:
            self._health = health
            for listener in tuple(self._listeners):
                listener(health)

    def _cut(self) -> None:
        for bridge in tuple(self._bridges):
            bridge.abort()

    async def _wait_direct_lost(self) -> None:
        async with asyncio.TaskGroup() as group:
            watched = group.create_task(self._watch_direct())
            await self._ended.wait()
            watched.cancel()

    async def _watch_direct(self) -> None:
        self._direct_reason = await wait_unreachable(self.target_address, self._policy, self._felt)
        self._ended.set()
        self._felt(Health.DEAD)
        self._cut()

    async def _bridged(self, address: Address) -> socket.socket:
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            ours, loops = socket.socketpair()
            undo.callback(ours.close)
            undo.callback(loops.close)
            loops.setblocking(False)  # noqa: FBT003  the library's own signature
            first = await self._first.take(address, self._forget) if self._first is not None else None
            bridge = first or Bridge(self._forget)
            undo.callback(bridge.abort)
            if first is None:
                await self._dial(address, bridge.far)
            await loop.create_connection(lambda: bridge.near, sock=loops)
            if self.is_lost:
                raise TunnelLost(self._reason())
            undo.pop_all()
        self._bridges.add(bridge)
        self.channels_opened += 1
        bridge.far.resume()
        bridge.near.resume()
        return ours

    async def _dial(self, address: Address, end: End) -> None:
        if self._hops:
            last = self._hops[-1].connection
            await open_channel(last, address, end, window_over(last, self._policy))
        else:
            await asyncio.get_running_loop().create_connection(lambda: end, address.host, address.port)

    def _forget(self, bridge: Bridge) -> None:
        if bridge in self._bridges:
            self._bridges.remove(bridge)
            self._bytes_in_before += bridge.bytes_in
            self._bytes_out_before += bridge.bytes_out

    def _refused(self, address: Address) -> HopError | TunnelLost:
        if self.is_lost:
            return TunnelLost(self._reason())
        return HopRefused(f"the last relay cannot connect to {address}, or may not", hop=self.route.target)

    def _reason(self) -> str:
        if self._is_closed:
            return "the tunnel was closed"
        # A hop that dies takes the ones behind it along; the nearest is the cause.
        reasons = (hop.watch.reason for hop in self._hops)
        return next((reason for reason in reasons if reason is not None), self._direct_reason)
