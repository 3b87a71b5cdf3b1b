"""One connection as the picture shows it: its route, its standby and how it came to them."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.client.decisions import Decision

# Dark and far apart, also for eyes that see fewer colours.
COLOURS = ("#111827", "#7c3aed", "#be185d", "#0f766e", "#92400e", "#1d4ed8")
GATEWAY = "gateway"
DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """``route`` is the one in use, empty when there is none; ``decisions`` are oldest first."""

    title: str
    target: str
    route: str
    decisions: Sequence[Decision] = ()

    @property
    def standby(self) -> str:
        """Return the standby of the route in use as of the latest decision; empty when there is none."""
        latest = self.decisions[-1] if self.decisions else None
        if latest is None or latest["winner"] != self.route or latest["standby"] is None:
            return ""
        return latest["standby"]["route"] or ""

    @property
    def no_standby(self) -> str:
        """Return why there is no standby, as far as the gateway said so."""
        latest = self.decisions[-1]["standby"] if self.decisions else None
        return latest["because"] if latest is not None and latest["route"] is None else ""

    def nodes(self, route: str) -> list[str]:
        """Return the nodes that ``route`` passes, from the gateway to the target, as links name them."""
        if not route:
            return []
        relays = [] if route == DIRECT else route.split(">")
        return [GATEWAY, *relays, f"platform/{self.target}"]


def colour_of(number: int) -> str:
    """Return the colour of the journey with this index."""
    return COLOURS[number % len(COLOURS)]
