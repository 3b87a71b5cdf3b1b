"""The candidates table: every route, what its cost is made of, which won and by how much.

The numbers are the gateway's; none is computed here. ``gateway.cli.explain`` says it in words.
"""

from collections.abc import Mapping, Sequence

from gateway.cli.output import Row, printable, show_table
from gateway.client.decisions import Candidate, LinkMeasurement, RouteDecision

# Terms in the order people think of them; any other that the gateway sends comes after.
_TERMS = ("delay", "loss", "jitter", "hops", "price", "risk")
_LINK_TITLES = ("ROUTE", "FROM", "TO", "METHOD", "SENT", "LOST", "RTT ms", "± ms", "JITTER ms", "LOSS %", "NOTE")


def show_routes(decision: RouteDecision, *, with_links: bool) -> None:
    """Write the candidates, with ``with_links`` each link's measurement too, then the winner, margin and weights."""
    candidates = decision["candidates"]
    terms = term_names(candidates)
    # What a route carries counts for bulk only.
    carried = decision.get("profile") == "bulk"
    titles = ["", "ROUTE", "RTT ms", "JITTER ms", "LOSS %", *(f"{each.upper()} ms" for each in terms)]
    refused = {each["route"]: f"{each['code']}: {each['reason']}" for each in decision.get("refused", [])}
    rows = [candidate_row(each, terms, decision.get("winner"), refused) for each in candidates]
    if carried:
        rows = [
            (*row[:2], number(each.get("throughput_mbps")), *row[2:])
            for row, each in zip(rows, candidates, strict=True)
        ]
        titles.insert(2, "MBIT/S")
    marked = next((index for index, row in enumerate(rows) if row[0]), None)
    show_table([*titles, "COST ms", "PREFERENCE", "REFUSED"], rows, marked=marked)
    if with_links:
        print()
        show_table(_LINK_TITLES, [_link_row(each["route"], link) for each in candidates for link in each["links"]])
    print()
    for line in summary(decision):
        print(printable(line))


def candidate_row(candidate: Candidate, terms: Sequence[str], winner: str | None, refused: Mapping[str, str]) -> Row:
    """Return one candidate as cells: the winner's mark, what was measured, each term, the sum, the verdict."""
    route = candidate["route"]
    return (
        "*" if route == winner else "",
        printable(route),
        number(candidate["rtt_ms"]),
        number(candidate["jitter_ms"]),
        percent(candidate["loss_ratio"]),
        *(number(candidate["terms"].get(each)) for each in terms),
        number(candidate["cost_ms"]),
        number(candidate["preference"]),
        printable(refused.get(route) or candidate.get("refused", "")),
    )


def term_names(candidates: Sequence[Candidate]) -> list[str]:
    """Return every cost term that occurs, the well-known ones first."""
    found = {name: None for candidate in candidates for name in candidate["terms"]}
    return [*(each for each in _TERMS if each in found), *(each for each in found if each not in _TERMS)]


def summary(decision: RouteDecision) -> list[str]:
    """Return what the table leaves open: the winner and its lead, the weights, how it was measured."""
    if not decision["candidates"]:
        return ["no route was measured yet"]
    winner, margin_ms = decision.get("winner"), decision.get("margin_ms")
    lead = "there is no other usable route" if margin_ms is None else f"margin {margin_ms:.1f} ms to the next best"
    weights = " ".join(f"{name}={value:g}" for name, value in decision["weights"].items())
    return [
        f"winner: {winner}; {lead}" if winner else "winner: none, no route is usable",
        f"weights: {weights}",
        f"probed by: {', '.join(decision.get('probe_methods', [])) or 'nothing'}",
    ]


def _link_row(route: str, link: LinkMeasurement) -> Row:
    return (
        printable(route),
        printable(link["source"]),
        printable(link["target"]),
        printable(link["method"]),
        f"{link['sent']:.0f}",
        f"{link['lost']:.0f}",
        number(link["rtt_ms"]),
        number(link.get("error_ms")),
        number(link["jitter_ms"]),
        percent(link["loss_ratio"]),
        printable(link.get("note", "")),
    )


def number(value: float | None) -> str:
    """Return milliseconds and the like with one decimal, a dash for what nobody knows."""
    return "-" if value is None else f"{value:.1f}"


def percent(ratio: float | None) -> str:
    """Return a ratio in per cent, a dash for what nobody knows."""
    return "-" if ratio is None else f"{ratio * 100:.2f}"
