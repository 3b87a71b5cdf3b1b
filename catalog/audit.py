"""The audit log: who did what to what, with which result, appended in the transaction of the deed itself.

Each record holds the digest of all before it (``catalog.chain``), and now and then the gateway signs where the log
ends: an altered, removed or moved record is found by the chain, a cut end or a chain written anew by the signatures.
Never in it: bodies, secrets, tokens.
"""

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from catalog import chain
from catalog.access import Principal
from catalog.model.audit import AuditCheckpoint, AuditRecord
from catalog.model.ids import TokenId
from catalog.store import audit as store
from catalog.store import rows
from catalog.store.database import Tx

log = logging.getLogger(__name__)

Sign = Callable[[bytes], bytes]
_TEXT_LENGTH = 300


class Result(StrEnum):
    """What came of a deed."""

    DONE = "done"
    BEGUN = "begun"  # permitted, and under way beyond the database; another record tells how it ended
    PASSED = "passed"  # handed on to a platform, which decides
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who: ``key`` is the role and whom it speaks for, ``name`` what the token is called."""

    key: str
    name: str = ""
    token_id: TokenId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Who did what to what, with which result; ``via`` is the passage, connection and route it went through."""

    actor: Actor
    action: str
    subject: str
    result: Result
    code: str = ""
    via: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)


def actor_of(principal: Principal) -> Actor:
    """Return the principal as the log names it."""
    return Actor(key=principal.key, name=principal.name, token_id=principal.token_id or None)


def record(tx: Tx, deed: Deed, now_s: float) -> AuditRecord:
    """Append ``deed`` and return its record; it exists if and only if the transaction commits."""
    seq, before = store.take(tx, now_s)
    row = AuditRecord(
        id=seq,
        at_ms=round(now_s * 1000),
        actor=deed.actor.key,
        actor_name=_text(deed.actor.name),
        token_id=deed.actor.token_id,
        action=deed.action,
        subject=_text(deed.subject),
        result=deed.result.value,
        code=deed.code,
        via={name: _text(value) for name, value in deed.via.items()},
        data={name: _text(value) for name, value in deed.data.items()},
        digest="",
    )
    row.digest = chain.digest_of(document(row), before)
    store.close(tx, row.digest)
    return rows.insert(tx, row, now_s)


def document(row: AuditRecord) -> dict[str, Any]:
    """Return the record as it is digested and shown, its digest included."""
    return {
        "seq": row.id,
        "at_ms": row.at_ms,
        "actor": row.actor,
        "actor_name": row.actor_name,
        "token": row.token_id,
        "action": row.action,
        "subject": row.subject,
        "result": row.result,
        "code": row.code,
        "via": row.via,
        "data": row.data,
        "digest": row.digest,
    }


def checkpoint(tx: Tx, sign: Sign, now_s: float) -> AuditCheckpoint | None:
    """Return the signed end of the log, made now where the newest record has none; None while the log is empty."""
    seq, digest = store.head(tx)
    newest = store.newest_checkpoint(tx)
    if newest is not None and newest.id > seq:
        log.error("the audit log was cut off", extra={"records": seq, "signed": newest.id})
    if not seq or (newest is not None and newest.id >= seq):
        return newest
    at_ms = round(now_s * 1000)
    signature = base64.b64encode(sign(chain.signed_part(seq, digest, at_ms))).decode()
    return rows.insert(tx, AuditCheckpoint(id=seq, at_ms=at_ms, digest=digest, signature=signature), now_s)


def _text(value: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in value)[:_TEXT_LENGTH]
