"""What projects hold beside machines, through the API: volumes, snapshots, containers, zones, records, balancers."""

from collections.abc import Mapping

from gateway.client.collection import Collection, given
from gateway.client.orders import CLOUD_WAIT_S
from gateway.client.resources import Stateful

# The order for every asset ends in one of these.
ORDER_ENDED = frozenset({"ready", "failed", "gone"})


class Asset(Stateful):
    """One of them, at a platform."""

    kind: str
    name: str
    project: str
    platform: str
    offer: str
    size_gib: int | None
    location: str | None
    parent: str | None
    cloud_name: str
    cloud_id: str | None
    machines: list[str]
    options: dict[str, str]
    facts: dict[str, str]
    attempt: int
    next_attempt_at: str | None
    notice: str
    ends_at: str | None


class Assets(Collection[Asset]):
    """What projects hold beside machines."""

    def create(
        self,
        *,
        kind: str,
        offer: str | None = None,
        name: str | None = None,
        size_gib: int | None = None,
        location: str | None = None,
        parent: str | None = None,
        options: Mapping[str, str | int | None] | None = None,
        idempotency_key: str | None = None,
    ) -> Asset:
        """Order one of ``kind``: ``volume``, ``snapshot``, ``container``, ``zone``, ``record`` or ``balancer``.

        ``parent`` is what it is made from, or is in. ``options`` are what only its kind has: ``domain`` of a zone,
        ``host``, ``record_type``, ``value``, ``ttl_s`` of a record, ``port``, ``machine_port`` of a balancer.

        Repeating the call with the same ``idempotency_key`` orders it once.
        """
        wanted = given(kind=kind, offer=offer, name=name, size_gib=size_gib, location=location, parent=parent)
        wanted |= given(**(options or {}))
        return self._create(wanted, idempotency_key=idempotency_key)

    def attach(self, key: str, machine: str) -> Asset:
        """Attach a volume to a machine, or make that a balancer's member; it is done when this returns."""
        return self._at_cloud(key, "attach", machine)

    def detach(self, key: str, machine: str) -> Asset:
        """Undo that; it is done when this returns."""
        self._at_cloud(key, "detach", machine)
        return self.get(key)

    def destroy(self, key: str) -> Asset:
        """Destroy it, and what is on it; its state tells when that is done."""
        return self._act(key, "actions", body={"action": "destroy"})

    def _at_cloud(self, key: str, action: str, machine: str) -> Asset:
        return self._act(key, "actions", body={"action": action, "machine": machine}, extra_wait_s=CLOUD_WAIT_S)
