"""Machines that become others: rebuilt, resized, renamed; and what they write to their consoles."""

from typing import Any

from pydantic import Field

from catalog import changing
from catalog.changing import Change
from catalog.errors import (
    BudgetExceeded,
    CloudError,
    CloudRefused,
    CloudTimedOut,
    CloudUnavailable,
    Denied,
    InvalidValue,
    QuotaExceeded,
    WrongState,
)
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.store.database import Tx
from gateway.api.bodies import Body, Name, Nothing, Out, Word
from gateway.api.endpoints import Call, Routes
from gateway.api.machines import MachineOut, machine_out, own_machine

routes = Routes("machines")

_OF_CLOUDS = (CloudUnavailable, CloudRefused, CloudTimedOut)
_OF_CHANGES = (WrongState, InvalidValue, Denied, *_OF_CLOUDS)


class RebuildIn(Body):
    """From which image the machine's disk is made anew."""

    image: Word | None = Field(default=None, description="Id or name of one of the platform's images; else its own.")


class ResizeIn(Body):
    """Which size the machine shall have."""

    size: Word = Field(description="Id or name of one of the platform's sizes.")


class RenameIn(Body):
    """What the machine shall be called at its cloud."""

    name: Name


class ConsoleOut(Out):
    """What a machine wrote to its console."""

    machine: str
    text: str = Field(description="The newest part, as far as its cloud keeps it; empty when there is nothing.")


async def _at_cloud(call: Call[Any], machine: MachineOut) -> None:
    """Ask the cloud for what the transaction wrote; a clear no takes that back, after silence it is gone on with."""
    change, database = machine.change, call.services.database
    assert change is not None
    is_sent = False
    try:
        cloud = await call.services.machine_changes(change.platform_id)
        is_sent = True
        await changing.ask(cloud, change)
    except CloudError as error:
        if not is_sent or isinstance(error, CloudRefused):
            await database.write(lambda tx: changing.take_back(tx, change, call.services.clock.now_s()))
        raise
    await database.write(lambda tx: changing.done(tx, change, call.services.clock.now_s()))


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/rebuild",
    permission="machine:write",
    body=RebuildIn,
    answer=MachineOut,
    status=202,
    then=_at_cloud,
    errors=_OF_CHANGES,
    summary="Make a machine's disk anew from an image; what is on it is lost",
)
def rebuild_machine(tx: Tx, call: Call[RebuildIn]) -> MachineOut:
    """Return the machine. Its cloud has been asked when this is answered; it is done when the machine runs again."""
    machine = own_machine(tx, call)
    return _changed(tx, machine, changing.rebuild(tx, machine, call.body.image, call.now_s))


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/resize",
    permission="machine:write",
    body=ResizeIn,
    answer=MachineOut,
    status=202,
    then=_at_cloud,
    errors=(*_OF_CHANGES, QuotaExceeded, BudgetExceeded),
    summary="Give a machine another size, where its cloud can",
)
def resize_machine(tx: Tx, call: Call[ResizeIn]) -> MachineOut:
    """Return the machine, which has its size when this is answered; after a time-out asking again goes on with it."""
    machine = own_machine(tx, call)
    return _changed(tx, machine, changing.resize(tx, machine, call.body.size, call.now_s))


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/rename",
    permission="machine:write",
    body=RenameIn,
    answer=MachineOut,
    status=202,
    then=_at_cloud,
    errors=_OF_CHANGES,
    summary="Call a machine otherwise, here and at its cloud",
)
def rename_machine(tx: Tx, call: Call[RenameIn]) -> MachineOut:
    """Return the machine; inside of it nothing changes."""
    machine = own_machine(tx, call)
    return _changed(tx, machine, changing.rename(tx, machine, call.body.name, call.now_s))


@routes.probe(
    "/v1/machines/{id}/console",
    permission="machine:write",  # what a machine writes while it starts may hold secrets
    answer=ConsoleOut,
    errors=(WrongState, Denied, *_OF_CLOUDS),
    summary="Show what a machine wrote to its console",
)
async def read_console(call: Call[Nothing]) -> ConsoleOut:
    """Return the newest part of it, read at the cloud now."""

    def look(tx: Tx) -> tuple[PlatformId, str]:
        machine = own_machine(tx, call)
        changing.refuse_console(tx, machine, call.now_s)
        return PlatformId(machine.platform_id), str(machine.cloud_id)

    platform, cloud_id = await call.services.database.read(look)
    cloud = await call.services.machine_changes(platform)
    return ConsoleOut(machine=call.path["id"], text=await cloud.console(cloud_id))


def _changed(tx: Tx, machine: Machine, change: Change) -> MachineOut:
    return machine_out(tx, machine).with_change(change)
