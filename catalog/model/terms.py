"""What a grant allows: the one list of terms, from which messages, rows, versions, events, policies and the API follow.

A term that is added to ``Terms`` is wanted in all of them; ``tests/catalog/test_terms.py`` says where it is missing.
"""

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any


class EndRule(StrEnum):
    """What becomes of machines, and of what else was made, when their grant ends."""

    KEEP = "keep"  # all stay until the grant would have expired, or else for the wind-down's time
    DRAIN = "drain"  # those that nobody uses go at once, the others when given back or the wind-down's time is over
    DESTROY = "destroy"  # all go at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which machines a grant is for, and whose: patterns (``*`` and ``?``) of names or ids; none of a kind = any."""

    regions: tuple[str, ...] = ()  # of a location, or of the platform's own region
    sizes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # whichever a machine is attached to; the cloud's own choice is none of them
    projects: tuple[str, ...] = ()  # ORGANISATION/PROJECT


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much of a capability is granted, until when, and what follows. Of a count, None = unlimited.

    ``destinations`` is where may be forwarded to, see ``catalog.destinations``; for forwarding only. ``cores``,
    ``memory_gib`` and a scope of sizes and images are for machines; ``quota`` (so many at once), a scope of regions and
    projects, and what becomes of what was made at the end, for whatever is made to order.
    """

    verbs: tuple[str, ...]
    quota: int | None = None
    expires_at_s: float | None = None
    destinations: tuple[str, ...] = ()
    scope: Scope = Scope()
    cores: int | None = None
    memory_gib: int | None = None
    calls_per_minute: int | None = None
    on_end: EndRule | None = None  # None: what was made stays until somebody ends it
    wind_down_s: float | None = None  # how long after the end it may stay; with ``on_end`` only


TERMS = tuple(each.name for each in fields(Terms))
OF_MACHINES = ("cores", "memory_gib")
OF_WHAT_IS_MADE = ("quota", "scope", "on_end", "wind_down_s")


def terms_json(terms: Terms) -> dict[str, Any]:
    """Return every term as rows and versions hold it: lists for tuples, of a scope only what limits."""
    return {name: _json(getattr(terms, name)) for name in TERMS}


def _json(value: object) -> object:
    match value:
        case Scope():
            return {kind: list(patterns) for kind, patterns in asdict(value).items() if patterns}
        case tuple():
            return list(value)
        case EndRule():
            return value.value
    return value


# The terms of what is not granted (any more).
NO_TERMS = terms_json(Terms(verbs=()))
