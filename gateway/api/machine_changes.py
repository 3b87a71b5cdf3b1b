"""Machines that become others: rebuilt, resized, renamed; and what they write to their consoles."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import Field

from catalog import changing
from catalog.changing import Change
from catalog.clouds import MachineChanges
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
from catalog.model.ids import MachineId, PlatformId
from catalog.store.database import Tx
from gateway.api.bodies import Body, Name, Nothing, Out, Word
from gateway.api.endpoints import Call, Outside, Routes
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


def _then(deed: Callable[[MachineChanges, str, Change], Awaitable[None]]) -> Outside:
    """Return what asks the cloud for what the transaction wrote; a clear no takes that back."""

    async def at_cloud(call: Call[Any], machine: MachineOut) -> None:
        change = machine.change
        assert isinstance(change, Change)
        database, row = call.services.database, change.machine

        async def take_back() -> None:
            now_s = call.services.clock.now_s()
            await database.write(lambda tx: changing.take_back(tx, MachineId(machine.id), change, now_s))

        try:
            cloud = await call.services.machine_changes(PlatformId(row.platform_id))
        except CloudError:
            await take_back()  # nothing was sent
            raise
        try:
            await deed(cloud, str(machine.cloud_id), change)
        except CloudRefused:
            await take_back()
            raise

    return at_cloud


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/rebuild",
    permission="machine:write",
    body=RebuildIn,
    answer=MachineOut,
    status=202,
    then=_then(lambda cloud, cloud_id, change: cloud.rebuild(cloud_id, change.machine.image)),
    errors=_OF_CHANGES,
    summary="Make a machine's disk anew from an image; what is on it is lost",
)
def rebuild_machine(tx: Tx, call: Call[RebuildIn]) -> MachineOut:
    """Return the machine. Its cloud has been asked when this is answered; it is done when the machine runs again."""
    return _changed(tx, changing.rebuild(tx, own_machine(tx, call), call.body.image, call.now_s))


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/resize",
    permission="machine:write",
    body=ResizeIn,
    answer=MachineOut,
    status=202,
    then=_then(lambda cloud, cloud_id, change: cloud.resize(cloud_id, change.machine.size)),
    errors=(*_OF_CHANGES, QuotaExceeded, BudgetExceeded),
    summary="Give a machine another size, where its cloud can",
)
def resize_machine(tx: Tx, call: Call[ResizeIn]) -> MachineOut:
    """Return the machine, which has its size when this is answered; after a time-out asking again goes on with it."""
    return _changed(tx, changing.resize(tx, own_machine(tx, call), call.body.size, call.now_s))


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/rename",
    permission="machine:write",
    body=RenameIn,
    answer=MachineOut,
    status=202,
    then=_then(lambda cloud, cloud_id, change: cloud.rename(cloud_id, change.machine.name)),
    errors=_OF_CHANGES,
    summary="Call a machine otherwise, here and at its cloud",
)
def rename_machine(tx: Tx, call: Call[RenameIn]) -> MachineOut:
    """Return the machine; inside of it nothing changes."""
    return _changed(tx, changing.rename(tx, own_machine(tx, call), call.body.name, call.now_s))


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


def _changed(tx: Tx, change: Change) -> MachineOut:
    return machine_out(tx, change.machine).with_change(change)
