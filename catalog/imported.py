"""Machines that were at a platform before us: imported to be observed or managed, and released without touching them.

What the platform's owner granted to list may be observed. To be managed takes more: the verb "adopt", which nobody has
unless the owner names it, room in the quotas, and that no other controller steers the machine. Whatever ends for an
imported machine (its lease, its grant, its project's use of it), it is released and stays where it is: it was there
before us. It is destroyed only when somebody asks for just that.
"""

import logging
from typing import Any, Final

from catalog import consent, quotas
from catalog.allowance import refuse_beyond, refuse_others, refuse_outside, wanted, weight
from catalog.claims import claimed_by
from catalog.costs import budgets
from catalog.errors import AlreadyExists, Denied, InvalidValue, WrongState
from catalog.machines import made_by_us, release
from catalog.messages.handshake import Capability
from catalog.model.ids import MachineId, PlatformId, ProjectId, new_id
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.offering import CatalogEntry, InventoryItem, Offer
from catalog.model.platform import Platform
from catalog.orders.choose import MACHINE, inventory_item
from catalog.prices import book
from catalog.store import rows
from catalog.store.database import Tx

log = logging.getLogger(__name__)

ADOPT: Final = "adopt"
RELEASED: Final = "released: it stays at its cloud"
_FIX_OBSERVED = "an admin has it managed, if its platform grants to adopt machines"


def import_machine(
    tx: Tx, platform: Platform, *, machine: str, project_id: ProjectId, custody: Custody, now_s: float
) -> Machine:
    """Return the machine that the platform's cloud lists as ``machine`` (its id or name), imported into the project.

    Raises InvalidValue when the cloud does not list it; AlreadyExists for one that is in the catalog, made by us or
    imported; Denied for what the platform's owner does not grant; and as ``entrust`` for one that is to be managed.
    """
    grant = consent.allowed(tx, platform.id, MACHINE, "list", now_s)
    refuse_others(tx, grant, project_id)
    offer = _offer(tx, platform.id)
    item = inventory_item(tx, offer, Capability.MACHINE.value, machine)
    _refuse_known(tx, platform.id, item)
    size, image, network = (str(item.facts.get(name) or "") for name in ("size", "image", "network"))
    counts_for = weight(tx, platform.id, size)
    fresh = Machine(
        id=MachineId(new_id("machine", now_s)),
        platform_id=platform.id,
        offer_id=offer.id,
        project_id=project_id,
        custody=custody.value,
        state=MachineState.IN_USE,
        name=item.name,
        size=size,
        image=image,
        network=network or None,
        cloud_id=item.cloud_id,
        addresses=[str(each) for each in item.facts.get("addresses") or ()],
        vcpu=counts_for.vcpu,
        memory_mib=counts_for.memory_mib,
        price=_price(tx, platform, size, now_s),
        epoch=grant.epoch,
        used_from_s=now_s,
    )
    if custody is Custody.MANAGED:
        _refuse_managed(tx, fresh, item, now_s)
    try:
        rows.insert(tx, fresh, now_s)
    except AlreadyExists as error:
        raise AlreadyExists("this machine is imported already", field="machine") from error
    log.info("machine imported", extra={"machine": fresh.id, "platform": platform.id, "custody": custody.value})
    return fresh


def entrust(tx: Tx, machine: Machine, custody: Custody, now_s: float) -> Machine:
    """Let an imported machine be observed or managed from now on, and return it; may be repeated.

    Raises WrongState for one that we made or that is on its way out, or whose newest list lacks it; to have it managed
    also Denied where the owner does not grant to adopt it or another controller claims it, QuotaExceeded and
    BudgetExceeded.
    """
    if machine.custody == Custody.MADE or machine.state is not MachineState.IN_USE:
        raise WrongState("only an imported machine is observed or managed", field="custody")
    if machine.custody == custody:
        return machine
    if custody is Custody.MANAGED:
        item = _listed(tx, machine)
        if item is None:
            raise WrongState("its cloud does not list this machine any more", field="custody", fix="release it")
        _refuse_managed(tx, machine, item, now_s)
    # What it cost while it was only observed was not its project's to pay.
    begins = {"used_from_s": now_s} if custody is Custody.MANAGED else {}
    return rows.update(tx, machine, {"custody": custody.value, **begins}, now_s)


def let_go(tx: Tx, machine: Machine, now_s: float) -> Machine:
    """Forget an imported machine; nothing is said to its cloud. Raises WrongState unless it is imported and in use."""
    return release(tx, machine, now_s, reason=RELEASED)


def refuse_deed(tx: Tx, platform_id: PlatformId, cloud_id: str, verb: str, now_s: float) -> None:
    """Raise Denied when the machine with this id at the cloud is imported, and ``verb`` may not be done to it now.

    An observed one is only looked at; a managed one is steered while its owner grants that, and to adopt, and no other
    controller claims it.
    """
    machine = _imported(tx, platform_id, cloud_id)
    if machine is not None:
        refuse_steering(tx, machine, now_s)
        consent.allowed(tx, platform_id, MACHINE, verb, now_s)


def refuse_steering(tx: Tx, machine: Machine, now_s: float) -> None:
    """Raise Denied when ``machine`` is imported and nothing whatever may be done to it now; see ``refuse_deed``."""
    if machine.custody == Custody.OBSERVED:
        raise Denied("this machine is observed only: nothing is done to it", field="action", fix=_FIX_OBSERVED)
    if machine.custody != Custody.MANAGED:
        return
    consent.allowed(tx, machine.platform_id, MACHINE, ADOPT, now_s)
    item = _listed(tx, machine)
    if item is not None:
        _refuse_claimed(item)


def is_imported(tx: Tx, platform_id: PlatformId, cloud_id: str) -> bool:
    """Return whether the machine with this id at the platform was there before us and is in the catalog."""
    return _imported(tx, platform_id, cloud_id) is not None


def _imported(tx: Tx, platform_id: PlatformId, cloud_id: str) -> Machine | None:
    there: dict[str, Any] = {"platform_id": platform_id, "cloud_id": cloud_id}
    imported = {Custody.MANAGED, Custody.OBSERVED}
    return rows.first(tx, Machine, **there, custody=imported, state=set(MachineState) - {MachineState.GONE})


def _refuse_known(tx: Tx, platform_id: PlatformId, item: InventoryItem) -> None:
    if made_by_us(tx, platform_id, cloud_id=item.cloud_id, tags=item.facts.get("tags") or {}, name=item.name):
        raise AlreadyExists("this machine was made here: there is nothing to import", field="machine")
    if _imported(tx, platform_id, item.cloud_id) is not None:
        raise AlreadyExists("this machine is imported already", field="machine", fix="release it first")
    if item.facts.get("status") == "gone":
        raise InvalidValue("this machine is gone at its cloud", field="machine", fix="one that is there")


def _refuse_managed(tx: Tx, machine: Machine, item: InventoryItem, now_s: float) -> None:
    """Raise as ``entrust`` unless ``machine`` may be managed, in the transaction that makes it so."""
    _refuse_claimed(item)
    grant = consent.allowed(tx, machine.platform_id, MACHINE, ADOPT, now_s)
    refuse_outside(tx, grant, wanted(machine))
    refuse_beyond(tx, grant, machine.size)
    assert machine.project_id is not None
    quotas.refuse_beyond(tx, machine.project_id, weight(tx, machine.platform_id, machine.size))
    lent_s = None if machine.lease_ends_at_s is None else machine.lease_ends_at_s - now_s
    budgets.refuse_beyond(tx, machine.project_id, price=machine.price, lease_s=lent_s, now_s=now_s)


def _refuse_claimed(item: InventoryItem) -> None:
    if whose := claimed_by(item.facts.get("tags") or {}):
        raise Denied(f"{whose} steers this machine", field="machine", fix="observe it, or take it from there first")


def _listed(tx: Tx, machine: Machine) -> InventoryItem | None:
    kind = Capability.MACHINE.value
    return rows.first(tx, InventoryItem, platform_id=machine.platform_id, kind=kind, cloud_id=machine.cloud_id)


def _offer(tx: Tx, platform_id: PlatformId) -> Offer:
    entry = rows.first(tx, CatalogEntry, capability=MACHINE)
    offer = None if entry is None else rows.first(tx, Offer, entry_id=entry.id, platform_id=platform_id)
    if offer is None:
        raise WrongState("the platform's machines have not been listed yet", field="platform", fix="try again later")
    return offer


def _price(tx: Tx, platform: Platform, size: str, now_s: float) -> dict[str, object] | None:
    item = rows.first(tx, InventoryItem, platform_id=platform.id, kind="size", cloud_id=size)
    names = (size, item.name if item is not None else size)
    return book.kept(book.prices_at(tx, platform, now_s, items=names).of(*names)) if size else None
