"""The first channel of a tunnel, opened behind the last relay's log-in instead of after it.

That is worth a round trip over the whole way, and again when whoever wanted the tunnel opens its first socket: it is
this channel that they get, unless they take their time.
"""

import asyncio
from collections.abc import Callable

import asyncssh

from routing.topology import Address
from routing.tunnel.bridge import Bridge, open_channel
from routing.tunnel.hops import window_over
from routing.tunnel.policy import TunnelPolicy

# A target may give up a connection on which nothing is said; few do so within this time.
_KEPT_S = 2.0


class FirstChannel:
    """A channel to ``address`` that is opened before there is a tunnel, and taken once."""

    def __init__(self, address: Address, policy: TunnelPolicy) -> None:
        self._address = address
        self._policy = policy
        self._bridge: Bridge | None = None  # what is being opened, or open and not taken
        self._settled = asyncio.Event()
        self._settled.set()
        self._user: Callable[[Bridge], None] | None = None
        self._dropping: asyncio.TimerHandle | None = None

    def begin(self, connection: asyncssh.SSHClientConnection) -> None:
        """Begin to open the channel over ``connection``, in place of one begun over another that did not last.

        A failure is none: whoever needs the channel opens it again, and hears why it cannot be.
        """
        self.drop()
        self._settled.clear()
        self._bridge = bridge = Bridge(self._closed)
        # In a task of the connection, which ends with it: nobody here may wait for the target.
        connection.create_task(self._open(connection, bridge))

    async def is_open(self) -> bool:
        """Wait until the channel stands or does not, and tell which. False at once when none was begun."""
        await self._settled.wait()
        return self._bridge is not None and not self._bridge.far.is_gone

    async def take(self, address: Address, on_closed: Callable[[Bridge], None]) -> Bridge | None:
        """Return a bridge whose far end is the channel, if it leads to ``address`` and nobody took it before.

        ``on_closed`` is called with it when both its ends are gone. A target that ended it meanwhile reads as ended.
        """
        if address != self._address or not await self.is_open():
            return None
        bridge, self._bridge, self._user = self._bridge, None, on_closed
        self._cancel()
        return bridge

    def drop(self) -> None:
        """Close the channel, unless somebody took it. May be repeated."""
        self._cancel()
        if self._bridge is not None:
            bridge, self._bridge = self._bridge, None
            bridge.abort()
        self._settled.set()

    async def _open(self, connection: asyncssh.SSHClientConnection, bridge: Bridge) -> None:
        try:
            await open_channel(connection, self._address, bridge.far, window_over(connection, self._policy))
        except asyncssh.ChannelOpenError:
            if self._bridge is bridge:
                self.drop()
            return
        if self._bridge is bridge:
            self._dropping = asyncio.get_running_loop().call_later(_KEPT_S, self.drop)
            self._settled.set()

    def _cancel(self) -> None:
        if self._dropping is not None:
            self._dropping.cancel()
            self._dropping = None

    def _closed(self, bridge: Bridge) -> None:
        if self._user is not None:
            self._user(bridge)
