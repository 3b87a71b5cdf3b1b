"""An owner's answer in a browser: a link that the owner's token makes, the page behind it, and what its form says.

The link is the only proof of who answers: it is long, told once, used once and bound to the grant as it stands. Looking
at the page changes nothing, so that mail scanners, which open every link, answer nothing.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from catalog import answer_links, audit, consent, grant_rules, terms_kept
from catalog.audit import Actor, Deed, Result
from catalog.errors import CatalogError, WrongState
from catalog.messages.handshake import Capability, terms_of_others
from catalog.model.consent import AnswerLink, Grant
from catalog.model.platform import Platform
from catalog.model.terms import Scope
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.bodies import Body, Lifetime, Nothing, Out, Time, Word, iso
from gateway.api.dispatch import SHOWN_ONCE
from gateway.api.endpoints import Call, Door, Raw, Routes
from gateway.api.grant_answers import ANSWER_WAKES, AnswerIn, Limit, ScopeIn, terms_of, unnamed_verbs
from gateway.api.grants import own_grant
from gateway.api.problems import status_of
from gateway.pages.render import MEDIA_TYPE, headers, page

routes = Routes("grants")

_DAY_S = 86_400.0


class AnswerLinkIn(Body):
    """How long it holds."""

    expires_after_s: Lifetime = Field(default=answer_links.LASTS_S, description="From now.")


class AnswerLinkOut(Out):
    """A link to the page on which the owner answers."""

    id: str
    grant: str
    path: str | None = Field(
        description="Below this gateway's address; shown once, null in a repeat.", json_schema_extra=SHOWN_ONCE
    )
    expires_at: Time


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _patterns(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Several = Annotated[list[Word], Field(min_length=1, max_length=64), BeforeValidator(_several)]
Patterns = Annotated[list[Word], Field(max_length=64, default_factory=list), BeforeValidator(_patterns)]


class AnswerForm(Body):
    """What the page's form says. It comes filled in with what holds now, so that a field left empty limits nothing."""

    decision: Literal["grant", "deny"]
    verbs: Several | None = None
    quota: Limit | None = None
    cores: Limit | None = None
    memory_gib: Limit | None = None
    calls_per_minute: Annotated[int, Field(ge=10, le=1_000_000)] | None = None
    expires_after_days: Annotated[int, Field(ge=1, le=366)] | None = None
    regions: Patterns
    sizes: Patterns
    images: Patterns
    networks: Patterns
    projects: Patterns
    on_end: Literal["keep", "drain", "destroy"] | None = None

    @model_validator(mode="after")
    def _names_what_is_granted(self) -> Self:
        if self.decision == "grant" and not self.verbs:
            raise ValueError("whoever grants ticks what may be done, or else denies")
        return self

    def as_answer(self, grant: Grant, now_s: float) -> AnswerIn:
        """Return what is said, as the API takes it; what the form has no field for stays as the grant has it."""
        until_s = grant.expires_at_s if self.expires_after_days is None else now_s + self.expires_after_days * _DAY_S
        scope = {name: getattr(self, name) for name in ScopeIn.model_fields}
        return AnswerIn(
            decision=self.decision,
            verbs=self.verbs,
            quota=self.quota,
            cores=self.cores,
            memory_gib=self.memory_gib,
            calls_per_minute=self.calls_per_minute,
            expires_after_s=None if until_s is None else max(until_s - now_s, 0.001),
            scope=ScopeIn(**scope),
            on_end=self.on_end,
            wind_down_s=grant.wind_down_s if self.on_end else None,
            destinations=grant.destinations,
        )


@routes.endpoint(
    "POST",
    "/v1/grants/{id}/links",
    permission="grant:answer",
    body=AnswerLinkIn,
    answer=AnswerLinkOut,
    status=201,
    errors=(WrongState,),
    summary="Make a link by which this grant is answered in a browser, once; the one before ends",
)
def make_answer_link(tx: Tx, call: Call[AnswerLinkIn]) -> AnswerLinkOut:
    """Return the link with its path, which speaks for the owner."""
    grant = own_grant(tx, call)
    link, text = answer_links.make(
        tx, grant, lasts_s=call.body.expires_after_s, by=call.principal.token_id, now_s=call.now_s
    )
    return AnswerLinkOut(id=link.id, grant=grant.id, path=f"/v1/answers/{text}", expires_at=link.expires_at_s)


@routes.probe(
    "/v1/answers/{link}",
    door=Door.ANYONE,
    summary="The page on which a platform's owner answers",
    media_type=MEDIA_TYPE,
)
async def show_answer_page(call: Call[Nothing]) -> Raw:
    """Return the page; nothing is changed by looking at it."""
    return await call.services.database.read(lambda tx: _page(tx, call))


@routes.deed(
    "POST",
    "/v1/answers/{link}",
    door=Door.ANYONE,
    body=AnswerForm,
    takes_form=True,
    wakes=ANSWER_WAKES,
    summary="What that page's form says: grant or deny, at once and once",
    media_type=MEDIA_TYPE,
)
async def take_answer(call: Call[AnswerForm]) -> Raw:
    """Record the owner's word and say so; what cannot be is told on the page, with the link as good as before."""
    services = call.services
    try:
        # A reader first: whoever guesses links does not keep the one writer busy.
        await services.database.read(lambda tx: answer_links.find(tx, call.path["link"], call.now_s))
        said = await services.database.write(lambda tx: _answer(tx, call))
    except CatalogError as error:
        told = error
        return await services.database.read(lambda tx: _page(tx, call, told))
    for task in ANSWER_WAKES:
        services.wake(task)
    return _message(said, "You can close this page; the link is used up.", status=200)


def _answer(tx: Tx, call: Call[AnswerForm]) -> str:
    link, grant = answer_links.find(tx, call.path["link"], call.now_s)
    body = call.body.as_answer(grant, call.now_s)
    terms = terms_of(grant, body, call.now_s) if body.decision == "grant" else None
    answer_links.use(tx, link, call.now_s)
    answered = consent.answer(tx, grant.id, terms, by=link.id, now_s=call.now_s)
    grant_rules.apply(tx, grant.platform_id, call.now_s)
    audit.record(tx, _deed(call, link, answered), call.now_s)
    return f"{'Granted' if terms else 'Denied'}: {grant.capability}"


def _deed(call: Call[AnswerForm], link: AnswerLink, grant: Grant) -> Deed:
    """Return the deed as the audit log tells it: who made the link has answered, from where it was used."""
    return Deed(
        actor=Actor(key=f"link:{link.id}", name=link.id, token_id=link.made_by),
        action="take_answer",
        subject=grant.id,
        result=Result.DONE,
        data={"request": call.request_id, "address": call.address, "decision": call.body.decision},
    )


def _page(tx: Tx, call: Call[Any], error: CatalogError | None = None) -> Raw:
    try:
        link, grant = answer_links.find(tx, call.path["link"], call.now_s)
    except CatalogError as gone:
        return _message(str(gone), gone.fix or "", status=status_of(gone) or 404)
    body = page(
        "answer",
        title="May this gateway do this?",
        trouble="" if error is None else ". ".join(filter(None, (str(error), error.fix))),
        platform=rows.by_id(tx, Platform, grant.platform_id).name,
        capability=grant.capability,
        state=grant.state.value,
        verbs=grant.verbs,
        terms=terms_kept.terms_of(grant),
        lacking=terms_of_others(grant.capability, Scope()),
        is_of_machines=grant.capability == Capability.MACHINE,
        ends=None if grant.expires_at_s is None else iso(grant.expires_at_s),
        meant=unnamed_verbs(grant),
        ends_at=iso(link.expires_at_s),
    )
    status = 200 if error is None else status_of(error) or 422
    return Raw(body=body, status=status, content_type=MEDIA_TYPE, headers=headers())


def _message(text: str, fix: str, *, status: int) -> Raw:
    body = page("message", title="An owner's answer", text=text, fix=fix)
    return Raw(body=body, status=status, content_type=MEDIA_TYPE, headers=headers())
