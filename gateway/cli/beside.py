"""``crossway container|zone|record|balancer``: services beside machines and their storage."""

from typing import Annotated

import typer

from gateway.cli.asset import Called, Machine, Offer, noun, shown
from gateway.cli.door import Door, IdempotencyKey, Key, Timeout, Wait, remote
from gateway.cli.output import Column

containers = typer.Typer(help="Containers of objects (buckets).")
zones = typer.Typer(help="DNS zones.")
records = typer.Typer(help="Records in DNS zones.")
balancers = typer.Typer(help="Load balancers.")
noun(containers, "container", Column("CALLED THERE", "cloud_name"))
noun(zones, "zone", Column("WHAT", "options"), Column("FACTS", "facts"))
noun(records, "record", Column("WHAT", "options"), Column("IN", "parent"))
noun(balancers, "balancer", Column("WHAT", "options"), Column("MEMBERS", "machines"), Column("FACTS", "facts"))


@remote(containers, "create")
def create_container(
    door: Door,
    *,
    offer: Offer,
    name: Called = None,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Order a container; its platform calls it by its name and its id."""
    ordered = door.client.assets.create(kind="container", offer=offer, name=name, idempotency_key=idempotency_key)
    shown(door, ordered, wait=wait, timeout_s=timeout)


@remote(zones, "create")
def create_zone(
    door: Door,
    *,
    domain: Annotated[str, typer.Argument(help="Such as shop.example.org.")],
    offer: Offer,
    name: Called = None,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Order a zone; once it is ready it says at which servers its parent shall point."""
    ordered = door.client.assets.create(
        kind="zone", offer=offer, name=name, options={"domain": domain}, idempotency_key=idempotency_key
    )
    shown(door, ordered, wait=wait, timeout_s=timeout)


@remote(records, "create")
def create_record(
    door: Door,
    *,
    zone: Annotated[str, typer.Argument(metavar="ZONE", help="The zone's id.")],
    host: Annotated[str, typer.Argument(help="A name in the zone, such as www.shop.example.org.")],
    kind: Annotated[str, typer.Argument(metavar="A|AAAA|CNAME|TXT", help="The record's type.")],
    value: Annotated[str, typer.Argument(help="An address, a name or a text.")],
    ttl: Annotated[int | None, typer.Option(metavar="SECONDS", help="How long it may be kept.")] = None,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Order a record."""
    options = {"host": host, "record_type": kind, "value": value, "ttl_s": ttl}
    ordered = door.client.assets.create(kind="record", parent=zone, options=options, idempotency_key=idempotency_key)
    shown(door, ordered, wait=wait, timeout_s=timeout)


@remote(balancers, "create")
def create_balancer(
    door: Door,
    *,
    offer: Offer,
    port: Annotated[int, typer.Option(help="Where it listens.")],
    machine_port: Annotated[int | None, typer.Option(help="Where its machines do; else the same.")] = None,
    location: Annotated[
        str | None, typer.Option(help="One of the platform's locations, where its machines are.")
    ] = None,
    name: Called = None,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Order a balancer of TCP connections."""
    options = {"port": port, "machine_port": machine_port}
    ordered = door.client.assets.create(
        kind="balancer", offer=offer, location=location, name=name, options=options, idempotency_key=idempotency_key
    )
    shown(door, ordered, wait=wait, timeout_s=timeout)


@remote(balancers, "add")
def add_member(door: Door, *, balancer: Key, machine: Machine) -> None:
    """Make a machine a member; it is done when this ends."""
    door.show(door.client.assets.attach(balancer, machine))


@remote(balancers, "remove")
def remove_member(door: Door, *, balancer: Key, machine: Machine) -> None:
    """Make it a member no more; it is done when this ends."""
    door.show(door.client.assets.detach(balancer, machine))
