"""Grants: the owner grants, an admin or a standing rule accepts; only both together make an offer (S1 steps 10-12).

A grant never exceeds what was asked for, never comes back by itself, and ends at once when either side ends it.
"""

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from catalog import grant_end, parting, publish, terms_kept, winding_down
from catalog.clouds import Proof
from catalog.errors import CloudMisbehaved, Denied, InvalidValue, WrongState
from catalog.expiry import is_over
from catalog.messages.handshake import CAPABILITY_VERBS, Capability, Decision, GrantedCapability
from catalog.model.consent import GRANT_TRANSITIONS, Grant, GrantEvent, GrantState, Side
from catalog.model.ids import ConnectionId, GrantId, PlatformId, new_id
from catalog.model.terms import NO_TERMS, Terms, terms_json
from catalog.store import consent as store
from catalog.store import rows
from catalog.store.database import Tx

log = logging.getLogger(__name__)

PROOFS_KEPT = 20
FIX_MORE = "revoke the grant and ask again (crossway grant revoke, grant ask): then its owner may grant any verb"
_APPLIED = frozenset({GrantState.ACCEPTED, GrantState.SUSPENDED})
_STANDING = _APPLIED | {GrantState.GRANTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What shows that the owner said it, and which of its connector's answers was the newest by then."""

    evidence: str
    serial: int


def propose(
    tx: Tx,
    *,
    platform_id: PlatformId,
    connection_id: ConnectionId,
    request_id: str,
    wanted: Mapping[str, Sequence[str]],
    now_s: float,
) -> list[Grant]:
    """Note what the owner is asked for under ``request_id``, and return one grant per wanted capability.

    What ended or was denied is REQUESTED again, with nothing left of its former terms. What stands keeps its verbs:
    the owner's answer may only narrow or end them. Raises InvalidValue for an unknown capability or verb.
    """
    return [
        _propose(tx, platform_id, connection_id, request_id, capability, _known(capability, verbs), now_s)
        for capability, verbs in sorted(wanted.items())
    ]


def suggest(
    tx: Tx, *, platform_id: PlatformId, connection_id: ConnectionId, capabilities: Iterable[str], now_s: float
) -> list[Grant]:
    """Return a new grant, PROPOSED, for each of ``capabilities`` of which the platform has none in any state.

    The owner hears nothing of it until somebody asks.
    """
    known = {grant.capability for grant in rows.where(tx, Grant, platform_id=platform_id)}
    return [
        rows.insert(
            tx,
            Grant(
                id=GrantId(new_id("grant", now_s)),
                platform_id=platform_id,
                capability=capability,
                verbs=list(CAPABILITY_VERBS[Capability(capability)]),
                connection_id=connection_id,
                request_id="",
                state=GrantState.PROPOSED,
            ),
            now_s,
        )
        for capability in sorted(set(capabilities) - known)
    ]


def ask(tx: Tx, grant_id: str, now_s: float) -> Grant:
    """Ask the owner for all verbs of what was proposed, denied or has ended, under a request of its own or an open one.

    Raises WrongState for a grant that stands, NotFound. One that is asked for already stays so.
    """
    grant = rows.by_id(tx, Grant, grant_id)
    if grant.state is GrantState.REQUESTED:
        return grant
    if grant.state in _STANDING:
        raise WrongState("the grant stands", field="state", fix=f"its owner may narrow it; for more {FIX_MORE}")
    request_id = open_request(tx, grant.platform_id) or new_id("request", now_s)
    verbs = list(CAPABILITY_VERBS[Capability(grant.capability)])
    return _propose(tx, grant.platform_id, grant.connection_id, request_id, grant.capability, verbs, now_s)


def answer(tx: Tx, grant_id: str, terms: Terms | None, *, by: str, now_s: float) -> Grant:
    """Record the owner's word on one grant, given with the token ``by``: new terms, or None = not (any longer).

    As with a connector's answer, verbs beyond those that are asked for are not granted. Raises WrongState for a grant
    that is neither asked for nor stands, InvalidValue for a verb that one that stands has not (an answer narrows only),
    when no verb is left, or its time is over, NotFound.
    """
    grant = rows.by_id(tx, Grant, grant_id)
    require_answerable(grant)
    if terms is None:
        _end(tx, grant, "the platform's owner does not grant it any more", now_s)
        return grant
    verbs = [verb for verb in grant.verbs if verb in terms.verbs]
    beyond = [verb for verb in terms.verbs if verb not in grant.verbs]
    if beyond and grant.state in _STANDING:
        message = f"'{beyond[0]}' is not granted, and an answer to a grant that stands only narrows it"
        raise InvalidValue(message, field="verbs", fix=FIX_MORE)
    if not verbs:
        raise InvalidValue("no such verb is asked for", field="verbs", fix=f"some of {', '.join(grant.verbs)}")
    if is_over(terms.expires_at_s, now_s):
        raise InvalidValue("that time is over", field="expires_at_s", fix="a later one")
    told = json.dumps({"by": by, "at_s": now_s, "terms": terms_json(terms)}, sort_keys=True)
    _grant(tx, grant, terms, verbs, Said(evidence=told, serial=grant.serial), now_s)
    return grant


def require_answerable(grant: Grant) -> None:
    """Raise WrongState unless the owner may say something of the grant: it is asked for, or it stands."""
    if grant.state not in _STANDING | {GrantState.REQUESTED}:
        fix = "the gateway's admin asks for it"
        raise WrongState(f"the grant is '{grant.state.value}': nobody asks for it", field="state", fix=fix)


def open_request(tx: Tx, platform_id: PlatformId) -> str | None:
    """Return the id of the request that the platform's owner has yet to answer in full, None when there is none."""
    asked = rows.first(tx, Grant, platform_id=platform_id, state=GrantState.REQUESTED)
    return asked.request_id if asked else None


def record_decision(tx: Tx, *, platform_id: PlatformId, decision: Decision, now_s: float) -> list[Grant]:
    """Record the owner's answer to its request and return the grants it was about, as they are now.

    Granted: GRANTED, with the owner's quota, expiry and evidence. Pending: as before. Absent: DENIED, or REVOKED if it
    stood. Recording the same answer again changes nothing more, and never revives what has ended since.
    Raises CloudMisbehaved, with nothing recorded, for terms that make no sense, and for an answer that grants something
    and is older than one of this platform's that was recorded.
    """
    granted = _sensible(decision)
    _refuse_older(tx, platform_id, decision)
    about = rows.where(tx, Grant, platform_id=platform_id, request_id=decision.request_id)
    for grant in about:
        terms = granted.get(grant.capability)
        verbs = [verb for verb in grant.verbs if terms and verb in terms.verbs]
        if grant.state not in _STANDING | {GrantState.REQUESTED}:
            continue
        if terms and verbs and not is_over(terms.expires_at_s, now_s):
            said = Said(evidence=decision.signed, serial=decision.serial or 0)
            _grant(tx, grant, terms, verbs, said, now_s)
        elif grant.capability not in decision.pending:
            _end(tx, grant, "the platform's owner does not grant it any more", now_s)
    ignored = sorted(set(granted) - {grant.capability for grant in about})
    if ignored:
        log.warning(
            "capabilities granted that nobody asked for", extra={"platform": platform_id, "count": len(ignored)}
        )
    return list(about)


def accept(tx: Tx, grant_id: str, now_s: float) -> Grant:
    """Accept what the owner granted; an offer is made of it when it is published.

    Raises WrongState unless it is GRANTED and not over, NotFound.
    """
    grant = rows.by_id(tx, Grant, grant_id)
    if is_over(grant.expires_at_s, now_s):
        raise WrongState("the time that the owner granted is over", field="state", fix="ask the owner again")
    return _accept(tx, grant, now_s)


def refuse(tx: Tx, grant_id: str, now_s: float) -> Grant:
    """Turn down what the owner granted. Raises WrongState unless it is GRANTED, NotFound."""
    grant = rows.move(tx, rows.by_id(tx, Grant, grant_id), GRANT_TRANSITIONS, GrantEvent.REFUSE, now_s)
    terms_kept.end(tx, grant.id, "the grant was refused", now_s)
    return grant


def suspend(tx: Tx, grant_id: str, side: Side, now_s: float) -> Grant:
    """Hold an accepted grant back for ``side``: its offer is withdrawn, and nothing is allowed by it meanwhile.

    May be repeated. Raises WrongState unless it is ACCEPTED or SUSPENDED, NotFound.
    """
    grant = rows.by_id(tx, Grant, grant_id)
    held = {"suspended_by": sorted({*grant.suspended_by, side.value}), "epoch": grant.epoch + 1}
    rows.move(tx, grant, GRANT_TRANSITIONS, GrantEvent.SUSPEND, now_s, held)
    reason = f"the grant is suspended by the {' and the '.join(grant.suspended_by)}"
    publish.withdraw(tx, grant.id, reason, now_s)
    grant_end.stop_all(tx, grant, reason, now_s)
    winding_down.tell(tx, grant, reason, now_s)
    return grant


def resume(tx: Tx, grant_id: str, side: Side, now_s: float) -> Grant:
    """Let go of a grant that ``side`` held back; it is offered again once proved, unless the other side holds it too.

    Raises WrongState when this side does not hold it back or its time is over, NotFound.
    """
    grant = rows.by_id(tx, Grant, grant_id)
    if side.value not in grant.suspended_by or grant.state is not GrantState.SUSPENDED:
        by = f"only the {grant.suspended_by[0]} can resume it" if grant.suspended_by else "there is nothing to resume"
        raise WrongState(f"the {side.value} does not hold this grant back", field="state", fix=by)
    if is_over(grant.expires_at_s, now_s):
        raise WrongState("the time that the owner granted is over", field="state", fix="ask the owner again")
    others = [held for held in grant.suspended_by if held != side.value]
    if others:
        return rows.update(tx, grant, {"suspended_by": others}, now_s)
    rows.move(tx, grant, GRANT_TRANSITIONS, GrantEvent.RESUME, now_s, {"suspended_by": []})
    winding_down.call_off(tx, grant, now_s)
    return grant


def revoke(tx: Tx, grant_id: str, now_s: float, reason: str = "the grant was revoked") -> Grant:
    """End a grant that was given or accepted; its offer is withdrawn in the same transaction. Raises WrongState."""
    grant = rows.by_id(tx, Grant, grant_id)
    _leave(tx, grant, GrantEvent.REVOKE, reason, now_s)
    return grant


def add_proof(tx: Tx, grant_id: str, proof: Proof, now_s: float) -> Grant:
    """Add to the grant what the account could really do; the newest proofs are kept."""
    grant = rows.by_id(tx, Grant, grant_id)
    told = {name: value for name, value in asdict(proof).items() if name != "capability"}
    return rows.update(tx, grant, {"proofs": [*grant.proofs, {**told, "at_s": now_s}][-PROOFS_KEPT:]}, now_s)


def expire_due(tx: Tx, now_s: float) -> int:
    """End every grant whose time is over, withdraw its offer, and return how many there were."""
    due = store.due(tx, now_s)
    for grant in due:
        _leave(tx, grant, GrantEvent.EXPIRE, "the grant has expired", now_s)
    return len(due)


def is_any_over(tx: Tx, now_s: float) -> bool:
    """Return whether ``expire_due`` would end anything."""
    return bool(store.due(tx, now_s))


def allowed(tx: Tx, platform_id: PlatformId, capability: str, verb: str, now_s: float) -> Grant:
    """Return the accepted grant that covers ``verb`` of ``capability`` now.

    Raises Denied when there is none: ask before every effect, in its own transaction. An expiry counts from its
    second on, whether or not ``expire_due`` has seen it.
    """
    grant = standing(tx, platform_id, capability, now_s)
    if grant is None or verb not in grant.verbs:
        raise Denied(
            f"'{verb}' of '{capability}' is not granted by this platform",
            field="capability",
            fix=None if grant is None else FIX_MORE,
        )
    return grant


def standing(tx: Tx, platform_id: PlatformId, capability: str, now_s: float) -> Grant | None:
    """Return the accepted grant of ``capability`` that is not over, or None."""
    grant = rows.first(tx, Grant, platform_id=platform_id, capability=capability, state=GrantState.ACCEPTED)
    return None if grant is None or is_over(grant.expires_at_s, now_s) else grant


def _propose(  # noqa: PLR0917 a helper of one caller
    tx: Tx,
    platform_id: PlatformId,
    connection_id: ConnectionId,
    request_id: str,
    capability: str,
    verbs: list[str],
    now_s: float,
) -> Grant:
    grant = rows.first(tx, Grant, platform_id=platform_id, capability=capability)
    if grant is None:
        fresh = Grant(
            id=GrantId(new_id("grant", now_s)),
            platform_id=platform_id,
            capability=capability,
            verbs=verbs,
            connection_id=connection_id,
            request_id=request_id,
        )
        return rows.insert(tx, fresh, now_s)
    asked = {"connection_id": connection_id, "request_id": request_id}
    if grant.state in _STANDING:
        return rows.update(tx, grant, asked, now_s)
    blank: dict[str, object] = {
        **NO_TERMS,
        "verbs": verbs,
        "evidence": "",
        "proofs": [],
    }
    return rows.move(tx, grant, GRANT_TRANSITIONS, GrantEvent.ASK_AGAIN, now_s, {**asked, **blank})


def _grant(  # noqa: PLR0917 a helper of one caller
    tx: Tx, grant: Grant, terms: Terms, verbs: list[str], said: Said, now_s: float
) -> None:
    given: dict[str, object] = {
        **terms_json(terms),
        "verbs": verbs,
        "evidence": said.evidence,
        "serial": said.serial,
    }
    if grant.state is GrantState.REQUESTED:
        rows.move(tx, grant, GRANT_TRANSITIONS, GrantEvent.GRANT, now_s, given)
    elif any(rows.value(grant, name) != value for name, value in given.items()):
        rows.update(tx, grant, given, now_s)
        if grant.state is GrantState.ACCEPTED:
            publish.tell_terms(tx, grant, now_s)
            grant_end.stop_outside(tx, grant, now_s)
    terms_kept.keep(tx, grant, now_s)


def _accept(tx: Tx, grant: Grant, now_s: float) -> Grant:
    rows.move(tx, grant, GRANT_TRANSITIONS, GrantEvent.ACCEPT, now_s)
    winding_down.call_off(tx, grant, now_s)
    return grant


def _end(tx: Tx, grant: Grant, reason: str, now_s: float) -> None:
    event = GrantEvent.DENY if grant.state is GrantState.REQUESTED else GrantEvent.REVOKE
    _leave(tx, grant, event, reason, now_s)


def _leave(tx: Tx, grant: Grant, event: GrantEvent, reason: str, now_s: float) -> None:
    """End the grant by ``event``, with its offer, its terms and what was begun under it, in one transaction.

    What was given and never accepted has no machines: those that are there are its predecessor's, under its rule.
    """
    stood, applied = grant.state in _STANDING, grant.state in _APPLIED
    rows.move(tx, grant, GRANT_TRANSITIONS, event, now_s, {"suspended_by": [], "epoch": grant.epoch + int(stood)})
    terms_kept.end(tx, grant.id, reason, now_s)
    publish.withdraw(tx, grant.id, reason, now_s)
    if stood:
        grant_end.stop_all(tx, grant, reason, now_s)
        if applied:
            winding_down.begin(tx, grant, reason, now_s)
        parting.part_if_nothing_is_left(tx, grant.platform_id, now_s)


def _refuse_older(tx: Tx, platform_id: PlatformId, decision: Decision) -> None:
    # What grants nothing can only narrow, so it needs no number; and who once numbered its answers always does.
    newest = max((grant.serial for grant in rows.where(tx, Grant, platform_id=platform_id)), default=0)
    if decision.granted and (decision.serial or 0) < newest:
        raise CloudMisbehaved("the platform's decision is older than one that was recorded", field="serial")


def _sensible(decision: Decision) -> dict[str, GrantedCapability]:
    terms = {granted.capability: granted for granted in decision.granted}
    odd = [
        granted.capability
        for granted in decision.granted
        if (granted.quota is not None and granted.quota < 0)
        or (granted.expires_at_s is not None and not math.isfinite(granted.expires_at_s))
    ]
    if odd or len(terms) < len(decision.granted):
        raise CloudMisbehaved("the platform's decision names a capability twice, or a quota or expiry without sense")
    return terms


def _known(capability: str, verbs: Sequence[str]) -> list[str]:
    possible = CAPABILITY_VERBS[Capability(capability)] if capability in set(Capability) else None
    if possible is None:
        raise InvalidValue("there is no such capability", field="capability", fix=", ".join(Capability))
    if not set(verbs) <= set(possible):
        raise InvalidValue(f"'{capability}' has no such verb", field="verbs", fix=", ".join(possible))
    return list(verbs)
