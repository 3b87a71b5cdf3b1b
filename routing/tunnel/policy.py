"""How tunnels are built and kept. Pure values."""

from dataclasses import dataclass, field

import asyncssh

from routing.errors import TopologyInvalid
from routing.topology import Node
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


# A certificate is good for the log-in that it was made for; the rest is room for clocks that disagree.
CERTIFIED_SINCE, CERTIFIED_UNTIL = "-2m", "+3m"


@dataclass(slots=True, kw_only=True)
class TunnelCredentials:
    """What this gateway shows to relays; nothing else is ever offered to them.

    ``client_key`` is the private key, ``authority`` the one that signs certificates for it. Both may be replaced while
    tunnels stand; the next log-in shows the new one.
    """

    client_key: asyncssh.SSHKey = field(repr=False)
    authority: asyncssh.SSHKey | None = field(default=None, repr=False)

    def shown_to(self, relay: Node) -> asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]:
        """Return our key, with a certificate for this relay's user that ends in minutes where the relay wants one.

        Raises TopologyInvalid when it does and there is no authority.
        """
        if not relay.certified:
            return self.client_key
        if self.authority is None:
            raise TopologyInvalid(
                f"relay {relay.name} wants a certificate, and nobody here makes them", node=relay.name
            )
        return self.client_key, certificate(self.client_key, self.authority, relay.user)


def certificate(
    key: asyncssh.SSHKey,
    authority: asyncssh.SSHKey,
    user: str,
    since: str = CERTIFIED_SINCE,
    until: str = CERTIFIED_UNTIL,
) -> asyncssh.SSHCertificate:
    """Return a certificate that lets ``key`` in as ``user``, to forward and for nothing else, between two moments.

    ``since`` and ``until`` are relative to now, such as ``-2m``.
    """
    return authority.generate_user_certificate(
        key,
        f"crossway for {user}",
        principals=[user],
        valid_after=since,
        valid_before=until,
        permit_x11_forwarding=False,
        permit_agent_forwarding=False,
        permit_pty=False,
        permit_user_rc=False,
    )
