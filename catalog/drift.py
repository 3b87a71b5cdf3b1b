"""Where the catalog and a cloud differ about a machine, field by field; judged by whole lists alone.

A list that was not read to its end says nothing of what it lacks, so drift is noted when an inventory was taken over
and at no other time. Addresses are kept in step with the cloud as they change, and are no drift.
"""

from collections.abc import Mapping
from typing import Any, Final

from catalog.claims import claimed_by
from catalog.messages.contracts import TAG_MACHINE
from catalog.messages.handshake import Capability
from catalog.model.ids import PlatformId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.offering import InventoryItem
from catalog.store import rows
from catalog.store.database import Tx

_DELIVERED: Final = frozenset({MachineState.IDLE, MachineState.IN_USE})
_DEAD: Final = frozenset({"failed", "gone"})

Drift = list[dict[str, str]]  # {"field", "catalog", "cloud"} each


def note(tx: Tx, platform_id: PlatformId, *, read_from_s: float, now_s: float) -> int:
    """Note how the platform's machines differ from its inventory, and return for how many that changed.

    ``read_from_s``: when the list began to be read. A machine that changed since then is left for the next list. A
    change of drift is told as an event of the machine.
    """
    held = [
        machine
        for machine in rows.where(tx, Machine, platform_id=platform_id, state=_DELIVERED)
        if machine.cloud_id is not None and machine.updated_at_s < read_from_s
    ]
    if not held:
        return 0
    kind = Capability.MACHINE.value
    seen = {item.cloud_id: item for item in rows.where(tx, InventoryItem, platform_id=platform_id, kind=kind)}
    changed = 0
    for machine in held:
        now = between(machine, seen.get(str(machine.cloud_id)))
        if now != machine.drift:
            rows.update(tx, machine, {"drift": now}, now_s)
            changed += 1
    return changed


def between(machine: Machine, item: InventoryItem | None) -> Drift:
    """Return how ``machine`` differs from what the cloud lists of it; ``item`` None: it is not listed. Pure."""
    if item is None:
        return [_field("existence", "present", "absent")]
    facts: Mapping[str, Any] = item.facts
    tags: Mapping[str, str] = facts.get("tags") or {}
    drift = []
    status = str(facts.get("status", ""))
    if status in _DEAD:
        drift.append(_field("status", machine.state.value, status))
    told = {"name": item.name, "size": facts.get("size"), "image": facts.get("image")}
    ours = {"name": machine.name, "size": machine.size, "image": machine.image}
    if machine.network is not None:
        told["network"], ours["network"] = facts.get("network"), machine.network
    if machine.custody == Custody.MADE:
        told[TAG_MACHINE], ours[TAG_MACHINE] = tags.get(TAG_MACHINE), machine.id
    drift += [_field(name, ours[name], str(cloud)) for name, cloud in told.items() if cloud and cloud != ours[name]]
    if machine.custody == Custody.MANAGED and (whose := claimed_by(tags)):
        drift.append(_field("controller", "", whose))
    if machine.custody == Custody.MADE and not tags.get(TAG_MACHINE):
        # Whoever took our mark away took away how it would be found again.
        drift.append(_field(TAG_MACHINE, machine.id, ""))
    return drift


def _field(name: str, catalog: str, cloud: str) -> dict[str, str]:
    return {"field": name, "catalog": catalog, "cloud": cloud}
