"""Begin and end machines: the row changes and the message to the provisioner leave in one transaction."""

from collections.abc import Collection, Mapping

from sqlmodel import Session

from catalog.errors import WrongState
from catalog.messages.contracts import TAG_MACHINE, TO_PROVISIONER, CreateMachine, DestroyMachine
from catalog.model.ids import AssetId, MachineId, MessageId, OrderId, PlatformId, new_id
from catalog.model.machine import MACHINE_TRANSITIONS, Custody, Machine, MachineEvent, MachineState
from catalog.model.order import Order
from catalog.store import outbox, rows

TAG_ORDER = "crossway-order"
DESTROYED_ON_REQUEST = "destroyed on request"


def cloud_name(made_for: OrderId | MachineId | AssetId, wanted: str | None = None) -> str:
    """Return a machine's name at its cloud: ``wanted`` or "crossway", made unique by the id of what it is made for.

    That is its order; a machine that is made for a pool has none yet and carries its own id.
    """
    return f"{wanted or 'crossway'}-{made_for.rpartition('_')[2].lower()}"


def machine_name(order: Order) -> str:
    """Return what a machine that is made for ``order`` is called at its cloud; it is the same wherever that is.

    An order that its tenant gave no name bears its machine's name already.
    """
    own = cloud_name(order.id)
    return own if order.name == own else cloud_name(order.id, order.name)


def ask_creation(tx: Session, machine: Machine, *, deadline_s: float, now_s: float) -> None:
    """Ask the provisioner for ``machine``'s current attempt; ``deadline_s`` is its allowance until it runs."""
    message = CreateMachine(
        id=MessageId(new_id("message", now_s)),
        created_at_s=now_s,
        machine=machine.id,
        platform=machine.platform_id,
        name=machine.name,
        size=machine.size,
        image=machine.image,
        attempt=machine.attempt,
        order=machine.order_id,
        location=machine.location,
        key_pair=machine.key_pair,
        network=machine.network,
        tags=tags(machine),
        deadline_s=deadline_s,
        epoch=machine.epoch,
    )
    outbox.put(tx, TO_PROVISIONER, message, now_s)


def dispose(tx: Session, machine: Machine, event: MachineEvent, now_s: float, *, reason: str = "") -> None:
    """Take ``machine`` to its destruction along ``event`` and ask the provisioner for it. Raises WrongState."""
    rows.move(tx, machine, MACHINE_TRANSITIONS, event, now_s, {"reason": reason})
    ask_destruction(tx, machine, now_s)


def release(tx: Session, machine: Machine, now_s: float, *, reason: str) -> Machine:
    """Forget ``machine``, which was imported, and leave it where it is. Raises WrongState for one that we made."""
    if machine.custody == Custody.MADE:
        raise WrongState("this machine was made for its project: it can be given back", field="custody")
    forgotten = {"reason": reason, "used_to_s": now_s, "drift": [], "notice": "", "ends_at_s": None}
    return rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.RELEASE, now_s, forgotten)


def is_released(machine: Machine) -> bool:
    """Return whether ``machine`` was imported and let go: it is gone here alone, and still at its cloud."""
    # What was there before us ends in one other way only: destroyed because somebody asked for it.
    is_over = machine.state is MachineState.GONE and machine.custody != Custody.MADE
    return is_over and machine.reason != DESTROYED_ON_REQUEST


def part_with(tx: Session, machine: Machine, now_s: float, *, reason: str) -> None:
    """Let go of ``machine`` because its time is over: what we made is destroyed, what was there before us stays."""
    if machine.custody == Custody.MADE:
        dispose(tx, machine, MachineEvent.RETIRE, now_s, reason=reason)
    else:
        release(tx, machine, now_s, reason=reason)


def ask_destruction(tx: Session, machine: Machine, now_s: float) -> None:
    """Ask the provisioner to leave nothing of ``machine`` at its platform."""
    message = DestroyMachine(
        id=MessageId(new_id("message", now_s)),
        created_at_s=now_s,
        machine=machine.id,
        platform=machine.platform_id,
        cloud_id=machine.cloud_id,
        tags=tags(machine),
    )
    outbox.put(tx, TO_PROVISIONER, message, now_s)


def made_by_us(
    tx: Session, platform: PlatformId, *, cloud_id: str | None = None, tags: Mapping[str, str], name: str = ""
) -> bool:
    """Tell whether a machine that we made at ``platform`` has this id at its cloud, or these tags or this ``name``.

    Between its creation and the report of it only the tags tell; of a cloud that lost the tags, the name.
    """
    told = {"cloud_id": cloud_id or None, "id": tags.get(TAG_MACHINE), "name": name or None}
    return any(
        rows.first(tx, Machine, platform_id=platform, custody=Custody.MADE, **{column: value}) is not None
        for column, value in told.items()
        if value is not None
    )


def ours_among(tx: Session, platform: PlatformId, cloud_ids: Collection[str]) -> dict[str, Machine]:
    """Return which of ``cloud_ids`` at ``platform`` are machines in the catalog, made or imported, and which ones."""
    found = rows.where(tx, Machine, platform_id=platform, cloud_id=set(cloud_ids))
    # One that was released may have been imported anew: the living one counts, and of several the newest.
    ranked = sorted(found, key=lambda machine: (machine.state is not MachineState.GONE, machine.id))
    return {
        machine.cloud_id: machine
        for machine in ranked
        if machine.cloud_id is not None and (machine.custody == Custody.MADE or machine.state is not MachineState.GONE)
    }


def tags(machine: Machine) -> dict[str, str]:
    """Return what its machine carries in the cloud, so that it is found again whatever was forgotten.

    The provisioner adds whose it is. A machine from a pool keeps the tags of its creation.
    """
    order = {TAG_ORDER: machine.order_id} if machine.order_id and machine.pool_id is None else {}
    return {TAG_MACHINE: machine.id, **order}
