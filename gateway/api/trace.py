"""One step of a saga as the API tells it; connections and orders share it."""

from catalog.model.connection import StepRecord
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Nothing, Out, Time
from gateway.api.endpoints import Call, Listing


class StepOut(Out):
    """A step as it passed."""

    step: str
    outcome: str
    detail: str
    at: Time


def step_out(row: StepRecord) -> StepOut:
    """Return ``row`` for the wire."""
    return StepOut(step=row.step, outcome=row.outcome, detail=row.detail, at=row.at_s)


def steps_page(tx: Tx, call: Call[Nothing], subject_id: str) -> Listing:
    """Return one page of the steps of ``subject_id``, oldest first."""
    found = page(tx, StepRecord, limit=call.limit, token=call.page_token, where={"subject_id": subject_id})
    return Listing(items=[step_out(step) for step in found.items], next_token=found.next_token)
