"""Which rows a search lets through, one mask per filter, so that a facet can be counted without its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catalog.allowance import admits
from catalog.places import continent
from catalog.search.columns import KINDS, UNKNOWN, Codes, Words
from catalog.search.index import Whole
from catalog.search.query import Query
from catalog.store import full_text
from catalog.store.database import Tx
from catalog.store.search import Standing

Mask = NDArray[np.bool_]

# What an offer is filtered by, and how it says it.
OF_OFFERS: Final[Mapping[str, Callable[[Standing], tuple[str, ...]]]] = {
    "capability": lambda each: (each.capability,),
    "platform": lambda each: (each.platform, each.platform_id),
    "provider": lambda each: (each.provider,),
    "region": lambda each: (each.region,),
    "country": lambda each: (each.country,),
    "continent": lambda each: (continent(each.country),),
    "state": lambda each: (each.state.value,),
}


def masks(tx: Tx, whole: Whole, query: Query, words: Words, *, currency: str, now_s: float) -> dict[str, Mask]:
    """Return the mask of every filter that ``query`` has, by its name."""
    found = {**_for_offers(whole, query, now_s), **_for_rows(whole, query, words)}
    if query.price_limit is not None:
        priced = _one_of(whole.columns.currency, frozenset({currency}), words)
        found["price"] = (whole.columns.numbers["price"] <= query.price_limit) & priced
    return found | _texts(tx, whole, query.words)


def granted_to(whole: Whole, whose: Sequence[str]) -> Mask:
    """Return the rows of offers whose grants are for everybody, or for one of the projects so called."""
    return _of_offers(whole, [admits(each.scope, "projects", whose) for each in whole.offers])


def _for_offers(whole: Whole, query: Query, now_s: float) -> dict[str, Mask]:
    found = {
        name: _of_offers(whole, [bool(wanted & set(said(each))) for each in whole.offers])
        for name, said in OF_OFFERS.items()
        if (wanted := query.sets[name])
    }
    if query.labels:
        found["label"] = _of_offers(whole, [_has_labels(each, query) for each in whole.offers])
    if query.rtt_limit_ms is not None:
        found["rtt"] = _of_offers(whole, [_is_near(each, query.rtt_limit_ms, now_s) for each in whole.offers])
    return found


def _for_rows(whole: Whole, query: Query, words: Words) -> dict[str, Mask]:
    columns = whole.columns
    found: dict[str, Mask] = {}
    if query.sets["kind"]:
        found["kind"] = np.isin(columns.kind, [KINDS.index(kind) for kind in query.sets["kind"]])
    if query.sets["architecture"]:
        found["architecture"] = _one_of(columns.architecture, query.sets["architecture"], words)
    if query.os_family:
        found["os"] = _systems(whole, query, words)
    for name, bounds in query.bounds.items():
        if not bounds.is_open:
            held = columns.numbers[name]
            found[name] = (held >= bounds.least) & (held <= bounds.most)
    return found


def _of_offers(whole: Whole, let_through: Sequence[bool]) -> Mask:
    mask: Mask = np.array([*let_through, False], dtype=np.bool_)[whole.columns.offer]  # never empty
    return mask


def _one_of(column: Codes, wanted: frozenset[str], words: Words) -> Mask:
    return np.isin(column, [words.codes[each] for each in wanted if each in words.codes])


def _has_labels(each: Standing, query: Query) -> bool:
    labels = each.labels
    return all(name in labels and value in ("", labels[name]) for name, value in query.labels)


def _is_near(each: Standing, limit_ms: float, now_s: float) -> bool:
    rtt_ms = each.known("rtt_ms", now_s)
    return rtt_ms is not None and rtt_ms <= limit_ms


def _systems(whole: Whole, query: Query, words: Words) -> Mask:
    """Return the images that hold the system, and the sizes that such an image can be put on."""
    columns = whole.columns
    family, version = words.codes.get(query.os_family), words.codes.get(query.os_version)
    holds = columns.os_family == (UNKNOWN - 1 if family is None else family)
    if query.os_version:
        holds &= columns.os_version == (UNKNOWN - 1 if version is None else version)
    for place, shelf in enumerate(whole.shelves):
        archs = {
            arch
            for family_, version_, arch in shelf.systems
            if family_ == query.os_family and query.os_version in ("", version_)
        }
        if archs:
            rows = slice(whole.starts[place], whole.starts[place + 1])
            # Where one side does not know its architecture, nothing speaks against the two.
            named = [UNKNOWN, *(words.codes.get(arch, UNKNOWN) for arch in archs)]
            fits = ("" in archs) | np.isin(columns.architecture[rows], named)
            holds[rows] |= fits & (columns.kind[rows] == KINDS.index("size"))
    mask: Mask = holds
    return mask


def _texts(tx: Tx, whole: Whole, words: Sequence[str]) -> dict[str, Mask]:
    """Return the rows in which, or in whose offers, something begins with each of the words.

    A word that no offer says must stand in the item itself: all of those are looked for at once.
    """
    found: dict[str, Mask] = {}
    said = [_said(each) for each in whole.offers]
    alone = []
    for word in words:
        by_offers = [any(each.startswith(word) for each in texts) for texts in said]
        if any(by_offers):
            found[f"text {word}"] = _of_offers(whole, by_offers) | _named(tx, whole, [word])
        else:
            alone.append(word)
    if alone:
        found["text"] = _named(tx, whole, alone)
    return found


def _named(tx: Tx, whole: Whole, words: Sequence[str]) -> Mask:
    keys, ids = whole.columns.key, full_text.beginning_with(tx, words)
    if not ids:
        return np.zeros(len(keys), dtype=np.bool_)
    named = np.sort(np.fromiter(ids, dtype=np.int64, count=len(ids)))
    place = np.minimum(np.searchsorted(named, keys), len(named) - 1)
    mask: Mask = named[place] == keys
    return mask


def _said(each: Standing) -> list[str]:
    texts = (each.platform, each.provider, each.region, each.country, continent(each.country))
    labels = (text for pair in each.labels.items() for text in pair)
    return full_text.words_of(" ".join((each.capability, each.title, *texts, *labels)))
