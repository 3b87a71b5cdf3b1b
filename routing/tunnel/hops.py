"""Connect to relays, one hop at a time, trusting nothing but the pinned key and offering nothing but ours.

Every option that would read a home directory, an agent or a terminal is off. Only AES-GCM is offered: it is the fastest
here, and the prefix truncation attack (CVE-2023-48795) does not apply to it, so no relay can negotiate a
weaker bargain, with or without strict key exchange.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import asyncssh

from routing.errors import HopError, HopRefused, HopTimedOut, HostKeyMismatch, TopologyInvalid
from routing.topology import Address, Node, Topology
from routing.tunnel.connecting import connect_lean
from routing.tunnel.host_keys import host_key_algorithms, pinned_keys
from routing.tunnel.packets import LeanConnection
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from routing.tunnel.watch import HopWatch
from routing.tunnel.windows import window_for

_KEY_EXCHANGES = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
# Negotiated by the protocol but unused: AES-GCM authenticates by itself.
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")


async def connect_hop(
    relay: Node,
    address: Address,
    *,
    through: asyncssh.SSHClientConnection | None,
    credentials: TunnelCredentials,
    policy: TunnelPolicy,
    ended: asyncio.Event,
) -> tuple[asyncssh.SSHClientConnection, HopWatch]:
    """Return a connection to ``relay`` at ``address``, dialled from the end of ``through`` (None: from here).

    ``ended`` is set when it ends. Raises HostKeyMismatch, HopRefused or HopTimedOut, with nothing left open;
    TopologyInvalid when the relay has no user or no pinned key.
    """
    if not relay.user:
        raise TopologyInvalid(f"relay {relay.name} has no user to log in as", node=relay.name)
    keys = pinned_keys(relay)
    watch = HopWatch(relay.name, ended)
    try:
        async with asyncio.timeout(policy.hop_timeout_s):
            connection = await connect_lean(
                address,
                through=through,
                window_bytes=window_over(through, policy),
                username=relay.user,
                known_hosts=keys,
                server_host_key_algs=host_key_algorithms(keys),
                client_keys=[credentials.client_key],
                client_factory=lambda: watch,
                config=None,
                agent_path=None,
                preferred_auth=["publickey"],
                password_auth=False,
                kbdint_auth=False,
                host_based_auth=False,
                gss_host=None,
                gss_kex=False,
                gss_auth=False,
                disable_trivial_auth=True,
                x509_trusted_certs=None,
                kex_algs=_KEY_EXCHANGES,
                encryption_algs=_CIPHERS,
                mac_algs=_MACS,
                compression_algs=None,
                login_timeout=0,  # The timeout around us covers the connect and the log-in.
                keepalive_interval=policy.keepalive_s,
                keepalive_count_max=policy.keepalive_count,
            )
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise _translated(error, relay.name) from error
    return connection, watch


class Hops:
    """Warm connections to relays by the way they are reached, for probing; one login serves all links of a relay.

    Use as an async context manager; leaving it closes every connection.
    """

    def __init__(self, topology: Topology, credentials: TunnelCredentials, policy: TunnelPolicy | None = None) -> None:
        self._topology = topology
        self._credentials = credentials
        self._policy = policy or TunnelPolicy()
        self._relays = {relay.name: relay for relay in topology.relays}
        self._connections: dict[tuple[str, ...], asyncssh.SSHClientConnection] = {}
        self._turns: dict[tuple[str, ...], asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def reach(self, via: tuple[str, ...]) -> asyncssh.SSHClientConnection:
        """Return a live connection to the last relay of ``via``, built or reused. Callers asking at once share it.

        Raises as ``connect_hop`` does, and TopologyInvalid for an unknown relay. May be repeated.
        """
        async with self._turns.setdefault(via, asyncio.Lock()):
            known = self._connections.get(via)
            if known is not None and not known.is_closed():
                return known
            through = await self.reach(via[:-1]) if len(via) > 1 else None
            relay = self._relay(via[-1])
            source = self._relay(via[-2]) if through is not None else self._topology.gateway
            connection, _ = await connect_hop(
                relay,
                self._topology.dial_address(source, relay),
                through=through,
                credentials=self._credentials,
                policy=self._policy,
                ended=asyncio.Event(),
            )
            self._connections[via] = connection
            return connection

    async def close(self) -> None:
        """Close every connection, the farthest first. May be repeated."""
        farthest_first = sorted(self._connections, key=len, reverse=True)
        await close_connections([self._connections.pop(via) for via in farthest_first], self._policy.close_timeout_s)

    def _relay(self, name: str) -> Node:
        try:
            return self._relays[name]
        except KeyError as error:
            raise TopologyInvalid(f"there is no relay named {name}", node=name) from error


async def close_connections(connections: list[asyncssh.SSHClientConnection], timeout_s: float) -> None:
    """Close ``connections`` in order: politely first, and by force whatever is still open after ``timeout_s``.

    Cancelling it aborts them at once.
    """
    for connection in connections:
        connection.close()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for connection in connections:
                    await connection.wait_closed()
    finally:
        for connection in connections:
            connection.abort()


def window_over(connection: asyncssh.SSHClientConnection | None, policy: TunnelPolicy) -> int:
    """Return the window, in bytes, of a channel over ``connection``, from the delay of the way it takes."""
    round_trip_s = connection.round_trip_s if isinstance(connection, LeanConnection) else 0.0
    return window_for(round_trip_s, rate_mbps=policy.rate_mbps, limit_bytes=policy.window_bytes)


# What asyncssh and the system raise, and what it means to a route; the first line that fits counts. Their own
# texts may hold the far side's words, so none of it is copied.
_MEANINGS: tuple[tuple[type[Exception], type[HopError], str], ...] = (
    (TimeoutError, HopTimedOut, "no connection in time"),
    (asyncssh.HostKeyNotVerifiable, HostKeyMismatch, "its host key is not the pinned one"),
    (asyncssh.KeyExchangeFailed, HopRefused, "it offers no AES-GCM cipher or no modern key exchange"),
    (asyncssh.PermissionDenied, HopRefused, "it does not accept our key for that user"),
    (asyncssh.ChannelOpenError, HopRefused, "the relay before it cannot connect to it, or may not"),
    (ConnectionRefusedError, HopRefused, "nothing listens there"),
    (asyncssh.Error, HopRefused, "the SSH connection ended before it stood"),
)


def _translated(error: Exception, hop: str) -> HopError:
    for kind, ours, words in _MEANINGS:
        if isinstance(error, kind):
            return ours(words, hop=hop)
    return HopRefused("cannot connect", hop=hop)
