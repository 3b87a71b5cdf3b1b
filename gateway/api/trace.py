"""One step of a saga as the API tells it; connections and orders share it."""

from catalog.model.connection import StepRecord
from gateway.api.bodies import Out, Time


class StepOut(Out):
    """A step as it passed."""

    step: str
    outcome: str
    detail: str
    at: Time


def step_out(row: StepRecord) -> StepOut:
    """Return ``row`` for the wire."""
    return StepOut(step=row.step, outcome=row.outcome, detail=row.detail, at=row.at_s)
