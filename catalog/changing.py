"""What a project changes about a machine that is there: its image, its size, its name.

What is wanted is written first, and judged in that transaction by grant, quotas and budgets; then the cloud is asked. A
clear no takes it back. Where the outcome is not known the row says what is wanted: drift tells if the cloud has it
otherwise, and whoever asks again goes on with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog import consent, imported, naming, quotas
from catalog.allowance import Weight, refuse_item, refuse_over, weight
from catalog.costs import budgets
from catalog.errors import InvalidValue, WrongState
from catalog.machines import cloud_name
from catalog.model.consent import Grant
from catalog.model.ids import MachineId, OrderId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.offering import Offer
from catalog.orders.admission import price_now
from catalog.orders.choose import MACHINE, inventory_item
from catalog.store import rows
from catalog.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A machine with what was wanted written to it: ``after``, and what stood there ``before``."""

    machine: Machine
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def rebuild(tx: Tx, machine: Machine, image: str | None, now_s: float) -> Change:
    """Return the machine with the image (id or name; None: the one it has) from which its disk is made anew.

    Raises WrongState unless it is in use, Denied for what the platform does not grant, InvalidValue for an image that
    it does not have.
    """
    grant = _granted(tx, machine, "rebuild", now_s)
    wanted = machine.image if image is None else _item(tx, machine, "image", image)
    if not wanted:
        raise InvalidValue("its cloud does not say which image it has", field="image", fix="name one")
    refuse_item(tx, grant, "image", wanted)
    return _written(tx, machine, {"image": wanted}, now_s)


def resize(tx: Tx, machine: Machine, size: str, now_s: float) -> Change:
    """Return the machine with another size (id or name), which counts and costs as such from now on.

    Raises as ``rebuild``, and where it grows QuotaExceeded and BudgetExceeded.
    """
    grant = _granted(tx, machine, "resize", now_s)
    wanted = _item(tx, machine, "size", size)
    refuse_item(tx, grant, "size", wanted)
    held, fresh = Weight(vcpu=machine.vcpu, memory_mib=machine.memory_mib), weight(tx, machine.platform_id, wanted)
    price = price_now(tx, machine.platform_id, wanted, now_s)
    after = {"size": wanted, "vcpu": fresh.vcpu, "memory_mib": fresh.memory_mib, "price": price}
    change = _written(tx, machine, after, now_s)
    assert machine.project_id is not None
    if _grows(held.vcpu, fresh.vcpu) or _grows(held.memory_mib, fresh.memory_mib):
        refuse_over(tx, grant)
        quotas.refuse_over(tx, machine.project_id)
    budgets.refuse_over(tx, machine.project_id, now_s)
    return change


def rename(tx: Tx, machine: Machine, name: str, now_s: float) -> Change:
    """Return the machine with another name; one that we made stays unique by it. Raises as ``rebuild``."""
    _granted(tx, machine, "rename", now_s)
    naming.host_name(name)
    made_for = OrderId(machine.order_id) if machine.order_id else MachineId(machine.id)
    wanted = cloud_name(made_for, name) if machine.custody == Custody.MADE else name
    return _written(tx, machine, {"name": wanted}, now_s)


def refuse_console(tx: Tx, machine: Machine, now_s: float) -> None:
    """Raise WrongState unless the machine is in use, Denied where its platform does not grant to read its console."""
    _granted(tx, machine, "console", now_s)


def take_back(tx: Tx, machine_id: MachineId, change: Change, now_s: float) -> None:
    """Write what stood there before ``change``, unless something else was wanted meanwhile."""
    machine = rows.by_id(tx, Machine, machine_id)
    if all(getattr(machine, name) == value for name, value in change.after.items()):
        rows.update(tx, machine, change.before, now_s)


def _granted(tx: Tx, machine: Machine, verb: str, now_s: float) -> Grant:
    if machine.cloud_id is None or machine.state is not MachineState.IN_USE:
        raise WrongState(f"the machine is {machine.state.value}", field="state", fix="one that is in use")
    imported.refuse_steering(tx, machine, now_s)
    return consent.allowed(tx, machine.platform_id, MACHINE, verb, now_s)


def _item(tx: Tx, machine: Machine, kind: str, named: str) -> str:
    return inventory_item(tx, rows.by_id(tx, Offer, machine.offer_id), kind, named).cloud_id


def _written(tx: Tx, machine: Machine, after: Mapping[str, Any], now_s: float) -> Change:
    before = {name: getattr(machine, name) for name in after}
    return Change(machine=rows.update(tx, machine, after, now_s), before=before, after=after)


def _grows(held: float | None, fresh: float | None) -> bool:
    return fresh is None or held is None or fresh > held
