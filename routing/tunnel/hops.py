"""Connect to relays, one hop at a time, trusting nothing but the pinned key and offering nothing but ours.

Every option that would read a home directory, an agent or a terminal is off. Only AES-GCM is offered: it is the fastest
here, and the prefix truncation attack (CVE-2023-48795) does not apply to it, so no relay can negotiate a
weaker bargain, with or without strict key exchange.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass

import asyncssh

from routing.errors import HopError, HopRefused, HopTimedOut, HostKeyMismatch, TopologyInvalid
from routing.topology import Address, Node
from routing.tunnel.connecting import connect_lean
from routing.tunnel.host_keys import host_key_algorithms, pinned_keys
from routing.tunnel.packets import LeanConnection
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from routing.tunnel.prompt import PromptConnection
from routing.tunnel.stripes import stripes_for
from routing.tunnel.watch import HopWatch
from routing.tunnel.windows import window_for

_KEY_EXCHANGES = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
# Negotiated by the protocol but unused: AES-GCM authenticates by itself.
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")


@dataclass(frozen=True, slots=True)
class Hop:
    """One relay of a tunnel, connected."""

    name: str
    connection: asyncssh.SSHClientConnection
    watch: HopWatch


async def connect_hop(
    relay: Node,
    address: Address,
    *,
    through: asyncssh.SSHClientConnection | None,
    credentials: TunnelCredentials,
    policy: TunnelPolicy,
    on_log_in: Callable[[asyncssh.SSHClientConnection], None] | None = None,
) -> Hop:
    """Return a connection to ``relay`` at ``address``, dialled from the end of ``through`` (None: from here).

    With ``on_log_in`` it is made the prompt way (see ``routing.tunnel.prompt``), and channels may be opened over what
    that is called with; without, by asyncssh's own. Raises HostKeyMismatch, HopRefused (BrokeOff where the other way
    may be worth a try) or HopTimedOut, with nothing left open; TopologyInvalid when the relay has no user or no
    pinned key.
    """
    if not relay.user:
        raise TopologyInvalid(f"relay {relay.name} has no user to log in as", node=relay.name)
    watch = HopWatch(relay.name)
    options = _options(relay, credentials, policy, watch)
    connection: asyncssh.SSHClientConnection
    try:
        async with asyncio.timeout(policy.hop_timeout_s):
            if on_log_in is None:
                connection = await asyncssh.connect(address.host, address.port, tunnel=through, **options)
            else:
                connection = await connect_lean(
                    address,
                    through=through,
                    window_bytes=window_over(through, policy),
                    kind=functools.partial(PromptConnection, on_log_in=on_log_in),
                    **options,
                )
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise _translated(error, relay.name) from error
    if isinstance(connection, PromptConnection):
        connection.settle()
    return Hop(relay.name, connection, watch)


def _options(relay: Node, credentials: TunnelCredentials, policy: TunnelPolicy, watch: HopWatch) -> dict[str, object]:
    keys = pinned_keys(relay)
    return {
        "username": relay.user,
        "known_hosts": keys,
        "server_host_key_algs": host_key_algorithms(keys),
        "client_keys": [credentials.shown_to(relay)],
        "client_factory": lambda: watch,
        "config": None,
        "agent_path": None,
        "preferred_auth": ["publickey"],
        "password_auth": False,
        "kbdint_auth": False,
        "host_based_auth": False,
        "gss_host": None,
        "gss_kex": False,
        "gss_auth": False,
        "disable_trivial_auth": True,
        "x509_trusted_certs": None,
        "kex_algs": _KEY_EXCHANGES,
        "encryption_algs": _CIPHERS,
        "mac_algs": _MACS,
        "compression_algs": None,
        "login_timeout": 0,  # The timeout around the connect covers the log-in too.
        "keepalive_interval": policy.keepalive_s,
        "keepalive_count_max": policy.keepalive_count,
        "rekey_bytes": policy.rekey_bytes,
        "rekey_seconds": policy.rekey_s,
    }


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
    return window_for(_round_trip_s(connection), rate_mbps=policy.rate_mbps, limit_bytes=policy.window_bytes)


def stripes_over(connection: asyncssh.SSHClientConnection, policy: TunnelPolicy) -> int:
    """Return over how many channels of ``connection`` a large upload should go at once."""
    return stripes_for(_round_trip_s(connection), rate_mbps=policy.rate_mbps, limit=policy.stripe_limit)


def _round_trip_s(connection: asyncssh.SSHClientConnection | None) -> float:
    return connection.round_trip_s if isinstance(connection, LeanConnection) else 0.0


class BrokeOff(HopRefused):
    """The hop ended the connection without saying why; it may not like the way it was made."""


# What asyncssh and the system raise, and what it means to a route; the first line that fits counts. Their own
# texts may hold the far side's words, so none of it is copied.
_MEANINGS: tuple[tuple[type[Exception], type[HopError], str], ...] = (
    (TimeoutError, HopTimedOut, "no connection in time"),
    (asyncssh.HostKeyNotVerifiable, HostKeyMismatch, "its host key is not the pinned one"),
    (asyncssh.KeyExchangeFailed, HopRefused, "it offers no AES-GCM cipher or no modern key exchange"),
    (asyncssh.PermissionDenied, HopRefused, "it does not accept our key for that user"),
    (asyncssh.ChannelOpenError, HopRefused, "the relay before it cannot connect to it, or may not"),
    (ConnectionRefusedError, HopRefused, "nothing listens there"),
    (asyncssh.Error, BrokeOff, "the SSH connection ended before it stood"),
)


def _translated(error: Exception, hop: str) -> HopError:
    for kind, ours, words in _MEANINGS:
        if isinstance(error, kind):
            return ours(words, hop=hop)
    return HopRefused("cannot connect", hop=hop)
