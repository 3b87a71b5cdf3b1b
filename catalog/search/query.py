"""What somebody looks for, read from plain texts, so that a URL, a saved search and a command line say the same. Pure.

A list is separated by commas and means "one of these"; different fields must all hold. A number that is not known
satisfies no bound.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from catalog.browse import LABEL
from catalog.errors import InvalidValue
from catalog.messages.handshake import Capability
from catalog.model.offering import OfferState
from catalog.places import CONTINENTS
from catalog.prices.currencies import CURRENCIES
from catalog.store.full_text import words_of

WORDS_LIMIT = 8
TEXT_LENGTH = 256
WEIGHTS: Final[Mapping[str, float]] = {"price": 1.0, "fit": 1.0, "availability": 1.0, "reachability": 1.0}
SETS: Final = (
    "kind",
    "capability",
    "platform",
    "provider",
    "region",
    "country",
    "continent",
    "architecture",
    "state",
)
NUMBERS: Final = ("vcpu", "memory_gib", "disk_gib", "gpu")
SORTS: Final = ("rank", "price", "vcpu", "memory_gib", "disk_gib", "gpu", "rtt_ms")
# What grows in the right direction: everything else is better when it is small.
_LARGEST_FIRST: Final = frozenset({"rank"})
_SYSTEM: Final = re.compile(r"([a-z]+(?:-[a-z]+)*)(?:[ :-]?([0-9][0-9.]{0,15}))?")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Both ends count."""

    least: float = -math.inf
    most: float = math.inf

    @property
    def is_open(self) -> bool:
        """Whether everything is within, the unknown too."""
        return self.least == -math.inf and self.most == math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search. Empty sets let everything through."""

    words: tuple[str, ...] = ()
    sets: Mapping[str, frozenset[str]] = field(default_factory=lambda: dict.fromkeys(SETS, frozenset()))
    bounds: Mapping[str, Bounds] = field(default_factory=lambda: dict.fromkeys(NUMBERS, Bounds()))
    os_family: str = ""
    os_version: str = ""
    price_limit: float | None = None
    currency: str = ""
    rtt_limit_ms: float | None = None
    labels: tuple[tuple[str, str], ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    sort: str = "rank"
    is_descending: bool = True


MEANINGS: Final[Mapping[str, str]] = {
    "text": "Words that something begins with: a size, image, platform, provider, region, country or label.",
    "kind": "`size`, `image` or `offer`; several by comma, as in all lists here.",
    "capability": "What is granted, such as machine.",
    "platform": "Names or ids of platforms.",
    "provider": "Providers.",
    "region": "Regions.",
    "country": "ISO 3166 codes, of the site where the platform is.",
    "continent": "Such as Europe.",
    "architecture": "Such as x86_64 or arm64.",
    "state": "`offered` or `degraded`.",
    "os": "An operating system, such as `debian` or `debian 12`; sizes count where such an image can be ordered.",
    **{f"{name}_min": f"At least so much {name}." for name in NUMBERS},
    **{f"{name}_max": f"At most so much {name}." for name in NUMBERS},
    "price_max": "At most so much an hour, in `currency`.",
    "currency": "What prices are compared in (ISO 4217); else the one that most things have. None is converted.",
    "rtt_max_ms": "Reached within so many milliseconds, as measured.",
    "label": "NAME=VALUE, or NAME for any value.",
    "weights": "Of the ranking, such as `price=2,fit=0`: price, fit, availability, reachability.",
    "sort": f"One of {', '.join(SORTS)}; a `-` before it turns it round. Unknown comes last.",
}


def read(told: Mapping[str, str]) -> Query:
    """Return the search that ``told`` (names of ``MEANINGS`` to texts) says. Raises InvalidValue naming the field."""
    query = Query()
    for name, text in told.items():
        if name not in MEANINGS:
            near = difflib.get_close_matches(name, MEANINGS, n=1)
            fix = f"did you mean {near[0]}?" if near else f"one of {', '.join(MEANINGS)}"
            raise InvalidValue("there is no such part of a search", field=name[:64], fix=fix)
        if not text or len(text) > TEXT_LENGTH or not text.isprintable():
            raise InvalidValue(
                "this cannot be searched for", field=name, fix=f"1 to {TEXT_LENGTH} printable characters"
            )
        query = _with(query, name, text)
    if query.price_limit is not None and not query.currency:
        raise InvalidValue("a price has a currency", field="currency", fix="its ISO 4217 code, such as EUR")
    return query


def _with(query: Query, name: str, text: str) -> Query:
    if name in SETS:
        return replace(query, sets={**query.sets, name: _one_of(name, text)})
    number, _, end = name.rpartition("_")
    if number in NUMBERS:
        held, value = query.bounds[number], _number(name, text)
        bounds = replace(held, least=value) if end == "min" else replace(held, most=value)
        return replace(query, bounds={**query.bounds, number: bounds})
    return _SPECIAL[name](query, text)


def _one_of(name: str, text: str) -> frozenset[str]:
    known = _KNOWN.get(name, ())
    found = frozenset(part for part in (each.strip() for each in text.split(",")) if part)
    if name == "country":
        found = frozenset(each.upper() for each in found)
    for each in found if known else ():
        if each not in known:
            raise InvalidValue(f"there is no {name} '{each}'", field=name, fix=f"one of {', '.join(known)}")
    if not found:
        raise InvalidValue("this names nothing", field=name, fix="one or several, by comma")
    return found


def _number(name: str, text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        raise InvalidValue("this is no number", field=name, fix="such as 4 or 0.5")
    return float(text)


def _text(query: Query, text: str) -> Query:
    words = tuple(dict.fromkeys(words_of(text)))
    if not words or len(words) > WORDS_LIMIT:
        raise InvalidValue("these are no words to look for", field="text", fix=f"1 to {WORDS_LIMIT} words")
    return replace(query, words=words)


def system(text: str, *, name: str = "os") -> tuple[str, str]:
    """Return family and version ("" when it is not said) of such as "debian 12". Raises InvalidValue."""
    found = _SYSTEM.fullmatch(text.strip().lower())
    if found is None:
        raise InvalidValue("this is no operating system", field=name, fix="such as debian, or debian 12")
    return found.group(1), found.group(2) or ""


def _os(query: Query, text: str) -> Query:
    family, version = system(text)
    return replace(query, os_family=family, os_version=version)


def _currency(query: Query, text: str) -> Query:
    if text.upper() not in CURRENCIES:
        raise InvalidValue("this is no currency", field="currency", fix="its ISO 4217 code, such as EUR")
    return replace(query, currency=text.upper())


def _label(query: Query, text: str) -> Query:
    found = []
    for part in text.split(","):
        label, _, value = part.strip().partition("=")
        if not LABEL.fullmatch(label):
            raise InvalidValue("this is no label", field="label", fix="NAME=VALUE, or NAME")
        found.append((label, value))
    return replace(query, labels=tuple(found))


def weights(told: Mapping[str, float]) -> Mapping[str, float]:
    """Return all weights, those in ``told`` in the place of the usual ones. Raises InvalidValue."""
    for name, weight in told.items():
        if name not in WEIGHTS or not 0 <= weight <= 1000:  # noqa: PLR2004 a choice: more says nothing more
            raise InvalidValue("there is no such weight", field="weights", fix=f"0..1000 for {', '.join(WEIGHTS)}")
    found = {**WEIGHTS, **told}
    if not any(found.values()):
        raise InvalidValue("nothing would count", field="weights", fix="one weight above 0")
    return found


def _weights(query: Query, text: str) -> Query:
    parts = [part.strip().partition("=") for part in text.split(",")]
    return replace(query, weights=weights({name: _number("weights", value) for name, _, value in parts}))


def _sort(query: Query, text: str) -> Query:
    name = text.removeprefix("-")
    if name not in SORTS:
        raise InvalidValue("nothing is sorted by this", field="sort", fix=f"one of {', '.join(SORTS)}")
    return replace(query, sort=name, is_descending=(name in _LARGEST_FIRST) is not text.startswith("-"))


_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "kind": ("size", "image", "offer"),
    "capability": tuple(member.value for member in Capability),
    "state": (OfferState.OFFERED.value, OfferState.DEGRADED.value),
    "continent": tuple(CONTINENTS),
}
_SPECIAL: Final[Mapping[str, Callable[[Query, str], Query]]] = {
    "text": _text,
    "os": _os,
    "currency": _currency,
    "label": _label,
    "weights": _weights,
    "sort": _sort,
    "price_max": lambda query, text: replace(query, price_limit=_number("price_max", text)),
    "rtt_max_ms": lambda query, text: replace(query, rtt_limit_ms=_number("rtt_max_ms", text)),
}
