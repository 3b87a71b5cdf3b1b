"""Answer a search: what matches, how much of what there is, and the page that was asked for, each row explained."""

import base64
import binascii
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from catalog import allowance
from catalog.errors import InvalidValue
from catalog.messages.handshake import Capability
from catalog.model.offering import InventoryItem, OfferState
from catalog.model.price import Price
from catalog.search import rank
from catalog.search.columns import KINDS, Codes, Floats, Keys, Words
from catalog.search.filters import OF_OFFERS, Mask, granted_to, masks
from catalog.search.index import SearchIndex, Whole
from catalog.search.query import Query
from catalog.search.rank import Term
from catalog.store import machines, search
from catalog.store.database import Tx
from catalog.store.machines import Taken
from catalog.store.search import Standing

FACET_LIMIT: Final = 50  # of the values of one facet, the most frequent first
PAGE_LIMIT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One row that was found. ``item`` None: the offer as a whole. ``room`` None: no limit."""

    standing: Standing
    item: InventoryItem | None
    price: Price | None
    room: int | None
    score: float
    terms: Sequence[Term]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of what was found, out of ``total``; ``facets``: how many there are of each value, by name.

    A facet counts what matches all other filters: what one would get by choosing another value of it.
    """

    hits: Sequence[Hit]
    total: int
    facets: Mapping[str, Mapping[str, int]]
    currency: str
    next_token: str | None


def find(
    tx: Tx,
    index: SearchIndex,
    query: Query,
    *,
    now_s: float,
    limit: int = 50,
    token: str | None = None,
    with_facets: bool = True,
    one_per_offer: bool = False,
    whose: Sequence[str] | None = None,
) -> Found:
    """Return what ``query`` finds; ``one_per_offer``: the best row of each offer alone.

    ``whose``: ids and names of the projects for which it is looked for (None: for nobody in particular); an offer whose
    grant is for others is not found. Raises InvalidValue for a token that this search did not give.
    """
    whole = index.whole(tx, now_s)
    columns, words = whole.columns, index.words
    seen = {} if whose is None else {"whose": granted_to(whole, whose)}
    # What others alone are offered says nothing here, not even in which currency most of it is.
    currency = query.currency or _usual_currency(columns.currency[_all(seen.values(), len(columns))], words)
    found = masks(tx, whole, query, words, currency=currency, now_s=now_s) | seen
    matching = _all(found.values(), len(columns))
    rows = np.nonzero(matching)[0]
    numbers = {name: values[rows] for name, values in columns.numbers.items()}
    numbers["price"] = np.where(columns.currency[rows] == words.codes.get(currency, -2), numbers["price"], np.nan)
    offers = columns.offer[rows]
    room = _rooms(tx, whole, numbers, offers)
    terms = rank.terms_of(
        query,
        numbers,
        offered=_spread([float(each.state is OfferState.OFFERED) for each in whole.offers], offers),
        room=room,
        preference=_spread([_known(each.known("preference", now_s)) for each in whole.offers], offers),
    )
    score = rank.scores(terms, query.weights)
    by = {**numbers, "rank": score}
    if query.sort == "rtt_ms":
        by["rtt_ms"] = _spread([_known(each.known("rtt_ms", now_s)) for each in whole.offers], offers)
    keys, priced = columns.key[rows], columns.price_id[rows]
    alone = _best_of_each(offers, keys, by[query.sort], score, query) if one_per_offer else None
    chosen, next_token = _page(keys, by[query.sort], query, limit=limit, token=token, among=alone)
    items = search.items_by_id(tx, [int(keys[place]) for place in chosen if keys[place] >= 0])
    prices = search.prices_by_id(tx, {int(priced[place]) for place in chosen} - {0})
    return Found(
        hits=[
            Hit(
                standing=whole.offers[offers[place]],
                item=items.get(int(keys[place])),
                price=prices.get(int(priced[place])),
                room=None if math.isinf(room[place]) else int(room[place]),
                score=float(score[place]),
                terms=rank.explained(terms, query.weights, place),
            )
            for place in chosen
        ],
        total=len(rows),
        facets=_facets(whole, words, found, matching) if with_facets else {},
        currency=currency,
        next_token=next_token,
    )


def _all(found: Iterable[Mask], rows: int) -> Mask:
    mask: Mask = np.ones(rows, dtype=np.bool_)
    for each in found:
        mask &= each
    return mask


def _spread(values: Sequence[float], offers: Codes) -> Floats:
    """Return one value per row from one per offer."""
    found: Floats = np.array([*values, np.nan], dtype=np.float64)[offers]  # never empty
    return found


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _usual_currency(currencies: Codes, words: Words) -> str:
    known = currencies[currencies >= 0]
    return words.texts[int(np.bincount(known).argmax())] if len(known) else ""


def _rooms(tx: Tx, whole: Whole, numbers: Mapping[str, Floats], offers: Codes) -> Floats:
    """Return how many more machines of each row's size the quotas admit, infinite where nothing limits them."""
    taken = machines.taken_everywhere(tx)
    nothing = Taken(machines=0, vcpu=0.0, memory_mib=0)
    left = [_left(each, taken.get(each.platform_id, nothing)) for each in whole.offers]
    room = _spread([each[0] for each in left], offers)
    for place, name in ((1, "vcpu"), (2, "memory_gib")):
        limit = _spread([each[place] for each in left], offers)
        with np.errstate(invalid="ignore"):
            # What nobody knows cannot be counted, and a quota that is not counted is none (catalog.allowance).
            admitted = np.nan_to_num(np.floor(limit / numbers[name]), nan=0.0, posinf=np.inf)
        room = np.minimum(room, np.where(np.isinf(limit), np.inf, admitted))
    found: Floats = np.maximum(room, 0.0)
    return found


def _left(each: Standing, taken: Taken) -> tuple[float, float, float]:
    """Return machines, vCPU and GiB of memory that the grant still admits, NaN where it cannot be counted."""
    if each.capability != Capability.MACHINE:
        return math.inf, math.inf, math.inf
    memory_gib = None if taken.memory_mib is None else taken.memory_mib / allowance.MIB_PER_GIB
    return (
        math.inf if each.quota is None else float(each.quota - taken.machines),
        math.inf if each.cores is None else math.nan if taken.vcpu is None else each.cores - taken.vcpu,
        math.inf if each.memory_gib is None else math.nan if memory_gib is None else each.memory_gib - memory_gib,
    )


def _facets(whole: Whole, words: Words, found: Mapping[str, Mask], matching: Mask) -> Mapping[str, Mapping[str, int]]:
    columns, rows = whole.columns, len(whole.columns)

    def others(name: str) -> Mask:
        return _all([mask for of, mask in found.items() if of != name], rows) if name in found else matching

    facets: dict[str, Counter[str]] = {}
    for name, said in OF_OFFERS.items():
        counts = np.bincount(columns.offer[others(name)], minlength=len(whole.offers))
        facets[name] = Counter()
        for each, count in zip(whole.offers, counts, strict=False):
            facets[name][said(each)[0]] += int(count)
    facets["kind"] = Counter(
        dict(zip(KINDS, np.bincount(columns.kind[others("kind")], minlength=3).tolist(), strict=True))
    )
    facets["architecture"] = _counted(columns.architecture[others("architecture")], words)
    facets["os"] = _counted(columns.os_family[others("os")], words)
    gpu = columns.numbers["gpu"][others("gpu")]
    facets["gpu"] = Counter(yes=int(np.count_nonzero(gpu > 0)), no=int(np.count_nonzero(gpu == 0)))
    return {
        name: {value: count for value, count in counter.most_common(FACET_LIMIT) if value and count}
        for name, counter in facets.items()
    }


def _counted(codes: Codes, words: Words) -> Counter[str]:
    counts = np.bincount(codes[codes >= 0])
    return Counter({words.texts[code]: int(counts[code]) for code in np.nonzero(counts)[0]})


def _page(
    keys: Keys, values: Floats, query: Query, *, limit: int, token: str | None, among: Mask | None
) -> tuple[list[int], str | None]:
    """Return the places after ``token``, best first and equal ones by key, and the token of what follows."""
    order = _order(values, query)
    mask = np.ones(len(keys), dtype=np.bool_) if among is None else among
    if token is not None:
        last, key = _after(token, query)
        mask = mask & ((order > last) | ((order == last) & (keys > key)))
    places = np.nonzero(mask)[0]
    more = len(places) > limit
    if more:
        worst = np.partition(order[places], limit)[limit]
        places = places[order[places] <= worst]
    chosen = [int(place) for place in places[np.lexsort((keys[places], order[places]))][:limit]]
    return chosen, _token(query, float(order[chosen[-1]]), int(keys[chosen[-1]])) if more else None


def _order(values: Floats, query: Query) -> Floats:
    """Return what sorts ``values`` as ``query`` wants them: what is not known last of all, whichever way."""
    found: Floats = np.where(np.isnan(values), np.inf, -values if query.is_descending else values)
    return found


def _best_of_each(offers: Codes, keys: Keys, values: Floats, score: Floats, query: Query) -> Mask:
    """Return the best row of each offer; where the order knows no difference, that of the better score."""
    ordered = np.lexsort((keys, -score, _order(values, query)))
    _, first = np.unique(offers[ordered], return_index=True)
    mask: Mask = np.zeros(len(keys), dtype=np.bool_)
    mask[ordered[first]] = True
    return mask


def _token(query: Query, place: float, key: int) -> str:
    told = [query.sort, query.is_descending, None if math.isinf(place) else place, key]
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


def _after(token: str, query: Query) -> tuple[float, int]:
    bad = InvalidValue("the page token is not one that this search gave", field="page_token", fix="begin without one")
    try:
        told = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        sort, descending, place, key = told
        is_number = isinstance(place, int | float) and not isinstance(place, bool)
        after = math.inf if place is None else float(place)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise bad from error
    if [sort, descending] != [query.sort, query.is_descending] or not isinstance(key, int) or not abs(key) < 2**63:
        raise bad
    if place is not None and not is_number:
        raise bad
    return after, key
