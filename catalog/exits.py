"""Reverse exits: the relays where connectors of platforms that cannot be dialled come out.

An admin says through which relay a platform is reached; the platform's connector says only which loopback ports that
relay gave it. A platform with a reverse exit is reached through its exits and in no other way.
"""

import logging
from collections.abc import Mapping, Sequence

from catalog import addresses, naming
from catalog.errors import AlreadyExists, Denied, InvalidValue
from catalog.model.exit import ReverseExit
from catalog.model.ids import ExitId, PlatformId, RelayId, new_id
from catalog.model.network import Relay
from catalog.model.platform import Endpoint, Platform, Purpose
from catalog.ports import Address
from catalog.store import rows
from catalog.store.database import Tx

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
PORTS_LIMIT = 66  # both endpoints, and as many destinations as a grant may name
# What a relay gives to a forwarding is never one of its own services' well-known ports.
FIRST_PORT = 1024


def approve(tx: Tx, *, platform: str, relay: str, now_s: float) -> ReverseExit:
    """Return the new exit: from now on the platform is reached through such relays alone.

    Raises AlreadyExists, InvalidValue for a platform or relay that does not exist.
    """
    target = naming.known(tx, Platform, platform, field="platform")
    through = naming.known(tx, Relay, relay, field="relay")
    if rows.first(tx, ReverseExit, platform_id=target.id, relay_id=through.id) is not None:
        raise AlreadyExists(f"platform '{target.name}' is reached through '{through.name}' already", field="relay")
    fresh = ReverseExit(id=ExitId(new_id("exit", now_s)), platform_id=target.id, relay_id=through.id)
    return rows.insert(tx, fresh, now_s)


def announce(tx: Tx, *, platform_id: str, relay: str, ports: Mapping[str, int], now_s: float) -> ReverseExit:
    """Take what the platform's connector says of its ports at ``relay``, in the place of what it said before.

    Raises Denied when no admin approved this relay for the platform, InvalidValue for names or ports that cannot be.
    """
    through = rows.first(tx, Relay, name=relay)
    held = through and rows.first(tx, ReverseExit, platform_id=platform_id, relay_id=through.id)
    if not held:
        raise Denied(
            "no admin approved that this platform is reached through this relay",
            field="relay",
            fix="an admin approves it: crossway exit approve PLATFORM RELAY",
        )
    checked = _ports(ports)
    if checked == held.ports:
        return held
    log.info("exit announced", extra={"platform": platform_id, "relay": relay, "count": len(checked)})
    return rows.update(tx, held, {"ports": checked, "announced_at_s": now_s}, now_s)


def remove(tx: Tx, exit_id: str, expected_version: int | None = None) -> None:
    """Remove an exit; without its last one the platform is dialled again as its endpoints say. Raises Stale."""
    rows.delete(tx, rows.by_id(tx, ReverseExit, exit_id), expected_version)


def at_relays(tx: Tx, platform_id: PlatformId) -> dict[str, ReverseExit] | None:
    """Return the platform's exits by relay name, None when it is dialled in the ordinary way."""
    held = rows.where(tx, ReverseExit, platform_id=platform_id)
    return {rows.by_id(tx, Relay, each.relay_id).name: each for each in held} if held else None


def ports_at(tx: Tx, relay_id: RelayId) -> set[int]:
    """Return the loopback ports of the relay that the gateway may have to dial there."""
    return {port for each in rows.where(tx, ReverseExit, relay_id=relay_id) for port in each.ports.values()}


def turned(held: ReverseExit, endpoints: Sequence[Endpoint]) -> dict[Address, Address]:
    """Return, by address in the platform's own network, what the exit's relay dials instead.

    An endpoint that the connector does not bring along is not among them: the relay dials it as anybody would.
    """
    dials = {each.purpose: Address(host=each.dial_host, port=each.dial_port) for each in endpoints}
    named = {
        dials[Purpose(name)] if name in set(Purpose) else addresses.address(name, field="ports"): port
        for name, port in held.ports.items()
        if name not in set(Purpose) or Purpose(name) in dials
    }
    return {address: Address(host=LOOPBACK, port=port) for address, port in named.items()}


def _ports(ports: Mapping[str, int]) -> dict[str, int]:
    if len(ports) > PORTS_LIMIT:
        raise InvalidValue("these are too many ports", field="ports", fix=f"at most {PORTS_LIMIT}")
    checked = {}
    for name, port in ports.items():
        field = f"ports.{name}"
        known = name if name in set(Purpose) else str(addresses.address(name, field=field))
        if addresses.port(port, field=field) < FIRST_PORT:
            raise InvalidValue("a relay gives no such port to a forwarding", field=field, fix=f"{FIRST_PORT}..65535")
        checked[known] = port
    return checked
