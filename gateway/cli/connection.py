"""``crossway connection``: requesters reaching targets, over which route, and why."""

from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli.door import Door, IdempotencyKey, Key, Limit, State, Timeout, Wait, Yes, remote
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column, Format, note
from gateway.cli.pairs import numbers_of
from gateway.cli.routes import show_routes
from gateway.client.connections import SETTLED
from gateway.client.resources import Connection

connections = typer.Typer(help="Requesters reaching targets.")


class Profile(StrEnum):
    """What a route is chosen for."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


_CONNECTIONS = (
    Column("ID", "id"),
    Column("REQUESTER", "requester"),
    Column("TARGET", "target"),
    Column("STATE", "state"),
    Column("ROUTE", "route"),
    Column("REASON", "reason"),
)
_SESSIONS = (
    Column("LEG", "leg"),
    Column("ACCOUNT", "account"),
    Column("CALLS", "calls"),
    Column("OPENED", "opened_at"),
    Column("ENDED", "ended_at"),
    Column("ID", "id"),
    Column("PARENT", "parent_id"),
)
_STEPS = (Column("AT", "at"), Column("STEP", "step"), Column("OUTCOME", "outcome"), Column("DETAIL", "detail"))


@remote(connections, "request")
def request(
    door: Door,
    *,
    target: Annotated[
        str | None, typer.Argument(metavar="[PLATFORM]", help="Whom to reach; yourself if left out.")
    ] = None,
    requester: Annotated[str | None, typer.Option(help="On whose behalf (admins only).")] = None,
    direct: Annotated[
        bool | None, typer.Option("--direct/--no-direct", help="Whether no relay at all is fine.")
    ] = None,
    relay_limit: Annotated[int | None, typer.Option(min=0, help="At most so many relays in a row.")] = None,
    candidate_limit: Annotated[int | None, typer.Option(min=1, help="Measure at most so many routes.")] = None,
    avoid: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="Not through this relay, site, region or risk group; repeatable."),
    ] = None,
    require: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="Through each of these, likewise; repeatable.")
    ] = None,
    profile: Annotated[Profile | None, typer.Option(help="Least delay, or most throughput.")] = None,
    price_limit: Annotated[
        float | None, typer.Option(min=0, metavar="USD/GB", help="With --profile bulk: no dearer route.")
    ] = None,
    weight: Annotated[list[str] | None, typer.Option(metavar="NAME=NUMBER", help="For this one; repeatable.")] = None,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = False,
    timeout: Timeout = 120.0,
) -> None:
    """Ask for a connection. It is answered at once; --wait stays until it is established."""
    policy: dict[str, object] = {"direct_allowed": direct, "relay_limit": relay_limit}
    policy |= {"candidate_limit": candidate_limit, "avoid": avoid, "require": require}
    policy |= {"profile": profile, "price_limit_usd_per_gb": price_limit}
    policy = {name: value for name, value in policy.items() if value is not None}
    if weight:
        policy["weights"] = numbers_of(weight, "--weight")
    connection = door.client.connections.request(
        target=target, requester=requester, policy=policy or None, idempotency_key=idempotency_key
    )
    _show_settled(door, connection, wait=wait, timeout_s=timeout)


@remote(connections, "list")
def list_connections(door: Door, *, state: State = None, limit: Limit = None) -> None:
    """List the connections."""
    door.show_list(door.client.connections.list(state=state), _CONNECTIONS, limit)


@remote(connections, "show")
def show_connection(door: Door, *, connection: Key, wait: Wait = False, timeout: Timeout = 120.0) -> None:
    """Show one connection."""
    if wait:
        _show_settled(door, door.client.connections.get(connection), wait=True, timeout_s=timeout)
    else:
        door.show(door.client.connections.get(connection))


@remote(connections, "routes")
def routes(
    door: Door,
    *,
    connection: Key,
    links: Annotated[bool, typer.Option("--links", help="Show what was measured on each link too.")] = False,
) -> None:
    """Show every candidate route, what each term of its cost is, which won and by how much."""
    decision = door.client.connections.routes(connection)
    if door.format is Format.TABLE:
        show_routes(decision, with_links=links)
    else:
        door.show(decision)


@remote(connections, "sessions")
def sessions(door: Door, *, connection: Key) -> None:
    """Show the account sessions with the gateway, the transport network and the target."""
    door.show_list(door.client.connections.sessions(connection), _SESSIONS)


@remote(connections, "steps")
def steps(door: Door, *, connection: Key) -> None:
    """Show what happened, step by step."""
    door.show_list(door.client.connections.steps(connection), _STEPS)


@remote(connections, "consent")
def consent(
    door: Door,
    *,
    connection: Key,
    refuse: Annotated[bool, typer.Option("--refuse", help="Do not let them.")] = False,
) -> None:
    """Let another platform connect to yours, or refuse it."""
    door.show(door.client.connections.consent(connection, allow=not refuse))


@remote(connections, "reroute")
def reroute(door: Door, *, connection: Key) -> None:
    """Measure and choose again now."""
    door.show(door.client.connections.reroute(connection))


@remote(connections, "close")
def close(door: Door, *, connection: Key, yes: Yes = False) -> None:
    """Close a connection."""
    door.confirm(f"close {connection}", yes=yes)
    door.client.connections.close(connection)


def _show_settled(door: Door, connection: Connection, *, wait: bool, timeout_s: float) -> None:
    if wait:
        connection = door.client.connections.wait(
            connection["id"],
            until=lambda seen: seen["state"] in SETTLED,
            timeout_s=timeout_s,
            on_change=lambda seen: note(f"{seen['id']}: {seen['state']}"),
        )
    door.show(connection)
    if wait and connection["state"] != "established":
        raise CliError(f"the connection is {connection['state']}: {connection.get('reason', '')}", code=ExitCode.FAILED)
