"""``crossway route``: why a connection goes the way it goes, and which way it would go by other weights."""

import textwrap
from collections.abc import Sequence
from typing import Annotated

import typer

from gateway.cli.connection import Profile
from gateway.cli.door import Door, Key, remote
from gateway.cli.explain import paragraph
from gateway.cli.output import Format, Row, printable, show_table
from gateway.cli.pairs import numbers_of
from gateway.cli.routes import number, show_routes
from gateway.client.decisions import RouteDecision

routes = typer.Typer(help="Why a connection goes the way it goes.")

_WIDTH = 100  # of the paragraph: longer lines are hard to read
_TITLES = ("", "ROUTE", "RANK", "THEN", "COST ms", "THEN ms")


@remote(routes, "explain")
def explain(
    door: Door,
    *,
    connection: Key,
    links: Annotated[bool, typer.Option("--links", help="Show what was measured on each link too.")] = False,
) -> None:
    """Say in words which route was chosen, why and by how much, what stands by and how it was measured."""
    decision = door.client.connections.routes(connection)
    text = paragraph(decision)
    if not decision["candidates"]:
        text = f"{text} {door.client.connections.get(connection)['reason']}".strip()
    if door.format is not Format.TABLE:
        door.show({"explanation": text, **decision})
        return
    print(textwrap.fill(printable(text), _WIDTH, break_long_words=False, break_on_hyphens=False))
    print()
    show_routes(decision, with_links=links)


@remote(routes, "whatif")
def whatif(
    door: Door,
    *,
    connection: Key,
    weight: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="Such as loss=2; repeatable. The others stay.")
    ] = None,
    profile: Annotated[Profile | None, typer.Option(help="Least delay, or most throughput.")] = None,
) -> None:
    """Rank what was measured for the latest decision again, by other weights. Nothing is changed."""
    now = door.client.connections.routes(connection)
    then = door.client.connections.what_if(connection, numbers_of(weight, "--weight"), profile=profile)
    if door.format is not Format.TABLE:
        door.show({"winner_changes": _first(now) != _first(then), "now": now, "then": then})
        return
    rows = ranks(now, then)
    show_table(_TITLES, rows, marked=0 if rows else None)
    print()
    for line in verdict(now, then):
        print(printable(line))


def ranks(now: RouteDecision, then: RouteDecision) -> list[Row]:
    """Return one row per candidate, in the order of ``then``: the mark of the route in use, both ranks, both costs."""
    ranked = _order(now)
    costs = {each["route"]: each["cost_ms"] for each in now["candidates"]}
    wanted = _order(then)
    return [
        (
            "*" if each["route"] == now["winner"] else "",
            printable(each["route"]),
            _rank(each["route"], ranked),
            _rank(each["route"], wanted),
            number(costs.get(each["route"])),
            number(each["cost_ms"]),
        )
        for each in then["candidates"]
    ]


def verdict(now: RouteDecision, then: RouteDecision) -> list[str]:
    """Return whether another route would be first, by how much, and what was asked for."""
    before, after = _first(now), _first(then)
    margin_ms = then.get("margin_ms")
    lead = "with no other usable route" if margin_ms is None else f"by {margin_ms:.1f} ms"
    if after is None:
        lines = ["no route would be usable"]
    elif after == before:
        lines = [f"the winner stays {after}, {lead}"]
    else:
        lines = [f"the winner changes from {before or 'none'} to {after}, {lead}"]
    if now["winner"] != before:
        lines.append(f"in use is {now['winner']}: it was kept although {before} is first already")
    changed = [
        f"{name} {now['weights'].get(name, 0.0):g} -> {value:g}"
        for name, value in then["weights"].items()
        if value != now["weights"].get(name, 0.0)
    ]
    if now.get("profile") != then.get("profile"):
        changed.append(f"profile {now.get('profile')} -> {then.get('profile')}")
    return [*lines, f"changed: {', '.join(changed) or 'nothing'}"]


def _order(decision: RouteDecision) -> list[str]:
    """Return the usable routes, best first, as the gateway lists them."""
    return [each["route"] for each in decision["candidates"] if each["cost_ms"] is not None]


def _first(decision: RouteDecision) -> str | None:
    return next(iter(_order(decision)), None)


def _rank(route: str, order: Sequence[str]) -> str:
    return str(order.index(route) + 1) if route in order else "-"
