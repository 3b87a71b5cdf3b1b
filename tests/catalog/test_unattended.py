"""What is done to machines without a hand is told in one family of events, and kept among the machine's steps."""

import pytest

from catalog import connections, unattended
from catalog.clouds import MachineAction
from catalog.model.event import Event
from catalog.model.ids import MachineId
from catalog.model.machine import Machine
from catalog.store import rows
from catalog.store.database import Tx
from catalog.unattended import Cause
from tests.support.ordering import OFFER, PLATFORM, PROJECT, seed
from tests.support.stores import Store

MACHINE = MachineId("machine_1")


@pytest.mark.parametrize(
    ("cause", "action", "failure", "told"),
    [
        (Cause.SCHEDULE, MachineAction.START, "", ("machine.schedule-start", "its schedule")),
        (Cause.SCHEDULE, MachineAction.STOP, "", ("machine.schedule-stop", "its schedule")),
        (Cause.SCHEDULE, MachineAction.START, "no", ("machine.schedule-start-failed", "no")),
        (Cause.SCHEDULE, MachineAction.STOP, "no", ("machine.schedule-stop-failed", "no")),
        (Cause.BUDGET, MachineAction.STOP, "", ("machine.budget-stop", "the budget is spent")),
        (Cause.BUDGET, MachineAction.STOP, "no", ("machine.budget-stop-failed", "no")),
    ],
)
def test_the_kind_says_on_whose_word_what_was_done_and_whether_it_failed(
    store: Store, cause: Cause, action: MachineAction, failure: str, told: tuple[str, str]
) -> None:
    """The event is the project's, and has deed and reason; the step has the same reason, done or failed."""
    kind, reason = told

    def work(tx: Tx) -> None:
        seed(tx)
        machine = Machine(
            id=MACHINE, platform_id=PLATFORM, offer_id=OFFER, project_id=PROJECT, name="m", size="s1", image="i1"
        )
        unattended.tell(tx, rows.insert(tx, machine, 1.0), action, cause, 2.0, failure=failure)

    store.write(work)
    [event] = store.read(lambda tx: rows.where(tx, Event, kind=kind))
    assert event.project_id == PROJECT
    assert (event.data["deed"], event.data["reason"]) == (action.value, reason)
    [step] = store.read(lambda tx: connections.steps(tx, MACHINE))
    assert (step.step, step.outcome, step.detail) == (f"machine.{action}", "failed" if failure else "done", reason)
