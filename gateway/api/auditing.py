"""What the API notes in the audit log: every call that may change something, whether it was let do so or not.

Refusals that repeat each other are told of together, so that nobody makes the gateway write by being refused.
"""

from typing import Any

from catalog import audit
from catalog.access import Principal
from catalog.audit import Actor, Deed, Result
from catalog.errors import CatalogError
from catalog.store.database import StoreUnavailable, Tx
from gateway import telemetry
from gateway.api.endpoints import Call, Endpoint
from gateway.api.idempotency import Answer
from gateway.api.services import ApiServices
from gateway.errors import GatewayError

ENROLMENT = Actor(key="enrolment")


def note_done(tx: Tx, endpoint: Endpoint, call: Call[Any], answer: Answer) -> None:
    """Append what ``call`` did, in its own transaction; only BEGUN where the deed itself lies outside of that."""
    made = str((answer.document or {}).get("id", ""))
    result = Result.DONE if endpoint.then is None else Result.BEGUN
    audit.record(tx, _deed(endpoint, call, result, subject=_subject(call) or made), call.now_s)


def note_ended(tx: Tx, endpoint: Endpoint, call: Call[Any], error: CatalogError | GatewayError | None = None) -> None:
    """Append how a deed that had begun ended; ``error`` None: well."""
    result = Result.DONE if error is None else Result.FAILED
    audit.record(
        tx, _deed(endpoint, call, result, code="" if error is None else error.code), call.services.clock.now_s()
    )


async def note_refused(endpoint: Endpoint, call: Call[Any], error: CatalogError | GatewayError) -> None:
    """Append that ``call`` was refused with ``error`` and changed nothing."""
    await _note(call.services, _deed(endpoint, call, Result.REFUSED, code=error.code), call.now_s)


async def note_shut_out(endpoint: Endpoint, services: ApiServices, who: Principal, error: CatalogError) -> None:
    """Append that somebody known tried what its role may not do; nothing of the request was read."""
    deed = Deed(
        actor=audit.actor_of(who),
        action=endpoint.name,
        subject="",
        result=Result.REFUSED,
        code=error.code,
        data={"request": telemetry.request_id.get()},
    )
    await _note(services, deed, services.clock.now_s())


async def _note(services: ApiServices, refused: Deed, now_s: float) -> None:
    """Append the refusal now or, if it repeats another or cannot be written, later: see ``catalog.refusals``."""
    if services.refusals.is_repeated(refused, now_s):
        return
    try:
        await services.database.write(lambda tx: audit.record(tx, refused, now_s))
    except StoreUnavailable:
        if not services.refusals.put_off(refused, now_s):
            raise


def _deed(endpoint: Endpoint, call: Call[Any], result: Result, *, code: str = "", subject: str | None = None) -> Deed:
    # The names of the fields and not their values: some are secrets, and the event log has the facts.
    fields = ",".join(sorted(call.body.model_fields_set))
    return Deed(
        actor=ENROLMENT if call.caller is None else audit.actor_of(call.caller),
        action=endpoint.name,
        subject=_subject(call) if subject is None else subject,
        result=result,
        code=code,
        data={"request": call.request_id, **({"fields": fields} if fields else {})},
    )


def _subject(call: Call[Any]) -> str:
    return "/".join(call.path.values())
