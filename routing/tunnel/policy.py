"""How tunnels are built and kept. Pure values."""

from dataclasses import dataclass, field

import asyncssh

from routing.tunnel.liveness import LivenessPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelPolicy:
    """Limits of a tunnel.

    A relay that falls silent is noticed by heartbeats under ``liveness``; one that no tunnel ends at after about
    ``keepalive_s * (keepalive_count + 1)``. A direct target is suspect after one failed connect, and lost after
    ``direct_misses`` in a row, ``keepalive_s`` apart.
    A socket's window is sized for ``rate_mbps`` over the delay of its path; ``window_bytes`` bounds it, and with it
    what is buffered for one socket here and at the last relay.
    A connection gets new keys when it has sent ``rekey_bytes`` or is ``rekey_s`` old.
    An upload in parts goes over at most ``stripe_limit`` sockets at once.
    ``verify_target``: a tunnel counts as built only when its end could connect to the target.
    """

    hop_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    keepalive_s: float = 2.0
    keepalive_count: int = 2
    liveness: LivenessPolicy = field(default_factory=LivenessPolicy)
    direct_misses: int = 4
    rate_mbps: float = 500.0
    window_bytes: int = 4 * 1024 * 1024
    rekey_bytes: int = 1024 * 1024 * 1024
    rekey_s: float = 3600.0
    socket_limit: int = 256
    stripe_limit: int = 8
    verify_target: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """How many connections to relays are kept.

    One that nobody has used for ``idle_s`` is closed (0: at once); so are those longest unused beyond
    ``idle_limit``. ``connection_limit`` bounds all of them, used or not.
    """

    idle_s: float = 300.0
    idle_limit: int = 256
    connection_limit: int = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelCredentials:
    """The private key this gateway shows to relays. It is the only credential ever offered to them."""

    client_key: asyncssh.SSHKey = field(repr=False)
