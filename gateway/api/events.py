"""The event log: by pages, and as a feed that goes on where its reader left off."""

import asyncio
import math
import re
from collections.abc import AsyncGenerator
from typing import Any

from pydantic import Field

from catalog import access, events, tokens
from catalog.errors import EventsForgotten, InvalidValue
from catalog.model.event import Event
from catalog.store.database import Tx
from gateway.api.bodies import Nothing, Out, Time
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.feeds import beat, frame
from gateway.errors import MalformedRequest, Unauthenticated

routes = Routes("events")

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
FEED_BATCH = 100
_FILTERS = {
    "since": "Only events with greater numbers; absent: all that are kept.",
    "kind": "Only these: a noun such as `order`, or one kind such as `order.fulfilled`.",
    "subject": "Only about the thing with this id.",
}


class EventOut(Out):
    """One event. Numbers have no gaps and never run backwards; what a caller may not see is left out."""

    seq: int
    kind: str = Field(description="A noun and where it stands now, such as `order.fulfilled`; `.changed`: its facts.")
    subject: str = Field(description="The id of what it happened to.")
    platform: str | None = Field(description="The id of the platform that it concerns.")
    project: str | None = Field(description="The id of the project that it concerns.")
    at: Time
    data: dict[str, Any] = Field(description="Facts of the subject then; more may be added.")


@routes.plain(
    "GET",
    "/v1/events",
    permission="event:read",
    answer=EventOut,
    many=True,
    filters=_FILTERS,
    errors=(EventsForgotten, InvalidValue),
    summary="List what happened, the oldest first",
)
def list_events(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of the events that the caller may see."""
    told = call.filters.get("since")
    if call.page_token is not None:
        since = _number(call.page_token, field="page_token")
    else:
        since = events.before_oldest(tx) if told is None else _number(told, field="since")
    batch = events.read(tx, _reader(call), since=since, limit=call.limit)
    more = len(batch.events) == call.limit
    return Listing(items=[out(row) for row in batch.events], next_token=str(batch.upto) if more else None)


@routes.feed(
    "/v1/events/watch",
    permission="event:read",
    filters={**_FILTERS, "since": "Begin after this number; absent: with what happens from now on."},
    errors=(EventsForgotten, InvalidValue),
    summary="Watch what happens, as server-sent events",
    description="Each event has its number as `id`; `Last-Event-ID` or `since` resumes without loss. The feed ends "
    "when the token is not valid any more. Comments show that it stands, numbers beside them that nothing was missed.",
)
async def watch_events(call: Call[Nothing]) -> AsyncGenerator[bytes]:
    """Yield the events that the caller may see, for as long as its token is valid."""
    database, who = call.services.database, _reader(call)
    loop, beat_s = asyncio.get_running_loop(), call.services.limits.feed_beat_s
    since = await database.read(lambda tx: _begin(tx, call))
    due = loop.time()
    while not call.services.changes.closed:
        # Before reading: what is committed after the reading rings this bell.
        ticket = database.told.ticket()
        batch, left_s = await _next(call, who, since)
        since = batch.upto
        for row in batch.events:
            yield frame(seq=row.seq, kind=row.kind, document=out(row).model_dump())
        if not batch.events and loop.time() >= due:
            yield beat(since)
        if batch.events or loop.time() >= due:
            due = loop.time() + beat_s
        if len(batch.events) < FEED_BATCH:
            await database.told.wait(ticket, min(left_s, max(0.0, due - loop.time())))


def out(row: Event) -> EventOut:
    """Return the event as readers see it."""
    return EventOut(
        seq=row.seq,
        kind=row.kind,
        subject=row.subject_id,
        platform=row.platform_id,
        project=row.project_id,
        at=row.at_s,
        data=row.data,
    )


async def _next(call: Call[Nothing], who: events.Reader, since: int) -> tuple[events.Batch, float]:
    return await call.services.database.read(lambda tx: _batch(tx, call, who, since))


def _batch(tx: Tx, call: Call[Nothing], who: events.Reader, since: int) -> tuple[events.Batch, float]:
    """Return the next events, and for how many seconds the caller's token is still valid. Raises Unauthenticated."""
    now_s = call.services.clock.now_s()
    principal = access.again(tx, call.principal, now_s)
    if principal is None:
        raise Unauthenticated("the token is not valid any more", field="Authorization", fix="use another token")
    access.require(principal, call.permission)
    # Not what it was when the feed began: memberships come and go.
    who = events.reader(principal, kind=who.kind, subject=who.subject)
    ends_at_s = tokens.ends_at_s(tx, principal.token_id)
    left_s = math.inf if ends_at_s is None else ends_at_s - now_s
    return events.read(tx, who, since=since, limit=FEED_BATCH), left_s


def _begin(tx: Tx, call: Call[Nothing]) -> int:
    """Return the number after which the feed begins: what was seen, else what was asked for, else the newest."""
    if call.resume:
        return _number(call.resume, field="Last-Event-ID")
    told = call.filters.get("since")
    return events.newest(tx) if told is None else _number(told, field="since")


def _reader(call: Call[Nothing]) -> events.Reader:
    return events.reader(call.principal, kind=call.filters.get("kind"), subject=call.filters.get("subject"))


def _number(text: str, *, field: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise MalformedRequest("this is no event's number", field=field, fix="a number as it came, such as 17")
    return int(text)
