"""Repeats of a POST: the answer is kept under (caller, key) in the same transaction as the effect.

So either both exist or neither. A refused POST had no effect and keeps nothing: its repeat is judged anew. A POST that
works outside a transaction first keeps a mark that it is running; a mark older than RUNNING_S was left by a crash, and
the repeat takes it over (such work is repeatable by declaration).

A request may hold a secret, so what is kept of it is a fingerprint under the sealing key, never a plain digest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sqlmodel import col, delete

from catalog.model.order import IdempotencyRecord
from catalog.secrets import Sealer
from catalog.store import rows
from catalog.store.database import Tx
from gateway.errors import KeyReused, StillRunning

RUNNING = 0  # the status of a mark
RUNNING_S = 120.0
KEPT_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent: a status, headers and a JSON document (None: no body)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    document: dict[str, Any] | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Intention:
    """One intention of one caller: who, under which key, and what was asked, which may hold a secret."""

    principal: str
    key: str
    request: bytes = field(repr=False)


def request_of(method: str, path: str, body: BaseModel, shown: Mapping[str, Any]) -> bytes:
    """Return the text by which a repeat is recognised; ``shown`` is ``body`` with its secrets revealed."""
    return json.dumps([method, path, type(body).__name__, shown], sort_keys=True, default=str).encode()


def recall(tx: Tx, intention: Intention, sealer: Sealer, now_s: float) -> Answer | None:
    """Return the answer that this intention got before, None when it is new.

    Raises KeyReused when the key stands for something else, StillRunning while the first one is under way.
    """
    kept = _find(tx, intention)
    if kept is None:
        return None
    if not sealer.is_fingerprint_of(kept.request_hash, intention.request):
        raise KeyReused(
            "this Idempotency-Key was used for a different request",
            field="Idempotency-Key",
            fix="use a fresh key for a new intention",
        )
    if kept.status != RUNNING:
        return Answer(status=kept.status, headers=kept.headers, document=kept.body or None, replayed=True)
    if now_s - kept.updated_at_s < RUNNING_S:
        raise StillRunning("the same request is being carried out now", field="Idempotency-Key", fix="ask again soon")
    forget(tx, intention)
    return None


def is_kept(tx: Tx, intention: Intention) -> bool:
    """Return whether anything is kept for the intention; ``recall`` judges what."""
    return _find(tx, intention) is not None


def keep(tx: Tx, intention: Intention, answer: Answer, sealer: Sealer, now_s: float, *, running: bool = False) -> None:
    """Keep ``answer`` for repeats; with ``running``, only the mark that there will be one."""
    record = IdempotencyRecord(
        principal=intention.principal,
        key=intention.key,
        request_hash=sealer.fingerprint(intention.request),
        status=RUNNING if running else answer.status,
        headers=dict(answer.headers),
        body=answer.document or {},
    )
    rows.insert(tx, record, now_s)


def finish(tx: Tx, intention: Intention, answer: Answer, now_s: float) -> None:
    """Turn the mark into the answer."""
    record = _find(tx, intention)
    if record is not None:
        rows.update(tx, record, {"status": answer.status}, now_s)


def forget(tx: Tx, intention: Intention) -> None:
    """Remove what is kept, so that a repeat is a new attempt."""
    record = _find(tx, intention)
    if record is not None:
        tx.delete(record)
        tx.flush()


def expire(tx: Tx, now_s: float) -> int:
    """Remove what is older than a day and return how many; for a background task. May be repeated."""
    old = delete(IdempotencyRecord).where(col(IdempotencyRecord.created_at_s) < now_s - KEPT_S)
    return tx.connection().execute(old).rowcount


def _find(tx: Tx, intention: Intention) -> IdempotencyRecord | None:
    return tx.get(IdempotencyRecord, (intention.principal, intention.key), populate_existing=True)
