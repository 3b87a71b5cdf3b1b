"""Weigh what was found by price, fit, availability and reachability. Pure.

A term is a number in [0, 1] that follows from its row and the search alone, never from the other rows: so what is
added between two pages moves nothing, and every number can be checked on paper. What is not known earns nothing, and
is told as unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from catalog.search.columns import Floats
from catalog.search.query import Query

PRICE_HALF: Final = 0.1  # an hour at this price earns half a price term; a choice, near what a small machine costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One reason for a row's score: ``value`` in [0, 1] (None: unknown), and its ``share`` of the score."""

    name: str
    value: float | None
    weight: float
    points: float
    share: float


def terms_of(
    query: Query, numbers: Mapping[str, Floats], *, offered: Floats, room: Floats, preference: Floats
) -> Mapping[str, Floats]:
    """Return each term of every row, NaN where it is unknown.

    price: h/(h+price), h = PRICE_HALF. fit: how little more than asked for is given, the mean over what was asked for;
    1 where nothing was. availability: room/(1+room), 1 without a limit, 0 unless offered. reachability: the present
    route's preference of 0..100, as a share.
    """
    return {
        "price": PRICE_HALF / (PRICE_HALF + numbers["price"]),
        "fit": _fit(query, numbers),
        "availability": np.where(np.isinf(room), 1.0, room / (1.0 + np.where(np.isinf(room), 0.0, room))) * offered,
        "reachability": preference / 100.0,
    }


def scores(terms: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Return the weighted mean of the terms, in [0, 1]; what is unknown counts as 0."""
    total = sum(weights[name] for name in terms)
    weighted = (np.nan_to_num(values, nan=0.0) * (weights[name] / total) for name, values in terms.items())
    found: Floats = np.sum(list(weighted), axis=0)
    return found


def explained(terms: Mapping[str, Floats], weights: Mapping[str, float], row: int) -> list[Term]:
    """Return why the row has its score; the points add up to it, the shares to 1 (or are all 0)."""
    total = sum(weights[name] for name in terms)
    values = {name: None if np.isnan(column[row]) else float(column[row]) for name, column in terms.items()}
    points = {name: (value or 0.0) * weights[name] / total for name, value in values.items()}
    score = sum(points.values())
    return [
        Term(
            name=name,
            value=value,
            weight=weights[name],
            points=points[name],
            share=points[name] / score if score else 0.0,
        )
        for name, value in values.items()
    ]


def _fit(query: Query, numbers: Mapping[str, Floats]) -> Floats:
    asked = {name: query.bounds[name].least for name in ("vcpu", "memory_gib", "disk_gib")}
    parts = [least / np.maximum(numbers[name], least) for name, least in asked.items() if least > 0]
    rows = len(numbers["vcpu"])
    found: Floats = np.mean(parts, axis=0) if parts else np.ones(rows)
    return found
