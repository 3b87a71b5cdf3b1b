"""``crossway search``: what can be ordered, ranked with reasons."""

import json
import sys
from typing import Annotated

import typer

from gateway.cli.door import Door, NamesOrIds, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Column, note
from gateway.cli.pairs import pairs_of

search = typer.Typer(help="Find what can be ordered.")

_LIMIT = 200
_HITS = (
    Column("PLATFORM", "platform"),
    Column("KIND", "kind"),
    Column("NAME", "name"),
    Column("ITEM", "item"),
    Column("VCPU", "vcpu"),
    Column("GIB", "memory_gib"),
    Column("PRICE", lambda hit: price_text(hit.get("price"))),
    Column("ROOM", "room"),
    Column("RTT MS", lambda hit: _rtt(hit.get("reachability"))),
    Column("SCORE", lambda hit: f"{hit['score']:.3f}"),
    Column("WHY", lambda hit: why_text(hit.get("terms"))),
    Column("STATE", "state"),
)
_SAVED = (Column("NAME", "name"), Column("SEARCH", "query"), Column("ID", "id"))

Terms = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WORD|NAME=VALUE...",
        help="Words, and filters as the API names them: os='debian 12', vcpu_min=4, memory_gib_min=8, "
        "continent=Europe, rtt_max_ms=60, price_max=0.1, currency=EUR, label=tier=gold, sort=-vcpu, weights=price=3.",
    ),
]
Saved = Annotated[str | None, typer.Option("--saved", help="Begin with one of your saved searches.")]


@remote(search, "find")
def find(
    door: Door,
    *,
    terms: Terms = None,
    saved: Saved = None,
    limit: Annotated[int, typer.Option(min=1, max=_LIMIT, help="Show at most so many.")] = 20,
    facets: Annotated[bool, typer.Option("--facets", help="Tell how many there are of what, on stderr.")] = False,
) -> None:
    """Find what can be ordered, best first."""
    query = _query(terms, saved)
    if (named := query.pop("limit", None)) is not None:
        limit = _limit_of(named)
    page = door.client.search.page(query, limit=limit)
    door.show(page["items"], _HITS)
    note(f"{len(page['items'])} of {page['total']}" + (f", prices in {page['currency']}" if page["currency"] else ""))
    for name, counts in page["facets"].items() if facets else ():
        note(f"{name}: " + ", ".join(f"{value} {count}" for value, count in counts.items()))


@remote(search, "export")
def export(
    door: Door,
    *,
    terms: Terms = None,
    saved: Saved = None,
    form: Annotated[str, typer.Option("--format", help="json, csv or backstage.")] = "json",
) -> None:
    """Write what is found for another program, to stdout."""
    document = door.client.search.export(_query(terms, saved), format=form)
    sys.stdout.write(document if isinstance(document, str) else json.dumps(document, indent=2) + "\n")


@remote(search, "save")
def save(door: Door, *, name: Annotated[str, typer.Argument()], terms: Terms = None) -> None:
    """Keep a search under a name of your own."""
    door.show(door.client.saved_searches.create(name, _query(terms, None)))


@remote(search, "saved")
def saved_searches(door: Door) -> None:
    """List your saved searches."""
    door.show_list(door.client.saved_searches.list(), _SAVED)


@remote(search, "forget")
def forget(door: Door, *, name: NamesOrIds) -> None:
    """Forget saved searches."""
    door.each(name, door.client.saved_searches.remove)


def _limit_of(text: str) -> int:
    """Return the API's own parameter as a number: who knows the API writes it among the filters."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _LIMIT):
        raise CliError(f"limit={text} cannot be", fix=f"a number from 1 to {_LIMIT}")
    return int(text)


def _query(terms: list[str] | None, saved: str | None) -> dict[str, str]:
    """Return the query parameters that the arguments mean: what has a ``=`` is a filter, all else are words."""
    words = [term for term in terms or () if "=" not in term]
    query = pairs_of([term for term in terms or () if "=" in term], what="filter") or {}
    if words and "text" in query:
        raise CliError("words stand by themselves or as text=, not both")
    return {**query, **({"text": " ".join(words)} if words else {}), **({"saved": saved} if saved else {})}


def price_text(price: object) -> str:
    """Return a price as people write it."""
    return f"{price['amount']} {price['currency']}/{price['unit']}" if isinstance(price, dict) else "-"


def _rtt(reach: object) -> str:
    return f"{reach['rtt_ms']:g}" if isinstance(reach, dict) and reach["rtt_ms"] is not None else "-"


def why_text(terms: object) -> str:
    """Return the terms by what they add, such as "price 48 %, fit 30 %"; unknown ones are told as such."""
    listed = terms if isinstance(terms, list) else []
    told = sorted((term for term in listed if term["weight"]), key=lambda term: -float(term["share"]))
    return ", ".join(
        f"{term['name']} unknown" if term["value"] is None else f"{term['name']} {100 * term['share']:.0f} %"
        for term in told
    )
