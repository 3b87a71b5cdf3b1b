"""What waits for approvals: the terms that approvers are shown, kept so that all of them sign the same.

A draft stands while the owner's rule would grant the same; a changed rule makes another, and what was signed of the old
one is worth nothing. On the connection of ``state``'s transaction.
"""

import base64
import json
import sqlite3
from collections.abc import Collection
from dataclasses import replace

from catalog.errors import InvalidValue, NotFound
from catalog.expiry import is_over
from catalog.messages.handshake import AuthorizationRequest, GrantedCapability
from catalog.messages.handshake_json import granted_from, granted_json, shown_to_approvers
from catalog.messages.handshake_shapes import GrantedShape
from catalog.messages.quorum import Approval, Approvals, Quorum, approved_by, is_given
from gateway.connector.policy import Policy, Rule, granted_by


def approved(
    tx: sqlite3.Connection, request: AuthorizationRequest, policy: Policy, pending: Collection[str], now_s: float
) -> dict[str, GrantedCapability]:
    """Return those of ``pending`` that enough people approved, and keep what the others are to be shown."""
    found = {}
    for capability in pending:
        rule = policy.rules[capability]
        if rule.quorum is None:
            continue
        draft = _draft(tx, request, capability, rule, now_s)
        approvals = Approvals(quorum=rule.quorum, given=_given(tx, request.request_id, capability))
        shown_bytes = shown(tx, request.request_id, capability)
        if len(approved_by(approvals, shown_bytes)) >= rule.quorum.need:
            valid = tuple(each for each in approvals.given if is_given(each, rule.quorum, shown_bytes))
            found[capability] = replace(draft, approvals=replace(approvals, given=valid))
    return found


def shown(tx: sqlite3.Connection, request_id: str, capability: str) -> bytes:
    """Return what an approver signs. Raises NotFound when nothing waits for approvals there."""
    row = _row(tx, request_id, capability)
    if row is None:
        raise NotFound("no such request waits for approvals; the pending ones can be listed", field="request")
    return base64.b64decode(row[1])


def approve(tx: sqlite3.Connection, request_id: str, capability: str, approval: Approval) -> None:
    """Keep ``approval``. Raises NotFound as ``shown``, InvalidValue when it is no signature of what is shown."""
    # Whether it is one of the quorum's is the policy's to say when the gateway asks; whose it is, is said here.
    if not is_given(approval, Quorum(need=1, of=(approval.key,)), shown(tx, request_id, capability)):
        raise InvalidValue("this key did not sign what is shown", field="signature", fix="sign what `shown` prints")
    tx.execute(
        "INSERT OR REPLACE INTO approval VALUES (?, ?, ?, ?)",
        (request_id, capability, approval.key, approval.signature),
    )


def _draft(
    tx: sqlite3.Connection, request: AuthorizationRequest, capability: str, rule: Rule, now_s: float
) -> GrantedCapability:
    verbs = tuple(verb for verb in rule.verbs if verb in request.wanted[capability])
    fresh = granted_by(rule, capability, verbs, now_s)
    row = _row(tx, request.request_id, capability)
    if row is not None:
        held = granted_from(GrantedShape.model_validate_json(row[0]))
        # Its end was counted from when it was first shown, and would be another one now.
        end_s = held.expires_at_s if rule.expires_after_s is not None else fresh.expires_at_s
        if not is_over(held.expires_at_s, now_s) and replace(fresh, expires_at_s=end_s) == held:
            return held
    shown_bytes = shown_to_approvers(
        fresh, request_id=request.request_id, platform=request.platform, gateway=request.gateway
    )
    tx.execute(
        "INSERT OR REPLACE INTO draft VALUES (?, ?, ?, ?)",
        (request.request_id, capability, json.dumps(granted_json(fresh)), base64.b64encode(shown_bytes).decode()),
    )
    return fresh


def _given(tx: sqlite3.Connection, request_id: str, capability: str) -> tuple[Approval, ...]:
    rows = tx.execute(
        "SELECT key, signature FROM approval WHERE request = ? AND capability = ? ORDER BY key",
        (request_id, capability),
    )
    return tuple(Approval(key=key, signature=signature) for key, signature in rows)


def _row(tx: sqlite3.Connection, request_id: str, capability: str) -> tuple[str, str] | None:
    found: tuple[str, str] | None = tx.execute(
        "SELECT granted, shown FROM draft WHERE request = ? AND capability = ?", (request_id, capability)
    ).fetchone()
    return found
