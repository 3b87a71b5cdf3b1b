"""Machines: a project's members see and steer its own, an admin all."""

from typing import Any, Literal

from pydantic import Field, PrivateAttr

from catalog import imported
from catalog.changing import Change
from catalog.clouds import MachineAction
from catalog.costs.stops import refuse_start
from catalog.errors import BudgetExceeded, CloudRefused, CloudTimedOut, CloudUnavailable, InvalidValue, WrongState
from catalog.leases.rules import extend
from catalog.machines import is_released
from catalog.model.ids import MachineId, PlatformId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.platform import Platform
from catalog.pool.give_back import destroy, give_back
from catalog.schedules.keeping import taken_in_hand
from catalog.store import rows, scoped
from catalog.store.database import Tx
from gateway.api.bodies import Body, Lifetime, Nothing, Out, Resource, Time, stamp
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.api.prices import KeptPriceOut, kept_price_out
from gateway.api.services import Wakes

routes = Routes("machines")


class ActionIn(Body):
    """What shall happen to the machine."""

    action: Literal["start", "stop", "reboot", "destroy", "give-back"]


class ExtensionIn(Body):
    """Until when the machine is lent now."""

    lease_s: Lifetime | None = Field(description="So long from now; null: for as long as is allowed.")
    may_give_end: bool = Field(default=False, description="Also where it has no end so far, which is refused else.")


class DriftOut(Out):
    """One field about which catalog and cloud differ."""

    field: str
    catalog: str
    cloud: str


class MachineOut(Resource):
    """One machine. ``addresses`` are its own, as its cloud tells them.

    ``notice`` says that the grant behind it has ended, and ``ends_at`` when it is destroyed because of that.
    """

    name: str
    platform: str
    offer: str
    pool: str | None
    order: str | None
    project: str | None
    custody: str = Field(
        description="`made` by us; or imported: `managed` like one of ours, or `observed`: nothing is done to it."
    )
    state: str
    is_released: bool = Field(description="Imported and let go: gone from here, and left as it was at its cloud.")
    size: str
    image: str
    location: str | None
    key_pair: str | None
    network: str | None = Field(description="null: whichever its cloud chose.")
    cloud_id: str | None
    addresses: list[str]
    drift: list[DriftOut] = Field(description="Where its cloud says another thing, as of the newest whole list.")
    price: KeptPriceOut | None = Field(
        description="What its size cost when it was imported or resized; of one made by us its order says it."
    )
    changing: str = Field(description="`rebuild`, `resize` or `rename` while its cloud is asked for it; else empty.")
    attempt: int
    reason: str
    lease_ends_at: Time | None = Field(description="When its project loses it; null: never.")
    notice: str
    ends_at: Time | None
    _change: Change | None = PrivateAttr(default=None)

    def with_change(self, change: Change) -> "MachineOut":
        """Return it, knowing what this very call wants changed."""
        self._change = change
        return self

    @property
    def change(self) -> Change | None:
        """Return what this very call wants changed."""
        return self._change


@routes.plain(
    "GET",
    "/v1/machines",
    permission="machine:read",
    answer=MachineOut,
    many=True,
    filters={
        "state": one_of(MachineState, "Only machines in this state."),
        "custody": one_of(Custody, "Only machines made by us, or imported in this way."),
    },
    summary="List the machines",
)
def list_machines(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of machines: a project's own, an admin's all."""
    found = scoped.page(tx, call.scope, Machine, limit=call.limit, token=call.page_token, where=call.filters)
    return Listing(items=[machine_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET", "/v1/machines/{id}", permission="machine:read", answer=MachineOut, summary="Show or watch a machine"
)
def get_machine(tx: Tx, call: Call[Nothing]) -> MachineOut:
    """Return the machine."""
    return machine_out(tx, own_machine(tx, call))


async def _at_cloud(call: Call[ActionIn], machine: MachineOut) -> None:
    """Carry out start, stop or reboot at the cloud; the other actions are done by the transaction."""
    if call.body.action in {"destroy", "give-back"}:
        return
    row = await call.services.database.read(lambda tx: scoped.find(tx, call.scope, Machine, machine.id))
    assert row.cloud_id is not None
    await call.services.machine_action(PlatformId(row.platform_id), row.cloud_id, MachineAction(call.body.action))


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/actions",
    permission="machine:write",
    body=ActionIn,
    answer=MachineOut,
    status=202,
    wakes=(Wakes.DISPATCH, Wakes.POOLS),
    then=_at_cloud,
    errors=(WrongState, BudgetExceeded, CloudUnavailable, CloudRefused, CloudTimedOut),
    summary="Start, stop, reboot, destroy or give back a machine",
)
def act_on_machine(tx: Tx, call: Call[ActionIn]) -> MachineOut:
    """Return the machine. Destroying and giving back go on in the background; an imported one, given back, is released.

    Nothing is done to an observed one, and to a managed one only what its platform's owner grants now.
    """
    machine = own_machine(tx, call)
    project = None if call.sees_all else machine.project_id
    if machine.cloud_id is not None and (call.body.action != "give-back" or machine.custody == Custody.OBSERVED):
        imported.refuse_deed(tx, machine.platform_id, machine.cloud_id, call.body.action, call.now_s)
    match call.body.action:
        case "destroy":
            machine = destroy(tx, MachineId(machine.id), project, call.now_s)
        case "give-back":
            machine = give_back(tx, MachineId(machine.id), project, call.now_s)
        case action:
            _refuse_unless_running(machine)
            # A reboot starts what is stopped, at some clouds.
            if action != "stop" and not call.sees_all:
                refuse_start(tx, machine.project_id, call.now_s)
            taken_in_hand(tx, machine, call.now_s)
    return machine_out(tx, machine)


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/extend",
    permission="machine:write",
    body=ExtensionIn,
    answer=MachineOut,
    errors=(WrongState, InvalidValue),
    summary="Let a machine's lease end later, or sooner",
)
def extend_lease(tx: Tx, call: Call[ExtensionIn]) -> MachineOut:
    """Return the machine. A member keeps to the longest lease of project and organisation, counted from now."""
    asked = call.body
    machine = extend(
        tx,
        own_machine(tx, call),
        asked.lease_s,
        call.now_s,
        by_admin=call.scope.everything,
        may_give_end=asked.may_give_end,
    )
    return machine_out(tx, machine)


# What has no way back to a running machine is not waited for.
_FIXES = {
    MachineState.DESTROYING: "order another one: this one is on its way out",
    MachineState.GONE: "order another one: this one does not come back",
}


def _refuse_unless_running(machine: Machine) -> None:
    if machine.cloud_id is None or machine.state not in {MachineState.IDLE, MachineState.IN_USE}:
        raise WrongState(
            f"a machine that is {machine.state.value} cannot be started, stopped or rebooted",
            field="action",
            fix=_FIXES.get(machine.state, "wait until it is idle or in use"),
        )


def own_machine(tx: Tx, call: Call[Any]) -> Machine:
    """Return the machine that the path names, if the caller may do this to it."""
    return scoped.find(tx, call.scope, Machine, call.path["id"])


def machine_out(tx: Tx, row: Machine) -> MachineOut:
    """Return ``row`` as the API shows it."""
    return MachineOut(
        **stamp(row),
        name=row.name,
        platform=rows.by_id(tx, Platform, row.platform_id).name,
        offer=row.offer_id,
        pool=row.pool_id,
        order=row.order_id,
        project=row.project_id,
        custody=row.custody,
        state=row.state.value,
        is_released=is_released(row),
        size=row.size,
        image=row.image,
        location=row.location,
        key_pair=row.key_pair,
        network=row.network,
        cloud_id=row.cloud_id,
        addresses=row.addresses,
        drift=[DriftOut(**each) for each in row.drift],
        price=None if row.price is None else kept_price_out(row.price),
        changing="" if row.changing is None else str(row.changing["deed"]),
        attempt=row.attempt,
        reason=row.reason,
        lease_ends_at=row.lease_ends_at_s,
        notice=row.notice,
        ends_at=row.ends_at_s,
    )
