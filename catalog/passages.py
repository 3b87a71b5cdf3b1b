"""Passages: who may open one, what ends it, and what is counted in it (S1 step 8, for people and programs).

A passage is bound to the connection that its opener may use: a platform's owner passes over the connection that it
asked for, an admin over any. It grants nothing: what may be done in it is asked of the grants, call by call.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog import access, naming
from catalog.access import Principal
from catalog.connections import established_for
from catalog.consent import allowed, standing
from catalog.errors import Denied, InvalidValue, WrongState
from catalog.messages.handshake import Capability
from catalog.model.access import Role
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant
from catalog.model.ids import PassageId, PlatformId, new_id
from catalog.model.passage import Passage, PassageCall, PassageKind
from catalog.model.platform import Platform
from catalog.parting import NOTHING_GRANTED
from catalog.ports import Asked
from catalog.store import connections as connection_store
from catalog.store import passages as store
from catalog.store import rows
from catalog.store.database import Tx

CLOSED = "it was closed"
LONGEST_S = 12 * 3600.0
CALLS_SHOWN = 200
_WHAT_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What went through a passage since it was counted last. Bytes in: from the caller towards the platform."""

    calls: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


def open_passage(
    tx: Tx,
    *,
    principal: Principal,
    platform_id: PlatformId,
    kind: PassageKind,
    purpose: str,
    ttl_s: float,
    now_s: float,
) -> Passage:
    """Return the new passage, ``purpose`` being what it is for in words.

    Raises WrongState when the principal has no connection of its own to the platform or none is established, Denied for
    a tenant, InvalidValue for a purpose or lifetime that cannot be, NotFound.
    """
    if not 0 < ttl_s <= LONGEST_S:
        raise InvalidValue("a passage is open for a limited time", field="ttl_s", fix=f"at most {LONGEST_S:g} seconds")
    passage = Passage(
        id=PassageId(new_id("passage", now_s)),
        token_id=principal.token_id or None,
        principal=key_of(principal),
        principal_name=principal.name,
        platform_id=platform_id,
        connection_id=_connection(tx, principal, platform_id).id,
        kind=kind,
        purpose=naming.label(purpose, field="purpose"),
        opened_at_s=now_s,
        expires_at_s=now_s + ttl_s,
    )
    return rows.insert(tx, passage, now_s)


def key_of(principal: Principal) -> str:
    """Return under which name a principal's passages are kept; all admins share theirs."""
    return principal.key


def may_see(principal: Principal, passage: Passage) -> bool:
    """Whether the principal may look at the passage and close it: an admin any, others theirs and those into them."""
    return (
        principal.is_gateway_wide
        or passage.principal == key_of(principal)
        or access.owns(principal, passage.platform_id)
    )


def why_over(tx: Tx, passage_id: PassageId, now_s: float) -> str | None:
    """Return why the passage may not go on, None when nothing but its grants can speak against it.

    It is over when it was ended, its time is up, its token is not valid any more, its platform was retired, or its
    connection failed or was closed; one whose tunnel is being rebuilt is not over. Raises NotFound.
    """
    passage = rows.by_id(tx, Passage, passage_id)
    if passage.ended_at_s is not None:
        return passage.end_reason
    if passage.expires_at_s <= now_s:
        return "its time is over"
    if passage.token_id is not None and not access.still_may(tx, passage.token_id, "passage:open", now_s):
        return "the token that opened it is not valid any more, or may not do this any more"
    if not rows.by_id(tx, Platform, passage.platform_id).enabled:
        return "the platform was retired"
    connection = rows.by_id(tx, Connection, passage.connection_id)
    if connection.state not in connection_store.OPEN_STATES:
        return (
            connection.reason if connection.code == NOTHING_GRANTED else "the connection to the platform was given up"
        )
    return None


def require_any_grant(tx: Tx, platform_id: PlatformId, now_s: float) -> None:
    """Raise Denied unless the platform grants something now: a passage without any grant could only refuse."""
    if not any(standing(tx, platform_id, capability, now_s) for capability in Capability):
        raise Denied("nothing that this platform has is granted now", field="platform")


def require_covered(tx: Tx, platform_id: PlatformId, asked: Asked, now_s: float) -> None:
    """Raise Denied unless a grant of the platform covers ``asked`` now."""
    if not asked.capability:
        return require_any_grant(tx, platform_id, now_s)
    grant = allowed(tx, platform_id, asked.capability, asked.verb, now_s)
    if asked.verb == "create" and (grant.scope or any(limit is not None for limit in _counted(grant))):
        # Only orders count machines and know their scope; a native call could make any, under names nobody here knows.
        raise Denied("the grant has a quota or a scope, so machines are created by orders", field="capability")
    return None


def count(tx: Tx, passage_id: PassageId, usage: Usage, now_s: float) -> None:
    """Add ``usage`` to what the passage has seen, ended or not."""
    store.count(tx, passage_id, calls=usage.calls, bytes_in=usage.bytes_in, bytes_out=usage.bytes_out, now_s=now_s)


def end(tx: Tx, passage_id: PassageId, reason: str, now_s: float) -> Passage:
    """End the passage and return it; one that has ended keeps its first reason. Raises NotFound."""
    store.end(tx, passage_id, reason, now_s)
    return rows.by_id(tx, Passage, passage_id)


def end_all(tx: Tx, reason: str, now_s: float) -> int:
    """End every passage that is open, and return how many there were: none outlives the process that held it."""
    return store.end(tx, None, reason, now_s)


def record_call(
    tx: Tx, passage_id: PassageId, what: str, capability: str, now_s: float, *, refused: bool, status: int | None
) -> PassageCall:
    """Keep that a call was asked for, and whether the gateway refused it (then with the status it was told)."""
    shown = "".join(each if each.isprintable() else "?" for each in what)[:_WHAT_LENGTH]
    call = PassageCall(
        passage_id=passage_id, what=shown, capability=capability, refused=refused, status=status, at_s=now_s
    )
    return rows.insert(tx, call, now_s)


def record_answer(tx: Tx, call_id: int, status: int, now_s: float) -> None:
    """Keep with which status the platform answered a call."""
    store.answered(tx, call_id, status, now_s)


def calls(tx: Tx, passage_id: PassageId) -> Sequence[PassageCall]:
    """Return the passage's newest calls, newest first."""
    return store.calls(tx, passage_id, CALLS_SHOWN)


def _counted(grant: Grant) -> tuple[int | None, ...]:
    return grant.quota, grant.cores, grant.memory_gib


def _connection(tx: Tx, principal: Principal, platform_id: PlatformId) -> Connection:
    rows.by_id(tx, Platform, platform_id)
    if principal.role is Role.ADMIN:
        found = established_for(tx, platform_id)
    elif principal.role is Role.PLATFORM:
        held = connection_store.open_between(tx, PlatformId(principal.subject_id), platform_id)
        if held is None:
            raise WrongState(
                "you have no connection to this platform", field="platform", fix="request one, its owner consents"
            )
        found = held if held.state is ConnectionState.ESTABLISHED else None
    else:
        raise Denied("a passage is opened by an admin or a connected platform's owner")
    if found is None:
        raise WrongState("no connection to this platform is established", field="platform", fix="connect it first")
    return found
