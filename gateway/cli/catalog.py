"""``crossway catalog``: what can be ordered, and where."""

import time
from http import HTTPStatus
from typing import Annotated, Final

import typer

from gateway.cli.door import Door, Key, Limit, Timeout, remote
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column
from gateway.cli.pairs import pairs_of
from gateway.client.problems import ApiProblem, WaitTimedOut

catalog = typer.Typer(help="What can be ordered, and where.")

_LOOK_AGAIN_S: Final = 0.5  # lists cannot be watched
_ENTRIES = (
    Column("CAPABILITY", "capability"),
    Column("TITLE", "title"),
    Column("PLATFORMS", "platforms"),
    Column("ID", "id"),
)
_OFFERS = (
    Column("ID", "id"),
    Column("CAPABILITY", "capability"),
    Column("PLATFORM", "platform"),
    Column("REGION", "region"),
    Column("SIZES", "size_count"),
    Column("IMAGES", "image_count"),
    Column("LABELS", "labels"),
    Column("STATE", "state"),
    Column("REASON", "reason"),
)


@remote(catalog, "entries")
def entries(door: Door, *, limit: Limit = None) -> None:
    """List the services and how many platforms have each."""
    door.show_list(door.client.entries.list(), _ENTRIES, limit)


@remote(catalog, "offers")
def offers(
    door: Door,
    *,
    capability: Annotated[str | None, typer.Option(help="Only this capability's, such as machine.")] = None,
    platform: Annotated[str | None, typer.Option(help="Only this platform's, by name or id.")] = None,
    limit: Limit = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until machines can be ordered.")] = False,
    timeout: Timeout = 120.0,
) -> None:
    """List the offers: a service at a platform."""
    if wait:
        _wait_for_offers(door, capability=capability, platform=platform, timeout_s=timeout)
    door.show_list(door.client.offers.list(capability=capability, platform=platform), _OFFERS, limit)


@remote(catalog, "label")
def label(
    door: Door,
    *,
    offer: Key,
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE...]", help="All its labels; none: take them off.")
    ] = None,
) -> None:
    """Give an offer these labels and no others, to be searched by (admins only)."""
    door.show(door.client.offers.label(offer, pairs_of(labels, what="label") or {}))


@remote(catalog, "offer")
def offer(door: Door, *, offer: Key) -> None:
    """Show one offer with its sizes, images and networks."""
    door.show(door.client.offers.get(offer))


def _wait_for_offers(door: Door, *, capability: str | None, platform: str | None, timeout_s: float) -> None:
    """Wait until something is on offer, and each offer of machines has sizes and images to choose from."""
    ends_s = time.monotonic() + timeout_s
    while True:
        listed = list(door.client.offers.list(capability=capability, platform=platform))
        found = [each for each in listed if each["state"] == "offered"]
        machines = [each for each in found if each["capability"] == "machine"]
        wanted = machines if capability in {None, "machine"} else found
        if wanted and all(each["size_count"] and each["image_count"] for each in machines):
            return
        _refuse_hopeless(door, platform)
        if time.monotonic() >= ends_s:
            states = sorted({f"{each['capability']} {each['state']} {each['reason']}".strip() for each in listed})
            raise WaitTimedOut("offers", timeout_s=timeout_s, last_state=", ".join(states) or "none")
        time.sleep(_LOOK_AGAIN_S)


def _refuse_hopeless(door: Door, platform: str | None) -> None:
    """Raise CliError once the newest connection of ``platform`` has failed: nothing comes on offer without one."""
    if platform is None:
        return
    try:
        listed = list(door.client.connections.list())
    except ApiProblem as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return  # a member of a project sees no connections
        raise
    mine = [each for each in listed if platform in {each["requester"], each["requester_id"]}]
    newest = max(mine, key=lambda each: each["created_at"], default=None)
    if newest is not None and newest["state"] == "failed":
        message = f"the connection of {platform} has failed: {newest['reason']}"
        fix = f"crossway route explain {newest['id']}; then crossway connection request"
        raise CliError(message, code=ExitCode.FAILED, fix=fix)
