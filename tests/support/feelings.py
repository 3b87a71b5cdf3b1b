"""What choosing between tunnels wants of them: how they feel, in memory."""

from typing import cast

from gateway.connections.hedging import Way
from routing.candidates import Route
from routing.tunnel.heartbeat import Listener
from routing.tunnel.liveness import Health
from routing.tunnel.tunnel import Tunnel


class Feeling:
    """A tunnel that carries nothing: its health is what a test says."""

    def __init__(self) -> None:
        self.health = Health.HEALTHY
        self.listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Take a listener."""
        self.listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Forget a listener."""
        self.listeners.remove(listener)

    def becomes(self, health: Health) -> None:
        """Change, and tell."""
        self.health = health
        for listener in tuple(self.listeners):
            listener(health)


def ways(*feelings: Feeling) -> tuple[Way, ...]:
    """Return a way over each, in order, named by its number."""
    return tuple(Way(Route((str(place),), "t"), cast("Tunnel", each), "site") for place, each in enumerate(feelings))
