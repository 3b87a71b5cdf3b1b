"""What the demo says in the terminal: steps as they end, candidates with the winner and why, and what to try next."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.demo.cities import RTT_SOURCE
from gateway.demo.estate import Estate
from gateway.demo.story import Story

TERMS = ("delay", "loss", "jitter", "hops", "price", "risk")


class Show:
    """Writes to the terminal; plain text where there is none."""

    def __init__(self, *, to_stderr: bool) -> None:
        """Write to standard error when standard output is for the report."""
        stream = sys.stderr if to_stderr else sys.stdout
        # A file or pipe has no width; rich would take 80 columns and cut every number of the tables.
        self._console = Console(file=stream, highlight=False, soft_wrap=True, width=None if stream.isatty() else 140)

    def begin(self, wan: str) -> None:
        """Say what the world is made of."""
        say = self._console.print
        say("[bold]Crossway demo[/bold]: real SSH relays, real libcloud, real EC2 API servers, one gateway.")
        say(f"Network: {wan}.")
        say(f"Round-trip times: {RTT_SOURCE}. Jitter and loss: synthetic.")

    def up(self, estate: Estate) -> None:
        """Say that every program runs."""
        self._console.print(
            f"{len(estate.relays)} relays, 3 clouds, 3 connectors and the gateway run ({estate.server})."
        )

    def step(self, name: str, seen: Mapping[str, Any]) -> None:
        """Say how a step ended, and show what it brought."""
        mark = "[green]ok[/green]" if seen["ok"] else "[red]failed[/red]"
        self._console.print(f"\n{mark} [bold]{name}[/bold] ({seen['duration_ms']:.0f} ms)")
        for connection in seen.get("connections", ()):
            self._routes(f"{connection['platform']}: routes", connection)
        for site, sessions in seen.get("sessions", {}).items():
            legs = "  ->  ".join(f"{each['leg']} {each['account']} ({each['calls']} calls)" for each in sessions)
            self._console.print(f"  {site}: {legs}")
        if "grants" in seen:
            self._rows("grants", seen["grants"], ("platform", "capability", "verbs", "quota", "state"))
        if "offers" in seen:
            self._rows("catalog", seen["offers"], ("capability", "platform", "region", "state"))
        for kind in ("pool", "cold"):
            if order := seen.get(f"order_{kind}"):
                self._console.print(
                    f"  order {order['id']} answered in {order['answered_ms']} ms, "
                    f"machine there after {order['fulfilled_ms']} ms"
                )
        if moved := seen.get("moved"):
            self._console.print(f"  link {' - '.join(moved['link'])} degraded: {moved['before']} -> {moved['after']}")
            self._routes(f"{moved['platform']}: routes now", moved)

    def summary(self, estate: Estate, story: Story) -> None:
        """Say what can be tried while the demo stays up."""
        say = partial(self._console.print, soft_wrap=True)
        say("\n[bold]Every step held.[/bold] Try, in another terminal:")
        say(f"  export PATH={Path(sys.executable).parent}:$PATH")
        token_file = estate.state_dir / "admin.token"
        say(f"  export CROSSWAY_SERVER={estate.server} CROSSWAY_TOKEN=$(cat {token_file})")
        for command in (
            "connection list",
            f"connection routes {next(iter(story.connections.values()))} --links",
            "catalog offers",
            "pool list",
            "order list -o yaml",
            "weights set hops=40",
        ):
            say(f"  crossway {command}")
        say("Ctrl-C ends everything.")

    def failed(self, reason: str) -> None:
        """Say why the demo ended early."""
        self._console.print(f"[red]The demo failed:[/red] {reason}", markup=True)

    def ended(self) -> None:
        """Say goodbye."""
        self._console.print("\nEverything is stopped and removed.")

    def _routes(self, title: str, decision: Mapping[str, Any]) -> None:
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in ("", "route", "rtt ms", "loss", *(f"{term} ms" for term in TERMS), "cost ms", "preference"):
            table.add_column(column, justify="left" if column in {"", "route"} else "right")
        for candidate in decision["candidates"][:6]:
            won = candidate["route"] == decision["winner"]
            table.add_row(
                "*" if won else "",
                candidate["route"],
                _number(candidate["rtt_ms"]),
                f"{candidate['loss_ratio']:.1%}",
                *(_number(candidate["terms"].get(term)) for term in TERMS),
                _number(candidate["cost_ms"]),
                _number(candidate["preference"]),
                style="green" if won else None,
            )
        self._console.print(table)
        margin = decision["margin_ms"]
        why = "the only usable route" if margin is None else f"cheaper than the next by {margin:.1f} ms"
        probes = ", ".join(decision["probe_methods"]) or "nothing"
        self._console.print(f"  winner: {decision['winner']}, {why} (probed by {probes})")

    def _rows(self, title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(_text(row.get(column)) for column in columns))
        self._console.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "-" if value is None else str(value)
