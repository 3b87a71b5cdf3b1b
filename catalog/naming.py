"""The grammars of names and labels, and the checks that a name is free or known."""

import re
from collections.abc import Mapping
from typing import TypeVar

from catalog import addresses
from catalog.errors import AlreadyExists, InvalidValue
from catalog.model.rows import Row
from catalog.store import rows
from catalog.store.database import Tx

K = TypeVar("K", bound=Row)

# No underscore, so that no name can pass for an id; no ">", which separates the relays of a route.
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", re.ASCII)
# What is ordered must do as a host name: 36 characters leave room for the 27 that make it unique (63 in all).
_HOST_NAME = re.compile(r"[a-z]([a-z0-9-]{0,34}[a-z0-9])?")
_LABEL_LENGTH = 200


def name(text: str, *, field: str = "name") -> str:
    """Return ``text`` if it can name a thing. Raises InvalidValue."""
    if not _NAME.fullmatch(text):
        fix = "1 to 63 of a-z 0-9 . - beginning and ending with a letter or digit"
        raise InvalidValue("this cannot be a name", field=field, fix=fix)
    return text


def host_name(text: str, *, field: str = "name") -> str:
    """Return ``text`` if what a tenant orders can be named so, at whatever cloud it is made. Raises InvalidValue."""
    if not _HOST_NAME.fullmatch(text):
        fix = "up to 36 characters, beginning with a letter"
        raise InvalidValue("a name is made of a-z, 0-9 and '-'", field=field, fix=fix)
    return text


def label(text: str, *, field: str, empty: bool = False) -> str:
    """Return ``text`` if it is printable and short: words for people, never parsed. Raises InvalidValue."""
    if not (empty or text) or len(text) > _LABEL_LENGTH or not text.isprintable():
        fix = f"1 to {_LABEL_LENGTH} printable characters"
        raise InvalidValue("this holds nothing, too much or control characters", field=field, fix=fix)
    return text


def refuse_taken(tx: Tx, kind: type[Row], text: str, *, field: str = "name") -> None:
    """Raise AlreadyExists when a row of ``kind`` has this name; the table's own UNIQUE remains the judge."""
    if rows.first(tx, kind, name=text) is not None:
        raise AlreadyExists(f"another {rows.word(kind)} has the name '{text}'", field=field)


def known(tx: Tx, kind: type[K], text: str, *, field: str) -> K:
    """Return the row of ``kind`` with this name or id. Raises InvalidValue naming the field: it is part of another."""
    found = rows.first(tx, kind, name=text) or rows.find(tx, kind, text)
    if found is None:
        word = rows.word(kind)
        raise InvalidValue(f"there is no {word} '{text}'", field=field, fix=f"the name or id of a {word} that exists")
    return found


def by_site(dials: object, *, field: str) -> dict[str, str]:
    """Return site name -> canonical ``host:port``. Raises InvalidValue; whether the sites exist is not looked at."""
    if not isinstance(dials, Mapping):
        raise InvalidValue("this is not a table of sites and addresses", field=field, fix='{"site": "host:port"}')
    return {
        name(str(at), field=field): str(addresses.address(str(dial), field=f"{field}.{at}"))
        for at, dial in dials.items()
    }
