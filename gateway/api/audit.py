"""The audit log for admins: its records, and the signed statements of where it ended."""

from typing import Any

from pydantic import Field

from catalog import audit
from catalog.errors import WrongState
from catalog.model.audit import AuditCheckpoint, AuditRecord
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Nothing, Out
from gateway.api.endpoints import Call, Listing, Routes, one_of

routes = Routes("audit")


class AuditRecordOut(Out):
    """One deed. Its digest covers all of these fields and the digest of the record before it."""

    seq: int = Field(description="Counts from 1, without gaps.")
    at_ms: int = Field(description="Milliseconds since the epoch: a whole number is written in one way only.")
    actor: str = Field(
        description="`admin`, `account:ID`, `member:ID`, `platform:ID`, `enrolment`, or `nobody`: a log-in of no user."
    )
    actor_name: str = Field(description="What the token is called.")
    token: str | None = Field(description="The token's id.")
    action: str = Field(description="The operation's id in this document, or `passage_call`, `open_stream`.")
    subject: str = Field(description="The ids of what it was done to.")
    result: str
    code: str = Field(description="The error's, where it was refused or failed.")
    via: dict[str, str] = Field(description="Passage, connection, route and platform, where it went through one.")
    data: dict[str, str]
    digest: str


class CheckpointOut(Out):
    """The gateway's signed word of where the log ended."""

    seq: int = Field(description="The newest record then.")
    at_ms: int
    digest: str
    signature: str = Field(description="Base64 Ed25519, by the gateway's key (`/v1/whoami`).")


@routes.plain(
    "GET",
    "/v1/audit",
    permission="audit:read",
    answer=AuditRecordOut,
    many=True,
    filters={
        "actor": "Only deeds of this actor.",
        "action": "Only these.",
        "subject": "Only what was done to the thing with this id.",
        "result": one_of(audit.Result, "Only those that ended so."),
    },
    summary="List who did what, the oldest first",
)
def list_audit(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of the log."""
    found = page(tx, AuditRecord, limit=call.limit, token=call.page_token, where=dict(call.filters))
    return Listing(items=[_record(row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/audit/checkpoints",
    permission="audit:read",
    answer=CheckpointOut,
    many=True,
    summary="List the signed ends of the audit log",
)
def list_audit_checkpoints(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of the checkpoints."""
    found = page(tx, AuditCheckpoint, limit=call.limit, token=call.page_token)
    return Listing(items=[_checkpoint(row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "POST",
    "/v1/audit/checkpoints",
    permission="audit:sign",
    answer=CheckpointOut,
    status=201,
    errors=(WrongState,),
    summary="Sign where the audit log ends now",
)
def sign_audit(tx: Tx, call: Call[Nothing]) -> CheckpointOut:
    """Return the checkpoint of the newest record, that of this very call not included."""
    row = audit.checkpoint(tx, call.services.sign, call.now_s)
    if row is None:
        raise WrongState("the audit log is empty", fix="there is nothing to sign yet")
    return _checkpoint(row)


def _record(row: AuditRecord) -> AuditRecordOut:
    shown: dict[str, Any] = audit.document(row)
    return AuditRecordOut(**shown)


def _checkpoint(row: AuditCheckpoint) -> CheckpointOut:
    return CheckpointOut(seq=row.id, at_ms=row.at_ms, digest=row.digest, signature=row.signature)
