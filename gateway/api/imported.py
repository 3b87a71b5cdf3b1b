"""Machines that a platform had before us: imported into a project, observed or managed, and released."""

from typing import Literal

from pydantic import Field

from catalog import imported, naming, tenancy
from catalog.errors import AlreadyExists, BudgetExceeded, InvalidValue, QuotaExceeded, WrongState
from catalog.model.machine import Custody
from catalog.model.platform import Platform
from catalog.store.database import Tx
from gateway.api.bodies import Body, Nothing, ProjectReference, Reference, Word
from gateway.api.endpoints import Call, Routes
from gateway.api.machines import MachineOut, machine_out, own_machine

routes = Routes("machines")

Imported = Literal["observed", "managed"]


class ImportIn(Body):
    """Which machine, into which project, and what may be done to it there."""

    platform: Reference = Field(description="Name or id.")
    machine: Word = Field(description="Its id at the cloud, or its name there if no other has the same.")
    project: ProjectReference
    custody: Imported = Field(
        default="observed",
        description="`observed`: it is shown, and nothing is ever done to it. `managed`: it is started, stopped, "
        "rebooted and destroyed like a machine of ours and counts in the quotas; its platform grants to `adopt`.",
    )


class CustodyIn(Body):
    """What may be done to an imported machine from now on."""

    custody: Imported


@routes.endpoint(
    "POST",
    "/v1/machines",
    permission="machine:import",
    body=ImportIn,
    answer=MachineOut,
    status=201,
    location="/v1/machines/{id}",
    errors=(AlreadyExists, BudgetExceeded, InvalidValue, QuotaExceeded, WrongState),
    summary="Import a machine that a platform had before",
)
def import_machine(tx: Tx, call: Call[ImportIn]) -> MachineOut:
    """Return the machine as it is in the catalog now. Its cloud is told nothing."""
    asked = call.body
    row = imported.import_machine(
        tx,
        naming.known(tx, Platform, asked.platform, field="platform"),
        machine=asked.machine,
        project_id=tenancy.known_project(tx, asked.project).id,
        custody=Custody(asked.custody),
        now_s=call.now_s,
    )
    return machine_out(tx, row)


@routes.endpoint(
    "POST",
    "/v1/machines/{id}/custody",
    permission="machine:import",
    body=CustodyIn,
    answer=MachineOut,
    errors=(BudgetExceeded, QuotaExceeded, WrongState),
    summary="Let an imported machine be managed, or observed only",
)
def change_custody(tx: Tx, call: Call[CustodyIn]) -> MachineOut:
    """Return the machine."""
    return machine_out(tx, imported.entrust(tx, own_machine(tx, call), Custody(call.body.custody), call.now_s))


@routes.plain(
    "POST",
    "/v1/machines/{id}/release",
    permission="machine:import",
    answer=MachineOut,
    errors=(WrongState,),
    summary="Forget an imported machine and leave it as it is",
)
def release_machine(tx: Tx, call: Call[Nothing]) -> MachineOut:
    """Return the machine, gone from the catalog. Its cloud is told nothing."""
    return machine_out(tx, imported.let_go(tx, own_machine(tx, call), call.now_s))
