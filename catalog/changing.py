"""What a project changes about a machine that is there: its image, its size, its name.

What is wanted is written first, and judged in that transaction by grant, quotas and budgets; then the cloud is asked. A
clear no takes it back. Where the outcome is not known the row says what is wanted, and that it is ``changing``: until
whoever asks again, or ``gateway.background.changes``, has gone on with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog import consent, imported, naming, quotas
from catalog.allowance import Weight, refuse_item, refuse_over, weight
from catalog.clouds import MachineChanges
from catalog.costs import budgets
from catalog.costs.tally import hourly
from catalog.errors import InvalidValue, WrongState
from catalog.machines import cloud_name
from catalog.model.consent import Grant
from catalog.model.ids import MachineId, OrderId, PlatformId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.offering import Offer
from catalog.model.order import Order
from catalog.orders.admission import price_now
from catalog.orders.choose import MACHINE, inventory_item
from catalog.store import machines, rows
from catalog.store.database import Tx

REBUILD: Final = "rebuild"
RESIZE: Final = "resize"
RENAME: Final = "rename"
LEFT_ALONE_S: Final = 120.0  # whoever asked has his answer by then, or is no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One deed: what is wanted of the machine is written to its row, and its cloud is to be asked."""

    machine_id: MachineId
    platform_id: PlatformId
    cloud_id: str
    deed: str
    after: Mapping[str, Any]


async def ask(cloud: MachineChanges, change: Change) -> None:
    """Ask the machine's cloud for the change. Raises as ``MachineChanges`` does."""
    match change.deed:
        case "rebuild":
            await cloud.rebuild(change.cloud_id, str(change.after["image"]))
        case "resize":
            await cloud.resize(change.cloud_id, str(change.after["size"]))
        case _:
            await cloud.rename(change.cloud_id, str(change.after["name"]))


def rebuild(tx: Tx, machine: Machine, image: str | None, now_s: float) -> Change:
    """Give the machine the image (id or name; None: the one it has) from which its disk is made anew.

    Raises WrongState unless it is in use and nothing else is asked of its cloud, Denied for what the platform does not
    grant, InvalidValue for an image that it does not have.
    """
    grant = _granted(tx, machine, "rebuild", now_s)
    wanted = machine.image if image is None else _item(tx, machine, "image", image)
    if not wanted:
        raise InvalidValue("its cloud does not say which image it has", field="image", fix="name one")
    refuse_item(tx, grant, "image", wanted)
    return _written(tx, machine, REBUILD, {"image": wanted}, now_s)


def resize(tx: Tx, machine: Machine, size: str, now_s: float) -> Change:
    """Give the machine another size (id or name), which counts and costs as such from now on.

    Raises as ``rebuild``, where it grows QuotaExceeded and where it may cost more BudgetExceeded.
    """
    grant = _granted(tx, machine, "resize", now_s)
    wanted = _item(tx, machine, "size", size)
    refuse_item(tx, grant, "size", wanted)
    held, fresh = Weight(vcpu=machine.vcpu, memory_mib=machine.memory_mib), weight(tx, machine.platform_id, wanted)
    price = price_now(tx, machine.platform_id, wanted, now_s)
    after = {"size": wanted, "vcpu": fresh.vcpu, "memory_mib": fresh.memory_mib, "price": price}
    is_dearer = _is_dearer(tx, machine, price)
    _written(tx, machine, RESIZE, after, now_s)
    assert machine.project_id is not None
    if _grows(held.vcpu, fresh.vcpu) or _grows(held.memory_mib, fresh.memory_mib):
        refuse_over(tx, grant)
        quotas.refuse_over(tx, machine.project_id)
    if is_dearer:
        budgets.refuse_over(tx, machine.project_id, now_s)
    return change_of(machine)


def rename(tx: Tx, machine: Machine, name: str, now_s: float) -> Change:
    """Give the machine another name; one that we made stays unique by it. Raises as ``rebuild``."""
    _granted(tx, machine, "rename", now_s)
    naming.host_name(name)
    made_for = OrderId(machine.order_id) if machine.order_id else MachineId(machine.id)
    wanted = cloud_name(made_for, name) if machine.custody == Custody.MADE else name
    return _written(tx, machine, RENAME, {"name": wanted}, now_s)


def refuse_console(tx: Tx, machine: Machine, now_s: float) -> None:
    """Raise WrongState unless the machine is in use, Denied where its platform does not grant to read its console."""
    _granted(tx, machine, "console", now_s)


def change_of(machine: Machine) -> Change:
    """Return what is asked of the machine's cloud. Whoever calls has seen that something is."""
    assert machine.changing is not None
    return Change(
        machine_id=MachineId(machine.id),
        platform_id=machine.platform_id,
        cloud_id=str(machine.cloud_id),
        deed=str(machine.changing["deed"]),
        after=machine.changing["after"],
    )


def done(tx: Tx, change: Change, now_s: float) -> None:
    """Note that the cloud has made the change, unless another was wanted meanwhile."""
    machine = _still(tx, change)
    if machine is not None:
        rows.update(tx, machine, {"changing": None}, now_s)


def take_back(tx: Tx, change: Change, now_s: float) -> None:
    """Write what stood in the row before it was asked for, unless another change was wanted meanwhile."""
    machine = _still(tx, change)
    if machine is not None and machine.changing is not None:
        rows.update(tx, machine, {**machine.changing["before"], "changing": None}, now_s)


def left_alone(tx: Tx, now_s: float) -> Sequence[Machine]:
    """Return the machines of which something was asked that nobody waits for any more, and that may not be done."""
    return [each for each in machines.changing(tx) if each.changing and each.changing["at_s"] <= now_s - LEFT_ALONE_S]


def _still(tx: Tx, change: Change) -> Machine | None:
    machine = rows.by_id(tx, Machine, change.machine_id)
    is_asked = machine.changing is not None and change_of(machine) == change
    return machine if is_asked else None


def _granted(tx: Tx, machine: Machine, verb: str, now_s: float) -> Grant:
    if machine.cloud_id is None or machine.state is not MachineState.IN_USE:
        raise WrongState(f"the machine is {machine.state.value}", field="state", fix="one that is in use")
    imported.refuse_steering(tx, machine, now_s)
    return consent.allowed(tx, machine.platform_id, MACHINE, verb, now_s)


def _item(tx: Tx, machine: Machine, kind: str, named: str) -> str:
    return inventory_item(tx, rows.by_id(tx, Offer, machine.offer_id), kind, named).cloud_id


def _written(tx: Tx, machine: Machine, deed: str, after: Mapping[str, Any], now_s: float) -> Change:
    asked = machine.changing
    if asked is not None and asked["deed"] != deed:
        fix = "wait until that is done, or ask for it again"
        raise WrongState(f"its cloud was asked to {asked['deed']} it, and may be at it", field="state", fix=fix)
    # Asked again, what stood there before the first time is what a clear no goes back to.
    before = {name: getattr(machine, name) for name in after} if asked is None else asked["before"]
    changing = {"deed": deed, "at_s": now_s, "before": before, "after": dict(after)}
    return change_of(rows.update(tx, machine, {**after, "changing": changing}, now_s))


def _is_dearer(tx: Tx, machine: Machine, price: Mapping[str, Any] | None) -> bool:
    """Tell whether ``price`` may be more than the machine costs now: what nobody knows may be."""
    made_for = None if machine.order_id is None else rows.find(tx, Order, machine.order_id)
    held, currency = hourly(machine.price or (None if made_for is None else made_for.price))
    fresh, of = hourly(price)
    return held is None or fresh is None or of != currency or fresh > held


def _grows(held: float | None, fresh: float | None) -> bool:
    return fresh is None or held is None or fresh > held
