"""How much a project and its organisation may hold at once; asked in the transaction that adds to it.

What is held is what there is: every machine from the moment that it was begun for a project, or handed to one, until it
is gone, and every order that waits for an approval. Nothing is counted up or down beside it, so nothing can be
forgotten. A lower quota takes nothing away; it only admits nothing more.
"""

from collections.abc import Mapping

from catalog.allowance import MIB_PER_GIB, Weight
from catalog.errors import QuotaExceeded
from catalog.holders import Holder, holders_of, projects_of
from catalog.model.ids import ProjectId
from catalog.model.quota import Quota
from catalog.store import approvals, machines, rows
from catalog.store.database import Tx
from catalog.store.machines import Taken

_FIX = "give a machine back, or ask an admin for a larger quota"


def quota_of(tx: Tx, whose: Holder) -> Quota:
    """Return the holder's quota; one that nobody set yet is of version 0 and limits nothing."""
    return rows.find(tx, Quota, whose.id) or Quota(id=whose.id, version=0)


def change(tx: Tx, whose: Holder, limits: Mapping[str, int | None], now_s: float) -> Quota:
    """Set ``limits`` of ``Quota.LIMITS`` (None = none), keep the others, and return them all."""
    held = rows.find(tx, Quota, whose.id)
    if held is not None:
        return rows.update(tx, held, limits, now_s)
    return rows.insert(tx, Quota.model_validate({"id": whose.id, **limits}), now_s)


def used(tx: Tx, whose: Holder) -> Taken:
    """Return what the holder's projects hold now, and have reserved by orders that wait for approval."""
    projects = projects_of(tx, whose)
    return machines.held_by(tx, projects) + approvals.reserved(tx, projects)


def refuse_beyond(tx: Tx, project_id: ProjectId, wanted: Weight) -> None:
    """Raise QuotaExceeded, saying whose quota of what, unless there is room for one more machine like ``wanted``."""
    for whose in holders_of(tx, project_id):
        limits = rows.find(tx, Quota, whose.id)
        if limits is None:
            continue
        if words := shortage(limits, used(tx, whose), wanted):
            raise QuotaExceeded(f"the quota of {whose} is {words}", field="quota", fix=_FIX)


def refuse_over(tx: Tx, project_id: ProjectId) -> None:
    """Raise QuotaExceeded when a quota of the project is exceeded by what is held already.

    For a machine from a pool: it may count for more than its size does by now.
    """
    for whose in holders_of(tx, project_id):
        limits = rows.find(tx, Quota, whose.id)
        if limits is not None and (words := excess(limits, used(tx, whose))):
            raise QuotaExceeded(f"the quota of {whose} is {words}", field="quota", fix=_FIX)


def shortage(limits: Quota, held: Taken, wanted: Weight) -> str:
    """Return in words which quota has no room for one more machine like ``wanted`` beside what is ``held``; "" = none.

    Under a quota of cores or memory a machine of which they are not known has no room: it could not be counted.
    """
    for what, limit, of, each in (
        ("machines", limits.machines, held.machines, 1.0),
        ("vCPU", limits.cores, held.vcpu, wanted.vcpu),
        ("GiB of memory", limits.memory_gib, _gib(held.memory_mib), _gib(wanted.memory_mib)),
    ):
        if limit is None:
            continue
        if of is None or not each:
            return f"{limit} {what} at once, and not every machine's are known"
        if of + each > limit:
            return f"{limit} {what} at once: {of:g} are used, {max(0.0, limit - of):g} are left, {each:g} are needed"
    return ""


def excess(limits: Quota, held: Taken) -> str:
    """Return in words which quota is exceeded by what is ``held``; "" = none."""
    for what, limit, of in (
        ("machines", limits.machines, held.machines),
        ("vCPU", limits.cores, held.vcpu),
        ("GiB of memory", limits.memory_gib, _gib(held.memory_mib)),
    ):
        if limit is None:
            continue
        if of is None:
            return f"{limit} {what} at once, and not every machine's are known"
        if of > limit:
            return f"{limit} {what} at once, and it would be {of:g}"
    return ""


def _gib(mib: int | None) -> float | None:
    return None if mib is None else mib / MIB_PER_GIB
