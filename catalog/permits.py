"""What a relay must be permitted to dial: the next relays, the platforms' approved endpoints, and no more.

From the declared network follow the addresses, from these the lines of the relay account's key file. A line never
stands without an address, because sshd takes a key without one for a key that may go everywhere.
"""

from collections.abc import Collection, Iterable, Sequence

from catalog import addresses, exits
from catalog.destinations import destination
from catalog.errors import InvalidValue
from catalog.messages.handshake import Capability
from catalog.model.consent import Grant, GrantState
from catalog.model.network import Relay, Site, SiteLink
from catalog.model.platform import Endpoint, EndpointState, Platform
from catalog.ports import Address
from catalog.store import rows
from catalog.store.database import Tx

# Port 1 (tcpmux) of the relay itself is closed; timing it measures the relay apart from what lies behind it.
PROBE_ADDRESS = Address(host="127.0.0.1", port=1)
# What sshd takes in one line (SSH_AUTHOPT_PERMIT_MAX).
ADDRESS_LIMIT = 4096
FORWARD_LIMIT = 256
AUTHORITY = "cert-authority "
# Port forwarding goes both ways: the one port that may listen at the relay is one that only root could open.
RESTRICTIONS = 'restrict,port-forwarding,permitlisten="localhost:1",command="/bin/false"'


def permitted_at(tx: Tx, site: Site, *, relay: Relay | None = None) -> list[str]:
    """Return what ``relay``, or a new one (None), at ``site`` must be able to dial, as ``host:port``, in order.

    Raises InvalidValue when these are more than an sshd takes.
    """
    within = _reachable(tx, site)
    found = {str(PROBE_ADDRESS)}
    for other in rows.where(tx, Relay, enabled=True):
        if other.site_id in within and (relay is None or other.id != relay.id):
            found.add(_dialled(other.addresses_from, site, other.host, other.port))
    for platform in rows.where(tx, Platform, enabled=True):
        if platform.site_id in within:
            for endpoint in rows.where(tx, Endpoint, platform_id=platform.id, state=EndpointState.APPROVED):
                found.add(_dialled(endpoint.dials_from, site, endpoint.dial_host, endpoint.dial_port))
    found |= _forwarded(tx, within)
    if relay is not None:
        found |= {str(Address(host=exits.LOOPBACK, port=port)) for port in exits.ports_at(tx, relay.id)}
        found.update(relay.also_permitted)
    if len(found) > ADDRESS_LIMIT:
        raise InvalidValue(
            f"{len(found)} addresses are to be permitted at site {site.name}",
            fix=f"sshd takes {ADDRESS_LIMIT} for one key: link fewer sites to it",
        )
    return sorted(found)


def _forwarded(tx: Tx, within: Collection[str]) -> set[str]:
    """Return the single addresses to which platforms at these sites let others be forwarded.

    sshd knows no networks: of one that is wider than FORWARD_LIMIT nothing is permitted, unless an admin says so.
    """
    nearby = {each.id for each in rows.where(tx, Platform, enabled=True) if each.site_id in within}
    granted = rows.where(tx, Grant, capability=Capability.FORWARD.value, state=GrantState.ACCEPTED)
    return {
        str(address)
        for grant in granted
        if grant.platform_id in nearby
        for text in grant.destinations
        for address in destination(text).addresses(FORWARD_LIMIT)
    }


def key_lines(permitted: Sequence[str], keys: Iterable[str]) -> list[str]:
    """Return the key file's lines, one for each of ``keys``.

    A key is ``type base64``; with ``cert-authority`` before it, whoever it made a certificate for may log in. Pure;
    raises InvalidValue without an address or with a key that is none.
    """
    if not permitted:
        raise InvalidValue("a key without addresses could be used for all", fix=f"at least {PROBE_ADDRESS}")
    listed = "".join(f',permitopen="{addresses.address(each, field="permitted")}"' for each in permitted)
    return [_line(key, listed) for key in keys]


def _line(key: str, listed: str) -> str:
    plain = key.removeprefix(AUTHORITY)
    before = "" if plain == key else "cert-authority,"
    return f"{before}{RESTRICTIONS}{listed} {addresses.ssh_public_key(plain, field='key')}"


def _reachable(tx: Tx, site: Site) -> set[str]:
    """Return the ids of the sites that hosts at ``site`` may dial, itself among them."""
    links = rows.where(tx, SiteLink)
    ahead = {link.target_id for link in links if link.source_id == site.id}
    back = {link.source_id for link in links if link.both_ways and link.target_id == site.id}
    return {site.id, *ahead, *back}


def _dialled(elsewhere: dict[str, str], site: Site, host: str, port: int) -> str:
    return elsewhere.get(site.name) or str(Address(host=host, port=port))
