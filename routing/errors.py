"""What can go wrong on the way, named for the state of the network.

``str(error)`` is fit for any reader: it names hops and addresses of ours, never bytes that a remote
side sent and never a credential. A lost probe is a measurement, not an error.
"""

from typing import ClassVar


class RoutingError(Exception):
    """The root of every error that leaves ``routing``."""

    code: ClassVar[str] = "routing-error"
    retryable: ClassVar[bool] = False


class TopologyInvalid(RoutingError):
    """The description of the network contradicts itself; ``node`` names the place."""

    code = "topology-invalid"

    def __init__(self, message: str, *, node: str) -> None:
        super().__init__(message)
        self.node = node


class NoRoute(RoutingError):
    """No route to ``target`` is left; ``rule`` names the rule that took the last one away."""

    code = "no-route"

    def __init__(self, message: str, *, target: str, rule: str) -> None:
        super().__init__(message)
        self.target = target
        self.rule = rule


class HopError(RoutingError):
    """The root of what a single hop can end in; ``hop`` is the name of the relay or target."""

    code = "hop-error"

    def __init__(self, message: str, *, hop: str) -> None:
        super().__init__(f"{hop}: {message}")
        self.hop = hop


class HopRefused(HopError):
    """The hop, or the one before it on its behalf, said no: nothing listens, key refused, forward refused."""

    code = "hop-refused"
    retryable = True


class HopTimedOut(HopError):
    """The hop did not answer in time."""

    code = "hop-timed-out"
    retryable = True


class HostKeyMismatch(HopError):
    """The hop could not prove the host key pinned for it. Nothing was sent to it; an admin must look."""

    code = "host-key-mismatch"


class TunnelLost(RoutingError):
    """The tunnel is closed or broken; the text says by what. A new one may be built."""

    code = "tunnel-lost"
    retryable = True


class TunnelFull(RoutingError):
    """The tunnel already carries as many sockets as its policy allows; one must close first."""

    code = "tunnel-full"
    retryable = True


class ConnectionsFull(RoutingError):
    """The gateway holds as many connections to relays as it may, all of them in use; a tunnel must close first."""

    code = "connections-full"
    retryable = True


class LinkUnmeasured(RoutingError):
    """A route was to be judged, one of whose links nobody has measured; ``link`` is its (source, target)."""

    code = "link-unmeasured"
    retryable = True

    def __init__(self, message: str, *, link: tuple[str, str]) -> None:
        super().__init__(message)
        self.link = link


class RawSocketsRefused(RoutingError):
    """ICMP probes are required by policy, and this process may not open raw sockets."""

    code = "raw-sockets-refused"
