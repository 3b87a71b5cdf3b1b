"""``crossway order``: one machine for one project."""

from typing import Annotated

import typer

from gateway.cli.connection import STEPS
from gateway.cli.door import Door, IdempotencyKey, Key, Limit, State, Timeout, Wait, remote
from gateway.cli.durations import seconds_of
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column, note
from gateway.client.orders import ENDED
from gateway.client.resources import Order

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


@remote(orders, "create")
def create_order(
    door: Door,
    *,
    offer: Annotated[
        str, typer.Argument(metavar="OFFER", help="An offer's id, or the name of a platform that offers machines.")
    ],
    size: Annotated[str, typer.Option(help="One of the offer's sizes, by id or name.")],
    image: Annotated[str, typer.Option(help="One of the offer's images, by id or name.")],
    location: Annotated[
        str | None, typer.Option(help="One of the platform's locations, by id or name; else the cloud chooses.")
    ] = None,
    key_pair: Annotated[
        str | None, typer.Option(help="One of the platform's key pairs, by id or name, to log in with; else none.")
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
    """Order a machine. It is answered at once; --wait stays until you have it."""
    order = door.client.orders.create(
        offer=offer,
        size=size,
        image=image,
        location=location,
        key_pair=key_pair,
        lease_s=None if lease is None else seconds_of(lease),
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


@remote(orders, "steps")
def steps(door: Door, *, order: Key) -> None:
    """Show what happened, step by step."""
    door.show_list(door.client.orders.steps(order), STEPS)


@remote(orders, "cancel")
def cancel(door: Door, *, order: Key) -> None:
    """Cancel an order that has not ended."""
    door.show(door.client.orders.cancel(order))


def _show_ended(door: Door, order: Order, *, wait: bool, timeout_s: float) -> None:
    if wait and order["state"] not in ENDED:
        order = door.client.orders.wait(
            order["id"],
            until=lambda seen: seen["state"] in ENDED,
            timeout_s=timeout_s,
            on_change=lambda seen: note(f"{seen['id']}: {seen['state']}"),
        )
    door.show(order)
    if wait and order["state"] != "fulfilled":
        raise CliError(f"the order is {order['state']}: {order.get('reason', '')}", code=ExitCode.FAILED)
