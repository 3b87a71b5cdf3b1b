"""Reverse exits through the API: the relays through which platforms that cannot be dialled are reached."""

from gateway.client.collection import Collection
from gateway.client.resources import Resource


class Exit(Resource):
    """A relay through which a platform is reached, and which loopback ports there lead where."""

    platform: str
    relay: str
    ports: dict[str, int]
    announced_at: str | None


class Exits(Collection[Exit]):
    """The relays where connectors come out."""

    def approve(self, *, platform: str, relay: str) -> Exit:
        """Reach ``platform`` through ``relay`` from now on, and no longer by dialling it (admins only)."""
        return self._create({"platform": platform, "relay": relay})

    def remove(self, key: str) -> None:
        """Reach the platform through this relay no longer (admins only)."""
        self._remove(key)
