"""What a grant admits of machines: which ones (its scope), and how many more of them (its quotas).

To be asked in the transaction that adds the machine, so that two orders cannot both take the last place.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from catalog.errors import Denied, QuotaExceeded
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId, ProjectId
from catalog.model.machine import Machine
from catalog.model.offering import InventoryItem
from catalog.model.platform import Platform
from catalog.model.tenancy import Project
from catalog.store import machines, rows
from catalog.store.database import Tx
from catalog.store.machines import Taken
from catalog.tenancy import reference_to

MIB_PER_GIB = 1024

# What is granted, as patterns by "sizes", "images", "networks" and "regions"; what is absent is not limited.
Scope = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A machine that somebody wants, in the cloud's ids; ``location`` or ``network`` None leaves it to the cloud.

    ``project`` is whose it shall be, None for a pool's.
    """

    size: str
    image: str
    location: str | None = None
    project: ProjectId | None = None
    network: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """What one machine counts for in the quotas; None where its cloud does not tell."""

    vcpu: float | None
    memory_mib: int | None


def wanted(machine: Machine) -> Wanted:
    """Return ``machine`` as what was wanted of it."""
    return Wanted(
        size=machine.size,
        image=machine.image,
        location=machine.location,
        project=machine.project_id,
        network=machine.network,
    )


def network_for(tx: Tx, grant: Grant, named: str | None) -> str | None:
    """Return to which network a machine under ``grant`` is attached: the ``named`` one, else the cloud's choice (None).

    Where the scope has some networks only, the cloud may not choose: then it is the one that the scope has. If there
    are several, None, which ``refuse_outside`` refuses: somebody has to name one.
    """
    if named is not None or not grant.scope.get("networks"):
        return named
    there = rows.where(tx, InventoryItem, platform_id=grant.platform_id, kind="network")
    fitting = [item.cloud_id for item in there if admits(grant.scope, "networks", (item.cloud_id, item.name))]
    return fitting[0] if len(fitting) == 1 else None


def weight(tx: Tx, platform_id: PlatformId, size: str) -> Weight:
    """Return what a machine of ``size`` (the cloud's id) counts for; all None for a size that is not known."""
    item = _item(tx, platform_id, "size", size)
    if item is None:
        return Weight(vcpu=None, memory_mib=None)
    memory_mib = None if item.memory_gib is None else round(item.memory_gib * MIB_PER_GIB)
    return Weight(vcpu=item.vcpu, memory_mib=memory_mib)


def refuse_outside(tx: Tx, grant: Grant, asked: Wanted) -> None:
    """Raise Denied, naming the order's field, unless the grant's scope has a machine like ``asked``."""
    refuse_item(tx, grant, "size", asked.size)
    refuse_item(tx, grant, "image", asked.image)
    _refuse_network(tx, grant, asked.network)
    refuse_elsewhere(tx, grant, project=asked.project, location=asked.location)


def refuse_item(tx: Tx, grant: Grant, kind: str, cloud_id: str) -> None:
    """Raise Denied, naming ``kind`` ("size" or "image") as the field, unless the grant's scope has that one."""
    item = _item(tx, grant.platform_id, kind, cloud_id)
    _refuse(grant, f"{kind}s", kind, (cloud_id, item.name if item else cloud_id))


def refuse_elsewhere(tx: Tx, grant: Grant, *, project: ProjectId | None, location: str | None) -> None:
    """Raise Denied, naming the order's field, unless the grant's scope has the project, and the place."""
    if project is not None:
        refuse_others(tx, grant, project)
    region = rows.by_id(tx, Platform, grant.platform_id).region
    place = _item(tx, grant.platform_id, "location", location) if location is not None else None
    # Where the cloud chooses, only the region as a whole can be held against the scope.
    _refuse(grant, "regions", "location", (region, location or region, place.name if place else region))


def _refuse_network(tx: Tx, grant: Grant, network: str | None) -> None:
    patterns = grant.scope.get("networks")
    if network is not None:
        item = _item(tx, grant.platform_id, "network", network)
        _refuse(grant, "networks", "network", (network, item.name if item else network))
    elif patterns:
        fix = f"name one of {', '.join(patterns)}"
        raise Denied("the platform grants some networks only, so that one has to be named", field="network", fix=fix)


def refuse_others(tx: Tx, grant: Grant, project_id: ProjectId) -> None:
    """Raise Denied unless the grant's scope has the project."""
    whose = reference_to(tx, rows.by_id(tx, Project, project_id))
    _refuse(grant, "projects", "project", (project_id, whose))


def refuse_beyond(tx: Tx, grant: Grant, size: str) -> None:
    """Raise QuotaExceeded, naming the quota, unless the grant has room for one more machine of ``size``."""
    _refuse_full(_rooms(grant, machines.taken_at(tx, grant.platform_id), weight(tx, grant.platform_id, size)))


def refuse_retry_beyond(tx: Tx, grant: Grant, machine: Machine) -> None:
    """Raise QuotaExceeded, naming the quota, unless ``machine`` has room in what the grant admits by now.

    It counts already, from its first attempt on; the terms may have become narrower since.
    """
    own = Weight(vcpu=machine.vcpu, memory_mib=machine.memory_mib)
    _refuse_full(_rooms(grant, machines.taken_before(tx, machine), own))


def refuse_over(tx: Tx, grant: Grant) -> None:
    """Raise QuotaExceeded, naming the quota, when more is taken at the grant's platform than it admits.

    For a machine that is there and has just become larger.
    """
    taken = machines.taken_at(tx, grant.platform_id)
    memory_mib = None if grant.memory_gib is None else grant.memory_gib * MIB_PER_GIB
    for what, limit, used in (("vCPU", grant.cores, taken.vcpu), ("MiB of memory", memory_mib, taken.memory_mib)):
        if limit is not None and (used is None or used > limit):
            would = "and not every machine's are known" if used is None else f"and it would be {used:g}"
            message = f"the platform grants {limit:g} {what} at once, {would}"
            raise QuotaExceeded(message, field="size", fix="a smaller size, or give a machine back")


def room(tx: Tx, grant: Grant, size: str) -> tuple[int | None, str]:
    """Return how many more machines of ``size`` the quotas admit (None = any number) and, if none, why."""
    rooms = _rooms(grant, machines.taken_at(tx, grant.platform_id), weight(tx, grant.platform_id, size))
    if not rooms:
        return None, ""
    least, words = min(rooms, key=lambda each: each[0])
    return least, "" if least else words


def _refuse_full(rooms: Sequence[tuple[int, str]]) -> None:
    for left, words in rooms:
        if left < 1:
            raise QuotaExceeded(words, field="offer", fix="give a machine back, or order at another platform")


def _rooms(grant: Grant, taken: Taken, one: Weight) -> list[tuple[int, str]]:
    """Return, for each quota of the grant, how many more machines it admits and the words for when it admits none."""
    found = []
    if grant.quota is not None:
        words = f"the platform grants {grant.quota} machines at once and all are taken"
        found.append((max(0, grant.quota - taken.machines), words))
    memory_mib = None if grant.memory_gib is None else grant.memory_gib * MIB_PER_GIB
    for what, limit, used, each in (
        ("vCPU", grant.cores, taken.vcpu, one.vcpu),
        ("MiB of memory", memory_mib, taken.memory_mib, one.memory_mib),
    ):
        if limit is not None:
            found.append(_divided(what, limit, used, each))
    return found


def _divided(what: str, limit: float, used: float | None, each: float | None) -> tuple[int, str]:
    # What nobody knows cannot be counted, and a quota that is not counted is none.
    if used is None or not each:
        return 0, f"the platform grants {limit:g} {what}, and not every machine's are known"
    left = limit - used
    words = f"the platform grants {limit:g} {what} at once: {max(0.0, left):g} are left and {each:g} are needed"
    return max(0, math.floor(left / each)), words


def admits(scope: Scope, kind: str, names: Sequence[str]) -> bool:
    """Whether a grant's ``scope`` has what is called by one of ``names``; ``kind``: "sizes", "images" and so on."""
    patterns = scope.get(kind)
    return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def has_place(tx: Tx, scope: Scope, platform_id: PlatformId, region: str) -> bool:
    """Whether a grant's ``scope`` has the platform's ``region``, or at least one of its locations."""
    if admits(scope, "regions", (region,)):
        return True
    places = rows.where(tx, InventoryItem, platform_id=platform_id, kind="location")
    return any(admits(scope, "regions", (place.cloud_id, place.name)) for place in places)


def _refuse(grant: Grant, kind: str, field: str, names: Sequence[str]) -> None:
    patterns = grant.scope.get(kind)
    if patterns and not admits(grant.scope, kind, names):
        raise Denied(f"this {field} is not granted by the platform", field=field, fix=f"one of {', '.join(patterns)}")


def _item(tx: Tx, platform_id: PlatformId, kind: str, cloud_id: str) -> InventoryItem | None:
    return rows.first(tx, InventoryItem, platform_id=platform_id, kind=kind, cloud_id=cloud_id)
