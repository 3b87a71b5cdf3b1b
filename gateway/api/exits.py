"""Reverse exits: an admin says through which relay a platform is reached that cannot be dialled; its connector, how."""

from pydantic import Field

from catalog import exits, naming
from catalog.access import owns
from catalog.errors import AlreadyExists, Denied, InvalidValue, NotFound
from catalog.model.exit import ReverseExit
from catalog.model.network import Relay
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Name, Nothing, Reference, Resource, Time, stamp
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.services import Wakes

routes = Routes("exits")


class ExitIn(Body):
    """Through which relay a platform is reached from now on."""

    platform: Reference
    relay: Reference


class AnnouncementIn(Body):
    """What the relay gave to the platform's connector."""

    relay: Name
    ports: dict[str, int] = Field(
        max_length=exits.PORTS_LIMIT,
        description="`api`, `connector` or `host:port` of the platform's network -> a port of the relay's loopback.",
    )
    platform: Reference | None = Field(default=None, description="For admins only: on whose behalf.")


class ExitOut(Resource):
    """A relay through which a platform is reached, and which loopback ports lead where."""

    platform: str
    relay: str
    ports: dict[str, int]
    announced_at: Time | None


@routes.endpoint(
    "POST",
    "/v1/exits",
    permission="platform:approve",
    body=ExitIn,
    answer=ExitOut,
    status=201,
    location="/v1/exits/{id}",
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(AlreadyExists, InvalidValue),
    summary="Reach a platform through this relay, to which its connector dials out",
)
def approve_exit(tx: Tx, call: Call[ExitIn]) -> ExitOut:
    """Return the new exit; it leads nowhere until the connector has announced its ports."""
    return _out(tx, exits.approve(tx, platform=call.body.platform, relay=call.body.relay, now_s=call.now_s))


@routes.plain("GET", "/v1/exits", permission="exit:read", answer=ExitOut, many=True, summary="List the exits")
def list_exits(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of exits: a platform's own, an admin's all."""
    mine = {} if call.sees_all else {"platform_id": call.principal.subject_id}
    found = page(tx, ReverseExit, limit=call.limit, token=call.page_token, where=mine)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/exits/{id}", permission="exit:read", answer=ExitOut, summary="Show or watch an exit")
def get_exit(tx: Tx, call: Call[Nothing]) -> ExitOut:
    """Return the exit."""
    row = rows.find(tx, ReverseExit, call.path["id"])
    if row is None or not owns(call.principal, row.platform_id):
        raise NotFound(f"there is no exit '{call.path['id']}'")
    return _out(tx, row)


@routes.endpoint(
    "POST",
    "/v1/exit-announcements",
    permission="exit:announce",
    takes_signed=True,
    body=AnnouncementIn,
    answer=ExitOut,
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(Denied, InvalidValue),
    summary="Say which loopback ports a relay gave to this platform's connector",
)
def announce_exit(tx: Tx, call: Call[AnnouncementIn]) -> ExitOut:
    """Return the exit as it is now; connections take a change up at once."""
    named = call.body.platform
    if not call.sees_all and named is not None:
        raise InvalidValue("a platform announces for itself", field="platform", fix="leave it out")
    if call.sees_all and named is None:
        raise InvalidValue("an admin announces for a platform", field="platform", fix="name it")
    platform_id = call.principal.subject_id
    if named is not None:
        platform_id = naming.known(tx, Platform, named, field="platform").id
    announced = exits.announce(
        tx, platform_id=platform_id, relay=call.body.relay, ports=call.body.ports, now_s=call.now_s
    )
    return _out(tx, announced)


@routes.plain(
    "DELETE",
    "/v1/exits/{id}",
    permission="platform:approve",
    status=204,
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    summary="Reach the platform through this relay no longer",
)
def remove_exit(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the exit."""
    row = rows.find(tx, ReverseExit, call.path["id"])
    if row is None:
        raise NotFound(f"there is no exit '{call.path['id']}'")
    call.precondition.check(row)
    exits.remove(tx, row.id)


def _out(tx: Tx, row: ReverseExit) -> ExitOut:
    return ExitOut(
        **stamp(row),
        platform=rows.by_id(tx, Platform, row.platform_id).name,
        relay=rows.by_id(tx, Relay, row.relay_id).name,
        ports=row.ports,
        announced_at=row.announced_at_s,
    )
