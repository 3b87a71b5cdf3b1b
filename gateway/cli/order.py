"""``crossway order``: one machine for one project."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from gateway.cli.approval import COLUMNS as APPROVALS
from gateway.cli.door import Door, IdempotencyKey, Key, Limit, State, Timeout, Wait, remote
from gateway.cli.durations import seconds_if_given
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.order_steps import COLUMNS, Watched, history, view
from gateway.cli.output import Column, Format, note
from gateway.cli.pairs import numbers_of, pairs_of
from gateway.cli.search import price_text, why_text
from gateway.client.ordered import Explanation, Order
from gateway.client.orders import ENDED
from gateway.client.problems import ServerUnreachable

orders = typer.Typer(help="Machines you ordered.")

_ORDERS = (
    Column("ID", "id"),
    Column("NAME", "name"),
    Column("SIZE", "size"),
    Column("IMAGE", "image"),
    Column("STATE", "state"),
    Column("SERVED FROM", "served_from"),
    Column("REASON", "reason"),
)


_CANDIDATES = (
    Column("PLATFORM", "platform"),
    Column("SIZE", "size_name"),
    Column("IMAGE", "image_name"),
    Column("PRICE", lambda each: price_text(each.get("price"))),
    Column("RTT MS", "rtt_ms"),
    Column("ROOM", "room"),
    Column("SCORE", lambda each: f"{each['score']:.3f}"),
    Column("WHY", lambda each: why_text(each.get("terms"))),
    Column("OUTCOME", "outcome"),
    Column("REASON", "reason"),
)
_NUMBERS = ("vcpu", "memory_gib", "disk_gib", "gpu", "max_rtt_ms", "max_price")


@remote(orders, "create")
def create_order(
    door: Door,
    *,
    offer: Annotated[
        str | None,
        typer.Argument(metavar="[OFFER]", help="An offer's id, or the name of a platform that offers machines."),
    ] = None,
    size: Annotated[str | None, typer.Option(help="One of the offer's sizes, by id or name.")] = None,
    image: Annotated[str | None, typer.Option(help="One of the offer's images, by id or name.")] = None,
    need: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Instead of offer, size and image, repeatable: os='debian 12', vcpu=4, memory_gib=8, disk_gib, gpu, "
            "architecture, platform, provider, region, country, continent=Europe, label, max_rtt_ms=60, max_price, "
            "currency.",
        ),
    ] = None,
    prefer: Annotated[
        str | None, typer.Option(help="With --need: price, reachability, fit, availability or balanced.")
    ] = None,
    location: Annotated[
        str | None, typer.Option(help="One of the platform's locations, by id or name; else the cloud chooses.")
    ] = None,
    key_pair: Annotated[
        str | None, typer.Option(help="One of the platform's key pairs, by id or name, to log in with; else none.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="One of the platform's networks, by id or name; crossway catalog offer shows them."),
    ] = None,
    lease: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long you want it, such as 12h or 7d; else as the rules say."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the machine.")] = None,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = False,
    timeout: Timeout = 600.0,
) -> None:
    """Order a machine. It is answered at once; --wait stays until you have it, and Ctrl-C ends only the waiting."""
    missing = [what for what, given in (("offer", offer), ("size", size), ("image", image)) if given is None]
    if missing and not need:
        raise CliError(f"give {missing[0]}, or needs", fix="OFFER --size SIZE --image IMAGE, or --need vcpu=4")
    order = door.client.orders.create(
        offer=offer,
        size=size,
        image=image,
        needs=_needs(need, prefer),
        location=location,
        key_pair=key_pair,
        network=network,
        lease_s=seconds_if_given(lease),
        name=name,
        idempotency_key=idempotency_key,
    )
    _show_ended(door, order, wait=wait, timeout_s=timeout)


@remote(orders, "list")
def list_orders(door: Door, *, state: State = None, limit: Limit = None) -> None:
    """List your orders."""
    door.show_list(door.client.orders.list(state=state), _ORDERS, limit)


@remote(orders, "show")
def show_order(door: Door, *, order: Key, wait: Wait = False, timeout: Timeout = 600.0) -> None:
    """Show one order."""
    _show_ended(door, door.client.orders.get(order), wait=wait, timeout_s=timeout)


@remote(orders, "wait")
def wait_for(door: Door, *, order: Key, timeout: Timeout = 600.0) -> None:
    """Wait for an order to end, and show its steps while they pass."""
    _show_ended(door, door.client.orders.get(order), wait=True, timeout_s=timeout)


@remote(orders, "events")
def events(door: Door, *, order: Key) -> None:
    """Show what happened: every step with its time, attempts that failed, and where it went next."""
    door.show(history(list(door.client.orders.steps(order))), COLUMNS)


@remote(orders, "explain")
def explain(door: Door, *, order: Key) -> None:
    """Say how an order is served and what it waits for, why it went where it did, and who approved it."""
    told = door.client.orders.explanation(order)
    asked = list(door.client.approvals.list(order=order))
    placement = door.client.orders.placement(order) if told["chosen_by"] == "needs" else None
    if door.format is not Format.TABLE:
        door.show({**({} if placement is None else placement), **told, "approvals": asked})
        return
    if placement is not None:
        door.show(placement["candidates"], _CANDIDATES)
        note("needed: " + ", ".join(f"{name} {value}" for name, value in placement["needs"].items()))
    if asked:
        door.show(asked, APPROVALS)
    note(*_told(told))


def _told(told: Explanation) -> Iterator[str]:
    chosen = "chosen by its needs" if told["chosen_by"] == "needs" else "named by the order"
    yield f"platform: {told['platform']}, {chosen}"
    if told["served_from"]:
        where = f"the pool {told['pool']}" if told["pool"] else told["served_from"]
        yield f"served from: {'a machine of its own' if where == 'cold' else where}"
    waiting = told["waits_for"]
    if waiting is None:
        yield f"{told['state']}: {told['reason']}" if told["reason"] else told["state"]
        return
    since = f", since {waiting['since']}" if waiting["since"] else ""
    until = f", until {waiting['until']}" if waiting["until"] else ""
    yield f"waits for {waiting['what']}{since}{until}"


@remote(orders, "cancel")
def cancel(door: Door, *, order: Key) -> None:
    """Cancel an order that has not ended; what was begun for it is destroyed."""
    door.show(door.client.orders.cancel(order))


def _needs(need: list[str] | None, prefer: str | None) -> dict[str, object] | None:
    """Return the needs as the API has them: those that are numbers as numbers."""
    if need is None:
        return None
    told = pairs_of(need, what="need") or {}
    numbers = numbers_of([f"{name}={told[name]}" for name in _NUMBERS if name in told], what="need")
    return {**told, **numbers, **({"prefer": prefer} if prefer else {})}


def _show_ended(door: Door, order: Order, *, wait: bool, timeout_s: float) -> None:
    if wait:
        order = _followed(door, order["id"], timeout_s)
    door.show(order)
    if wait and order["state"] != "fulfilled":
        raise CliError(f"the order is {order['state']}: {order.get('reason', '')}", code=ExitCode.FAILED)


def _followed(door: Door, order: str, timeout_s: float) -> Order:
    """Return the order as it ended, its steps shown as they pass. An interrupt ends the waiting alone."""
    orders = door.client.orders

    def show_steps() -> None:
        # A gateway that is away for a moment ends nobody's wait: what is missed is shown with the next change.
        with contextlib.suppress(ServerUnreachable):
            watched.tell(list(orders.steps(order)))

    note(f"waiting for {order}")
    try:
        with view() as on_stderr:
            watched = Watched(on_stderr)
            return orders.wait(
                order,
                until=lambda seen: seen["state"] in ENDED,
                timeout_s=timeout_s,
                on_change=lambda _: show_steps(),
            )
    except KeyboardInterrupt:
        note(f"{order} goes on without you", f"  wait again: crossway order wait {order}")
        note(f"  what happened: crossway order events {order}", f"  give it up: crossway order cancel {order}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
