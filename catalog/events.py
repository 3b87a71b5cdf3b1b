"""The event log as its readers see it: who may read what, from where on, and what is no longer there.

Numbers are given in the order of commits without gaps (see ``catalog.model.event.LogHead``), so whoever has read up to
a number has missed nothing before it. An admin reads all, a platform what concerns it,
and members what is their project's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement

from catalog.access import Principal, scope
from catalog.errors import EventsForgotten, InvalidValue
from catalog.model.access import Role
from catalog.model.event import Audience, Event
from catalog.store import events as store
from catalog.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whose events, and which of them: ``kind`` is a noun (``order``) or one kind (``order.failed``)."""

    audience: Audience
    subject_ids: frozenset[str] = frozenset()
    kind: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events in order, and the number up to which the log was read: going on from there misses nothing."""

    events: Sequence[Event]
    upto: int


def reader(principal: Principal, *, kind: str | None = None, subject: str | None = None) -> Reader:
    """Return the reader for ``principal``."""
    audience, subject_ids = view_of(principal, "event:read")
    return Reader(audience=audience, subject_ids=subject_ids, kind=kind, subject=subject)


def view_of(principal: Principal, permission: str) -> tuple[Audience, frozenset[str]]:
    """Return whose view of the log the principal has with ``permission``, and of which projects or platform."""
    reach = scope(principal, permission)
    if reach.everything:
        return Audience.GATEWAY, frozenset()
    if principal.role is Role.PLATFORM:
        return Audience.PLATFORM, frozenset({principal.subject_id})
    return Audience.PROJECT, frozenset(reach.projects)


def newest(tx: Tx) -> int:
    """Return the number of the newest event ever written, 0 before the first."""
    return store.newest(tx)


def before_oldest(tx: Tx) -> int:
    """Return the number to go on from to read everything that is kept."""
    return store.oldest(tx) - 1


def read(tx: Tx, who: Reader, *, since: int, limit: int) -> Batch:
    """Return up to ``limit`` events that ``who`` may and wants to see, all with numbers above ``since``.

    Raises EventsForgotten when some of those above ``since`` are not kept any more, InvalidValue for a number that
    this log has not reached.
    """
    newest = store.newest(tx)
    if since > newest:
        raise InvalidValue("no event has this number yet", field="since", fix=f"0..{newest}")
    if since + 1 < store.oldest(tx):
        raise EventsForgotten(
            f"events after {since} are not kept any more",
            field="since",
            fix=f"read the lists anew, then go on from since={newest}",
        )
    found = store.after(tx, since, *_conditions(who), upto=newest, limit=limit)
    return Batch(events=found, upto=found[-1].seq if len(found) == limit else newest)


def forget(tx: Tx, now_s: float, *, kept_s: float) -> int:
    """Forget events older than ``kept_s`` and return how many. May be repeated."""
    return store.forget(tx, now_s - kept_s)


def _conditions(who: Reader) -> list[ColumnElement[bool]]:
    conditions = []
    match who.audience:
        case Audience.PROJECT:
            conditions.append(store.concerning(projects=who.subject_ids))
        case Audience.PLATFORM:
            conditions.append(store.concerning(platforms=who.subject_ids))
        case Audience.GATEWAY:
            pass
    if who.kind is not None:
        conditions.append(store.of_kind(who.kind))
    if who.subject is not None:
        conditions.append(store.about(who.subject))
    return conditions
