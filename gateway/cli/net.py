"""``crossway net``: the network as the gateway sees it now, as tables and as a picture."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.door import Door, Limit, remote
from gateway.cli.exits import CliError
from gateway.cli.output import Format, Row, cell, printable, show_table
from gateway.cli.routes import number, percent
from gateway.client.network_status import KnownNetwork, LinkStatus

net = typer.Typer(help="The network as it is now.")

_SITE_TITLES = ("SITE", "REGION", "LATITUDE", "LONGITUDE", "RELAYS")
_LINK_TITLES = (
    "FROM",
    "TO",
    "RTT ms",
    "± ms",
    "JITTER ms",
    "LOSS %",
    "AT MOST %",
    "SAMPLES",
    "AGE s",
    "METHOD",
    "STATE",
    "NOTE",
)


@remote(net, "status")
def status(
    door: Door,
    *,
    near: Annotated[
        str | None, typer.Option(metavar="NODE", help="Only links of this node: gateway, a relay, platform/NAME.")
    ] = None,
    limit: Limit = None,
) -> None:
    """Show sites, links with what is believed of them, what probing spends, and how often routes changed."""
    told = door.client.known_network(near=near, limit=limit)
    if door.format is not Format.TABLE:
        door.show(told)
        return
    show_table(_SITE_TITLES, site_rows(told))
    print()
    show_table(_LINK_TITLES, [link_row(each) for each in told["links"]])
    print()
    for line in spending(told):
        print(printable(line))


@remote(net, "plot")
def plot(
    door: Door,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.svg", help="Where to write the picture; - for stdout.")
    ],
    connection: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Draw its routes; repeatable. Default: all established ones.")
    ] = None,
) -> None:
    """Draw the network on a map, with the routes of connections and the history of their decisions, as SVG."""
    from gateway.cli.picture.gather import gathered  # noqa: PLC0415 - nine modules that only this command needs

    text = gathered(door.client, connection or ())
    if str(output) == "-":
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"cannot write {output}: {error.strerror}") from error


def site_rows(told: KnownNetwork) -> list[Row]:
    """Return one row per site, with the relays that stand there; disabled ones in brackets."""
    relays: dict[str, list[str]] = {}
    for relay in told["relays"]:
        relays.setdefault(relay["site"], []).append(relay["name"] if relay["enabled"] else f"({relay['name']})")
    return [
        (
            printable(site["name"]),
            cell(site["region"]),
            cell(site["latitude"]),
            cell(site["longitude"]),
            cell(relays.get(site["name"], [])),
        )
        for site in told["sites"]
    ]


def link_row(link: LinkStatus) -> Row:
    """Return one link as cells: the estimate with its standard error, how old it is and where it comes from."""
    return (
        printable(link["source"]),
        printable(link["target"]),
        number(link["rtt_ms"]),
        number(link["error_ms"]),
        number(link["jitter_ms"]),
        percent(link["loss_ratio"]),
        percent(link["loss_most"]),
        cell(link["samples"]),
        "-" if link["age_s"] is None else f"{link['age_s']:.0f}",
        cell(link["method"]),
        "dead" if link["dead"] else "alive" if link["rtt_ms"] is not None else "unknown",
        printable(link["note"]),
    )


def spending(told: KnownNetwork) -> list[str]:
    """Return what probing spent and refused, how often routes changed and why, and alarms, in words."""
    probes = told["probes"]
    limit = "" if probes["limit_per_s"] is None else f", at most {probes['limit_per_s']:g} a second"
    refused = f"refused as impossible: {_counts(probes['refused'])}"
    alarms = [
        f"ALARM: {relay['name']} shows another host key than the pinned one, since {since}; nothing goes over it"
        for relay in told["relays"]
        if (since := relay["host_key_mismatch_since"]) is not None
    ]
    return [
        f"links: {told['links_alive']} alive, {told['links_dead']} dead",
        f"probes: {probes['packets']} packets, {probes['lost']} lost{limit}",
        f"sent by: {_counts(probes['by_source'])}; {refused}",
        f"route changes: {_counts(told['changes'])}",
        *alarms,
    ]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
