"""What an order for an asset needs to exist, on top of ``tests.support.ordering``."""

from typing import Any

from sqlmodel import Session

from catalog import consent
from catalog.assets.place import place
from catalog.cloud_assets import AssetKind
from catalog.messages.handshake import CAPABILITY_VERBS, Capability
from catalog.model.asset import Asset, AssetState
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import ConnectionId, EntryId, GrantId, MachineId, OfferId, ProjectId
from catalog.model.machine import Machine, MachineState
from catalog.model.offering import CatalogEntry, Offer
from catalog.store import rows
from tests.support.ordering import OFFER, PLATFORM, PROJECT, RETRY

VOLUMES = OfferId("offer_V")
GRANT = GrantId("grant_V")


def seed_volumes(tx: Session, now_s: float = 1.0, **terms: Any) -> Grant:
    """Let the platform grant volumes on ``terms``, on offer; returns the grant. May be repeated."""
    held = rows.find(tx, Grant, GRANT)
    if held is not None:
        return held
    facts: dict[str, Any] = {"verbs": list(CAPABILITY_VERBS[Capability.VOLUME]), **terms}
    grant = Grant(
        id=GRANT, platform_id=PLATFORM, connection_id=ConnectionId("connection_C"), request_id=GRANT,
        capability="volume", state=GrantState.ACCEPTED, **facts,
    )  # fmt: skip
    rows.insert(tx, grant, now_s)
    rows.insert(tx, CatalogEntry(id=EntryId("entry_V"), capability="volume", title="Volumes"), now_s)
    rows.insert(tx, Offer(id=VOLUMES, entry_id=EntryId("entry_V"), platform_id=PLATFORM, grant_id=GRANT), now_s)
    return grant


def volume(
    tx: Session, name: str, now_s: float, *, size_gib: int | None = 8, project: ProjectId = PROJECT, **rest: Any
) -> Asset:
    """Order an ordinary volume."""
    wanted: dict[str, Any] = {"offer": "north", **rest}
    return place(
        tx, project_id=project, kind=AssetKind.VOLUME, name=name, size_gib=size_gib, now_s=now_s, policy=RETRY, **wanted
    )


def snapshot(tx: Session, of: Asset, name: str, now_s: float) -> Asset:
    """Order a snapshot."""
    return place(
        tx, project_id=of.project_id, kind=AssetKind.SNAPSHOT, offer=None, name=name, parent=of, now_s=now_s,
        policy=RETRY,
    )  # fmt: skip


def ready(tx: Session, name: str, now_s: float, **rest: Any) -> Asset:
    """Return a volume that its cloud has made."""
    asset = volume(tx, name, now_s, **rest)
    return rows.update(tx, asset, {"state": AssetState.READY, "cloud_id": f"vol-{name}"}, now_s)


def in_use(tx: Session, now_s: float, *, project: ProjectId = PROJECT, **changes: Any) -> Machine:
    """Return a machine that the project has."""
    facts: dict[str, Any] = {"id": MachineId("machine_M"), "cloud_id": "vm-1", "state": MachineState.IN_USE, **changes}
    machine = Machine(
        platform_id=PLATFORM, offer_id=OFFER, project_id=project, name="web", size="s1", image="i1", **facts
    )
    return rows.insert(tx, machine, now_s)


def allowed(tx: Session, verb: str, now_s: float) -> Grant:
    """Return the grant if it allows ``verb``."""
    return consent.allowed(tx, PLATFORM, Capability.VOLUME, verb, now_s)
