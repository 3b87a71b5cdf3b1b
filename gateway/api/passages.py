"""Passages: native sessions at a platform for its owner, connected partners and admins; ``passing`` has their calls."""

from typing import Annotated

from pydantic import Field

from catalog import naming, passages
from catalog.errors import Denied, InvalidValue, NotFound, WrongState
from catalog.model.passage import Passage, PassageCall, PassageKind
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Nothing, Out, Reference, Resource, Time, Url, Word, stamp
from gateway.api.dispatch import SHOWN_ONCE
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.api.services import Wakes

routes = Routes("passages")

PREFIX = "/passages/"
Seconds = Annotated[float, Field(gt=0, le=passages.LONGEST_S)]


class PassageIn(Body):
    """A passage to open."""

    platform: Reference
    purpose: Word = Field(description="What it is for, in words, such as the program's name; no secrets.")
    gateway_url: Url = Field(description="This gateway as the caller knows it; the platform's clients call it there.")
    ttl_s: Seconds | None = Field(default=None, description="Seconds until it ends by itself; absent: the setting.")


class PassageOut(Resource):
    """A passage, open or ended."""

    platform: str
    connection: str
    principal: str = Field(description="`admin`, or `platform:` and its id.")
    principal_name: str
    kind: str
    purpose: str
    opened_at: Time
    expires_at: Time
    ended_at: Time | None
    end_reason: str
    calls: int
    bytes_in: int = Field(description="From the caller towards the platform; written down every half second.")
    bytes_out: int


class NewPassageOut(PassageOut):
    """A passage with what the platform's own clients need to use it."""

    environment: dict[str, str] | None = Field(
        description="Variables for the platform's own clients; they hold the passage's secret. Shown once.",
        json_schema_extra=SHOWN_ONCE,
    )


class CallOut(Out):
    """One call in a passage."""

    what: str = Field(description="In the platform's own words.")
    capability: str = Field(description="With the verb that it needed; empty where no grant speaks of it.")
    refused: bool = Field(description="By the gateway: nothing was sent to the platform.")
    status: int | None = Field(description="Of the answer; null while there is none.")
    at: Time


async def _admit(call: Call[PassageIn], opened: NewPassageOut) -> None:
    assert call.services.passing is not None
    await call.services.passing.admit(opened.id, _address(call.body, opened.id))


@routes.endpoint(
    "POST",
    "/v1/passages",
    permission="passage:open",
    body=PassageIn,
    answer=NewPassageOut,
    status=201,
    location="/v1/passages/{id}",
    then=_admit,
    errors=(Denied, InvalidValue, NotFound, WrongState),
    summary="Open a native session at a platform, for what it grants",
)
def open_passage(tx: Tx, call: Call[PassageIn]) -> NewPassageOut:
    """Return the open passage with the variables for the platform's own clients."""
    passing = call.services.passing
    if passing is None:
        raise WrongState("this process holds no passages", fix="ask the gateway that keeps the connections")
    platform = naming.known(tx, Platform, call.body.platform, field="platform")
    passages.require_any_grant(tx, platform.id, call.now_s)
    row = passages.open_passage(
        tx,
        principal=call.principal,
        platform_id=platform.id,
        kind=PassageKind.HTTP,
        purpose=call.body.purpose,
        ttl_s=call.services.limits.passage_s if call.body.ttl_s is None else call.body.ttl_s,
        now_s=call.now_s,
    )
    environment = passing.environment(row, platform, _address(call.body, row.id))
    return NewPassageOut(**dict(_out(tx, row)), environment=dict(environment))


@routes.plain(
    "GET",
    "/v1/passages",
    permission="passage:read",
    answer=PassageOut,
    many=True,
    filters={"kind": one_of(PassageKind, "Only these.")},
    summary="List the passages, ended ones included",
)
def list_passages(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page: an admin's of all passages, anybody else's of their own."""
    wanted: dict[str, object] = {} if call.sees_all else {"principal": passages.key_of(call.principal)}
    if kind := call.filters.get("kind"):
        wanted["kind"] = PassageKind(kind)
    found = page(tx, Passage, limit=call.limit, token=call.page_token, where=wanted)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/passages/{id}", permission="passage:read", answer=PassageOut, summary="Show a passage")
def get_passage(tx: Tx, call: Call[Nothing]) -> PassageOut:
    """Return the passage."""
    return _out(tx, _visible(tx, call))


@routes.plain(
    "GET",
    "/v1/passages/{id}/calls",
    permission="passage:read",
    answer=CallOut,
    many=True,
    summary="List what was called in a passage, the newest first",
)
def list_passage_calls(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return the newest calls, all on one page."""
    return Listing(items=[_call(row) for row in passages.calls(tx, _visible(tx, call).id)])


@routes.plain(
    "DELETE",
    "/v1/passages/{id}",
    permission="passage:close",
    answer=PassageOut,
    wakes=(Wakes.PASSAGES,),
    summary="Close a passage; what runs in it is cut",
)
def close_passage(tx: Tx, call: Call[Nothing]) -> PassageOut:
    """Return the passage, ended; one that has ended keeps its reason."""
    row = _visible(tx, call)
    call.precondition.check(row)
    return _out(tx, passages.end(tx, row.id, passages.CLOSED, call.now_s))


def _address(body: PassageIn, passage_id: str) -> str:
    return f"{body.gateway_url.rstrip('/')}{PREFIX}{passage_id}"


def _visible(tx: Tx, call: Call[Nothing]) -> Passage:
    row = rows.find(tx, Passage, call.path["id"])
    if row is None or not passages.may_see(call.principal, row):
        raise NotFound(f"there is no passage '{call.path['id']}'")
    return row


def _out(tx: Tx, row: Passage) -> PassageOut:
    return PassageOut(
        **stamp(row),
        platform=rows.by_id(tx, Platform, row.platform_id).name,
        connection=row.connection_id,
        principal=row.principal,
        principal_name=row.principal_name,
        kind=row.kind.value,
        purpose=row.purpose,
        opened_at=row.opened_at_s,
        expires_at=row.expires_at_s,
        ended_at=row.ended_at_s,
        end_reason=row.end_reason,
        calls=row.calls,
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
    )


def _call(row: PassageCall) -> CallOut:
    return CallOut(what=row.what, capability=row.capability, refused=row.refused, status=row.status, at=row.at_s)
