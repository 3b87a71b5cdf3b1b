"""How grants come to be asked for and answered through the API: an admin asks (again), the platform's owner says."""

from typing import Annotated, Any, Literal

from pydantic import Field

from catalog import consent, grant_rules
from catalog.errors import CloudMisbehaved, InvalidValue, WrongState
from catalog.messages.handshake import BY_NAME_ONLY
from catalog.messages.handshake_json import granted_from
from catalog.messages.handshake_shapes import GrantedShape
from catalog.model.consent import Grant, GrantState
from catalog.model.terms import Terms
from catalog.store.database import Tx
from gateway.api.bodies import Body, Lifetime, Nothing, Word
from gateway.api.endpoints import Call, Routes
from gateway.api.grants import GrantOut, grant_out, own_grant
from gateway.api.services import Wakes

routes = Routes("grants")

Patterns = Annotated[list[Word], Field(max_length=64)]
# What follows from an owner's word, whichever way it came.
ANSWER_WAKES = (Wakes.ENFORCEMENT, Wakes.PASSAGES, Wakes.DISPATCH, Wakes.GRANTS, Wakes.RELAYS)
Limit = Annotated[int, Field(ge=1, le=1_000_000)]


@routes.plain(
    "POST",
    "/v1/grants/{id}/ask",
    permission="grant:write",
    answer=GrantOut,
    status=202,
    wakes=(Wakes.GRANTS,),
    errors=(WrongState,),
    summary="Ask the owner for what was proposed, denied or has ended; a decision of the owner's own is made anew",
)
def ask_for_grant(tx: Tx, call: Call[Nothing]) -> GrantOut:
    """Return the grant, requested. Its owner is asked as soon as the platform is connected."""
    return grant_out(tx, consent.ask(tx, own_grant(tx, call).id, call.now_s))


class ScopeIn(Body):
    """Patterns (`*`, `?`) of names or ids; none of a kind: any."""

    regions: Patterns = Field(default_factory=list)
    sizes: Patterns = Field(default_factory=list)
    images: Patterns = Field(default_factory=list)
    networks: Patterns = Field(default_factory=list)
    projects: Patterns = Field(default_factory=list)


class AnswerIn(Body):
    """The owner's word. What a grant does not say is unlimited.

    `verbs` left out: all that are asked for or stand, but of those asked for not `adopt`, which has to be named.
    """

    decision: Literal["grant", "deny"]
    verbs: Annotated[list[Word], Field(min_length=1, max_length=64)] | None = None
    quota: Limit | None = Field(default=None, description="Machines at once.")
    expires_after_s: Lifetime | None = Field(default=None, description="From now; left out: no end.")
    destinations: Annotated[list[Word], Field(default_factory=list, max_length=64)]
    scope: ScopeIn = Field(default_factory=ScopeIn)
    cores: Limit | None = None
    memory_gib: Limit | None = None
    calls_per_minute: Annotated[int, Field(ge=10, le=1_000_000)] | None = None
    on_end: Literal["keep", "drain", "destroy"] | None = Field(default=None, description="What becomes of machines.")
    wind_down_s: Lifetime | None = Field(default=None, description="How long after the end machines may stay.")


@routes.endpoint(
    "POST",
    "/v1/grants/{id}/answer",
    permission="grant:answer",
    body=AnswerIn,
    answer=GrantOut,
    wakes=ANSWER_WAKES,
    errors=(WrongState, InvalidValue),
    summary="Grant, narrow or deny, as the platform's owner; it takes effect at once",
)
def answer_grant(tx: Tx, call: Call[AnswerIn]) -> GrantOut:
    """Return the grant after the owner's word: on other terms when it stood, ended when it is denied."""
    grant = own_grant(tx, call)
    terms = terms_of(grant, call.body, call.now_s) if call.body.decision == "grant" else None
    answered = consent.answer(tx, grant.id, terms, by=call.principal.token_id, now_s=call.now_s)
    grant_rules.apply(tx, grant.platform_id, call.now_s)
    return grant_out(tx, answered)


def unnamed_verbs(grant: Grant) -> list[str]:
    """Return the verbs that an answer means which names none: what has to be named stays only where it stands."""
    asked = grant.state is GrantState.REQUESTED
    return [verb for verb in grant.verbs if not (asked and (grant.capability, verb) in BY_NAME_ONLY)]


def terms_of(grant: Grant, body: AnswerIn, now_s: float) -> Terms:
    """Return the terms that ``body`` grants. Raises InvalidValue."""
    told: dict[str, Any] = body.model_dump(exclude={"decision", "expires_after_s"})
    told |= {
        "capability": grant.capability,
        "verbs": body.verbs or unnamed_verbs(grant),
        "expires_at_s": None if body.expires_after_s is None else now_s + body.expires_after_s,
    }
    try:
        # By the very rules by which a connector's answer is read.
        return granted_from(GrantedShape.model_validate(told))
    except ValueError as error:
        raise InvalidValue("a verb, pattern or destination is not what it can be", field="verbs") from error
    except CloudMisbehaved as error:
        raise InvalidValue(str(error).replace("the decision", "the answer"), field="scope") from error
