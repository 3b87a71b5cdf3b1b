"""Where provisioners are let in: an SSH server of one key, one subsystem, and channels to approved addresses."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncssh

from catalog.errors import CloudError, CloudMisbehaved
from catalog.model.ids import PlatformId
from catalog.ports import Address
from gateway.connections.tunnels import LiveConnections
from gateway.egress.asked import AskedLine, GrantedClouds
from gateway.egress.frames import SUBSYSTEM
from gateway.egress.keys import EgressKeys
from routing.tunnel.bridge import Bridge, ChannelSession

log = logging.getLogger(__name__)

USER: Final = "provisioner"
ANSWER_S: Final = 300.0
_DIAL_TIMEOUT_S: Final = 30.0
_LOGIN_TIMEOUT_S: Final = 15.0
_CHANNELS_LIMIT: Final = 512  # of one provisioner at once

_Serve = Callable[[asyncssh.SSHReader[Any], asyncssh.SSHWriter[Any], asyncssh.SSHWriter[Any]], Awaitable[None]]


@asynccontextmanager
async def egress_server(
    listen: Address,
    keys: EgressKeys,
    *,
    clouds: GrantedClouds,
    live: LiveConnections,
    owner: str,
    answer_s: float = ANSWER_S,
) -> AsyncIterator[Address]:
    """Let provisioners in while the block lasts; return where. ``owner`` marks what they make. Raises OSError.

    What a provisioner calls is cut when it has not said for ``answer_s`` what came of it.
    """
    visitors: set[asyncssh.SSHServerConnection] = set()

    def visitor() -> _Visitor:
        return _Visitor(keys, visitors, clouds=clouds, live=live, owner=owner, answer_s=answer_s)

    server = await asyncssh.listen(
        listen.host,
        listen.port,
        server_factory=visitor,
        server_host_keys=[keys.gateway],
        encoding=None,
        line_editor=False,
        allow_pty=False,
        agent_forwarding=False,
        x11_forwarding=False,
        compression_algs=None,
        login_timeout=_LOGIN_TIMEOUT_S,
        gss_host=None,
    )
    try:
        yield Address(host=listen.host, port=server.get_port())
    finally:
        server.close()
        for visiting in tuple(visitors):
            visiting.abort()
        await server.wait_closed()


class _Visitor(asyncssh.SSHServer):
    """One provisioner's connection: at most one line, and what is dialled for the calls on it."""

    def __init__(
        self,
        keys: EgressKeys,
        visitors: set[asyncssh.SSHServerConnection],
        *,
        clouds: GrantedClouds,
        live: LiveConnections,
        owner: str,
        answer_s: float,
    ) -> None:
        self._answer_s = answer_s
        self._keys = keys
        self._visitors = visitors
        self._connection: asyncssh.SSHServerConnection | None = None
        self._clouds = clouds
        self._live = live
        self._owner = owner
        self._line: AskedLine | None = None
        self._bridges: dict[Bridge, PlatformId] = {}

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Be there, to be sent away when the gateway goes down."""
        self._connection = conn
        self._visitors.add(conn)

    def begin_auth(self, username: str) -> bool:
        """Nobody comes in without a key."""
        del username
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys are the only way in."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Only those who have the secret have this key."""
        return username == USER and key.public_data == self._keys.provisioner.public_data

    def session_requested(self) -> _Serve:
        """Serve a line over the session."""
        return self._serve

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        """Dial ``PLATFORM@HOST`` through the platform's tunnel, for a call that is under way there."""
        del orig_host, orig_port
        platform, _, host = dest_host.partition("@")
        return self._dialled(PlatformId(platform), Address(host=host, port=dest_port))

    def connection_lost(self, exc: Exception | None) -> None:
        """Close what was dialled."""
        del exc
        if self._connection is not None:
            self._visitors.discard(self._connection)
        for bridge in tuple(self._bridges):
            bridge.abort()

    async def _serve(
        self, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes], _errors: object
    ) -> None:
        channel = reader.channel
        if self._line is not None or channel.get_subsystem() != SUBSYSTEM:
            channel.close()
            return
        line = self._line = AskedLine(
            self._clouds, self._owner, reader, writer, cut_off=self._cut_off, answer_s=self._answer_s
        )
        log.info("a provisioner is at work")
        try:
            await line.run()
        except (EOFError, asyncssh.Error, OSError):
            log.info("a provisioner is gone")
        except CloudMisbehaved as error:
            log.warning("a provisioner is sent away", extra={"code": error.code, "detail": str(error)})
        finally:
            self._line = None
            channel.close()

    async def _dialled(self, platform: PlatformId, address: Address) -> asyncssh.SSHTCPSession[bytes]:
        if self._line is None or not self._line.may_dial(platform, address):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "no call there is under way")
        if len(self._bridges) >= _CHANNELS_LIMIT:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many channels")
        try:
            dialled = await self._live.to_platform(platform).open_socket(address, _DIAL_TIMEOUT_S)
        except CloudError as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, str(error)) from error
        dialled.setblocking(False)  # noqa: FBT003  the library's own signature
        bridge = Bridge(self._forget)
        await asyncio.get_running_loop().create_connection(lambda: bridge.near, sock=dialled)
        self._bridges[bridge] = platform
        return _Dialled(bridge)

    def _forget(self, bridge: Bridge) -> None:
        self._bridges.pop(bridge, None)

    def _cut_off(self, platform: PlatformId) -> None:
        for bridge in [each for each, whose in self._bridges.items() if whose == platform]:
            bridge.abort()


class _Dialled(ChannelSession):
    """A provisioner's channel to what was dialled for it."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge.far)
        self._bridge = bridge

    def session_started(self) -> None:
        """Let both directions run: whoever asked knows that the channel is open."""
        self._bridge.far.resume()
        self._bridge.near.resume()
