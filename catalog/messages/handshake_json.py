"""The handshake in JSON over HTTP, read and written: one truth for connector and gateway (S1 steps 9-12).

Pure. What comes from the other side passes the strict models of ``handshake_shapes`` before anything looks at it:
exact types, lengths, no control or other unprintable characters, known names. Errors never repeat what the other side
sent.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from catalog.destinations import destinations
from catalog.errors import CloudMisbehaved, InvalidValue
from catalog.messages.handshake import (
    AuthorizationRequest,
    Decision,
    GrantedCapability,
    ServiceInformation,
    terms_of_others,
    verified,
)
from catalog.messages.handshake_shapes import (
    AnswerShape,
    DecisionAnswer,
    GrantedShape,
    InformationAnswer,
    ScopeShape,
)
from catalog.messages.quorum import Approvals, approval_bytes, require
from catalog.model.terms import TERMS, EndRule, terms_json

INFORMATION_PATH = "/v1/service-information"
AUTHORIZATIONS_PATH = "/v1/authorizations"
BODY_LIMIT_BYTES = 256 * 1024
CLOCK_WINDOW_S = 120.0  # how far the clocks of the two sides may differ


class Refusal(StrEnum):
    """Why a connector refuses a question; the code stands in the body of its answer, see REFUSALS."""

    MALFORMED = "malformed"
    UNKNOWN_GATEWAY = "unknown-gateway"
    WRONG_PLATFORM = "wrong-platform"
    STALE = "stale"
    UNKNOWN_PATH = "unknown-path"
    WRONG_METHOD = "wrong-method"
    TOO_SLOW = "too-slow"
    REPLAYED = "replayed"
    CHANGED_REQUEST = "changed-request"
    TOO_LARGE = "too-large"
    BUSY = "busy"


REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.MALFORMED: (400, "the message has not the shape of a handshake question"),
    Refusal.UNKNOWN_GATEWAY: (403, "the message is not signed by the gateway named in connector.gateway_key"),
    Refusal.WRONG_PLATFORM: (403, "this connector speaks for another platform than the one that was asked"),
    Refusal.STALE: (403, f"the message was made more than {CLOCK_WINDOW_S:.0f} s from now: compare both clocks"),
    Refusal.UNKNOWN_PATH: (404, f"there are only {INFORMATION_PATH} and {AUTHORIZATIONS_PATH}"),
    Refusal.WRONG_METHOD: (405, "questions are put with POST"),
    Refusal.TOO_SLOW: (408, "the body did not arrive in time"),
    Refusal.REPLAYED: (409, "the nonce was used before"),
    Refusal.CHANGED_REQUEST: (409, "the same request id asked for something else before"),
    Refusal.TOO_LARGE: (413, f"the body is larger than {BODY_LIMIT_BYTES} bytes"),
    Refusal.BUSY: (503, "the connector cannot decide durably now; ask again"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a signed decision proves by itself, without the question that it answers."""

    platform: str
    gateway: str
    issued_at_s: float
    serial: int
    granted: tuple[GrantedCapability, ...]


M = TypeVar("M", bound=BaseModel)
# What the first readers knew; a term that was added later stands in an answer only where it says something.
_ALWAYS_TOLD = frozenset({"verbs", "quota", "expires_at_s"})


def read_json(body: bytes) -> object:
    """Return the JSON value in ``body``. Raises CloudMisbehaved for anything that strict JSON does not allow."""
    try:
        value: object = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CloudMisbehaved("the handshake message is not JSON") from error
    return value


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def signed_payload(message: object, key: str) -> dict[str, Any]:
    """Return the payload that ``key`` (base64) signed. Raises CloudMisbehaved, also for one too deep to check."""
    try:
        return verified(message, key)
    except RecursionError as error:
        raise CloudMisbehaved("the handshake message is nested too deeply") from error


def read(shape: type[M], payload: dict[str, Any]) -> M:
    """Return ``payload`` as ``shape``. Raises CloudMisbehaved naming the first wrong top-level field."""
    try:
        return shape.model_validate(payload)
    except ValidationError as error:
        place = error.errors()[0]["loc"][:1]
        # An unknown field is named by the other side, so its name is not repeated.
        known = place[0] if place and place[0] in shape.model_fields else "an unknown field"
        raise CloudMisbehaved(f"the handshake message is wrong at: {known}", field=str(known)) from error


def read_information(payload: dict[str, Any], *, nonce: str) -> ServiceInformation:
    """Return the service information that answers the question ``nonce``. Raises CloudMisbehaved."""
    answer = read(InformationAnswer, payload)
    _same_nonce(answer, nonce)
    return answer.service_information.information()


def read_decision(payload: dict[str, Any], *, nonce: str, request: AuthorizationRequest, signed: str) -> Decision:
    """Return the decision that answers ``request``, with ``signed`` kept as evidence.

    Raises CloudMisbehaved, also when the answer goes beyond what was asked: another request, platform or gateway, a
    capability or verb nobody asked for, or the same capability twice.
    """
    answer = read(DecisionAnswer, payload)
    _same_nonce(answer, nonce)
    if answer.request_id != request.request_id:
        raise CloudMisbehaved("the decision answers another request", field="request_id")
    if answer.serial is not None and (answer.platform, answer.gateway) != (request.platform, request.gateway):
        raise CloudMisbehaved("the decision is another platform's, or to another gateway", field="gateway")
    named = [grant.capability for grant in answer.granted] + answer.pending
    if len(set(named)) != len(named) or not set(named) <= set(request.wanted):
        raise CloudMisbehaved("the decision names a capability twice, or one that was not asked for", field="granted")
    for grant in answer.granted:
        if not set(grant.verbs) <= set(request.wanted[grant.capability]):
            raise CloudMisbehaved("the decision grants a verb that was not asked for", field="granted")
    granted = tuple(granted_from(grant) for grant in answer.granted)
    _require_approved(granted, request.request_id, request.platform, request.gateway)
    return Decision(
        request_id=answer.request_id,
        granted=granted,
        pending=tuple(answer.pending),
        signed=signed,
        serial=answer.serial,
        issued_at_s=answer.issued_at_s,
    )


def read_evidence(payload: dict[str, Any]) -> Evidence:
    """Return the decision that was signed as ``payload``, whatever was asked. Raises CloudMisbehaved."""
    answer = read(DecisionAnswer, payload)
    if answer.platform is None or answer.gateway is None or answer.issued_at_s is None or answer.serial is None:
        raise CloudMisbehaved("the decision does not say whose it is, for whom, and when", field="serial")
    granted = tuple(granted_from(grant) for grant in answer.granted)
    _require_approved(granted, answer.request_id, answer.platform, answer.gateway)
    return Evidence(
        platform=answer.platform,
        gateway=answer.gateway,
        issued_at_s=answer.issued_at_s,
        serial=answer.serial,
        granted=granted,
    )


def granted_from(shape: GrantedShape) -> GrantedCapability:
    """Return the value of what was read. Raises CloudMisbehaved for terms that its capability cannot have."""
    given = {name: value for name, value in shape if name in TERMS}
    if any(_limits(given[name]) for name in terms_of_others(shape.capability, shape.scope.scope())):
        raise CloudMisbehaved("the decision limits as machines what is none", field="granted")
    if shape.wind_down_s is not None and shape.on_end is None:
        raise CloudMisbehaved("the decision says how long machines stay, and not what becomes of them", field="granted")
    try:
        reached = destinations(shape.destinations)
    except InvalidValue as error:
        raise CloudMisbehaved(
            "the decision grants a destination that nobody is forwarded to", field="granted"
        ) from error
    values = {
        "verbs": tuple(shape.verbs),
        "destinations": reached,
        "scope": shape.scope.scope(),
        "on_end": None if shape.on_end is None else EndRule(shape.on_end),
    }
    approvals = None if shape.approvals is None else shape.approvals.approvals()
    return GrantedCapability(capability=shape.capability, approvals=approvals, **{**given, **values})


def _limits(term: object) -> bool:
    return bool(term) and term != ScopeShape()


def _same_nonce(answer: AnswerShape, nonce: str) -> None:
    if answer.nonce != nonce:
        raise CloudMisbehaved("the answer repeats another question's nonce", field="nonce")


def information_json(information: ServiceInformation) -> dict[str, Any]:
    """Return ``information`` as JSON values."""
    return {
        "provider": information.provider,
        "region": information.region,
        "services": list(information.services),
        "facts": dict(information.facts),
    }


def request_json(request: AuthorizationRequest) -> dict[str, Any]:
    """Return ``request`` as JSON values."""
    return {
        "request_id": request.request_id,
        "platform": request.platform,
        "gateway": request.gateway,
        "service_information": information_json(request.service_information),
        "wanted": {capability: list(verbs) for capability, verbs in request.wanted.items()},
    }


def granted_json(granted: GrantedCapability) -> dict[str, Any]:
    """Return one granted capability as JSON values; what older readers do not know, only where there is any."""
    terms = terms_json(granted)
    told = {name: value for name, value in terms.items() if value or name in _ALWAYS_TOLD}
    approvals = {} if granted.approvals is None else {"approvals": _approvals_json(granted.approvals)}
    return {"capability": granted.capability, **told, **approvals}


def shown_to_approvers(granted: GrantedCapability, *, request_id: str, platform: str, gateway: str) -> bytes:
    """Return what approvers sign of ``granted``."""
    terms = granted_json(replace(granted, approvals=None))
    return approval_bytes(request_id=request_id, platform=platform, gateway=gateway, granted=terms)


def _approvals_json(approvals: Approvals) -> dict[str, Any]:
    given = [{"key": each.key, "signature": each.signature} for each in approvals.given]
    return {"need": approvals.quorum.need, "of": list(approvals.quorum.of), "given": given}


def _require_approved(granted: Sequence[GrantedCapability], request_id: str, platform: str, gateway: str) -> None:
    for each in granted:
        if each.approvals is not None:
            shown = shown_to_approvers(each, request_id=request_id, platform=platform, gateway=gateway)
            require(each.approvals, shown)
