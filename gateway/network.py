"""The declared network, as routing sees it: rows of the store become a ``routing.topology.Topology``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from catalog import exits
from catalog.errors import InvalidValue, NotFound, WrongState
from catalog.model.ids import PlatformId, SiteId
from catalog.model.network import Login, Relay, Site, SiteLink
from catalog.model.platform import Endpoint, EndpointState, Platform, Purpose
from catalog.ports import Address
from catalog.store.database import Tx
from catalog.store.network import network_revision
from catalog.store.rows import by_id, first, where
from routing import topology as routing

GATEWAY_NODE = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The network at one moment, with one platform as the target of routes."""

    topology: routing.Topology
    target: routing.Node


class DeclaredNetwork:
    """The network that admins declared, as it is at each reading; thousands of rows are read only after a change."""

    def __init__(self, gateway_site: str) -> None:
        """Take the name of the site where this gateway is."""
        self._gateway_site = gateway_site
        self._held: tuple[object, routing.Topology] | None = None

    def topology(self, tx: Tx) -> routing.Topology:
        """Return the network: the same object while nothing changed. Raises NotFound for an undeclared gateway site."""
        revision = network_revision(tx)
        # Readers on several threads may both read anew; what each then holds is true.
        held = self._held
        if held is None or held[0] != revision:
            held = self._held = (revision, declared_topology(tx, gateway_site=self._gateway_site))
        return held[1]

    def towards(self, tx: Tx, platform_id: PlatformId) -> Snapshot:
        """Return the network for reaching the API of ``platform_id``.

        Raises NotFound for an undeclared gateway site, WrongState when no admin approved the platform's endpoint.
        """
        network = self.topology(tx)
        platform = by_id(tx, Platform, platform_id)
        endpoint = first(tx, Endpoint, platform_id=platform_id, purpose=Purpose.API)
        if endpoint is None or endpoint.state is not EndpointState.APPROVED:
            raise WrongState(
                f"the API endpoint of platform {platform.name} is not approved",
                field="endpoint",
                fix="an admin approves it: crossway platform approve-endpoint",
            )
        turned = turned_addresses(tx, platform_id)
        dial = Address(host=endpoint.dial_host, port=endpoint.dial_port)
        target = _target(platform, endpoint, by_id(tx, Site, platform.site_id))
        if turned is None:
            return Snapshot(topology=network, target=target)
        return Snapshot(
            topology=network, target=replace(target, addresses_at=_at_relays(turned, target, dial, network))
        )


def turned_addresses(tx: Tx, platform_id: PlatformId) -> dict[str, dict[Address, Address]] | None:
    """Return by relay what it dials in the place of the platform's own addresses; None for one that is simply dialled.

    A relay whose forwarding the connector has not announced is not among them.
    """
    held = exits.at_relays(tx, platform_id)
    endpoints = where(tx, Endpoint, platform_id=platform_id)
    return None if held is None else {name: exits.turned(each, endpoints) for name, each in held.items() if each.ports}


def exit_relay(name: str) -> str:
    """Return the word under which a relay stands among the sites that addresses are dialled from."""
    return f"relay/{name}"


def is_exit_relay(word: str) -> bool:
    """Return whether ``word`` stands for one relay rather than a site; a slash cannot occur in a site's name."""
    return word.startswith("relay/")


def declared_topology(tx: Tx, *, gateway_site: str) -> routing.Topology:
    """Return the gateway, the enabled relays and the links. Raises NotFound for an undeclared gateway site."""
    sites = {site.id: site for site in where(tx, Site)}
    here = next((site for site in sites.values() if site.name == gateway_site), None)
    if here is None:
        raise NotFound(
            f"the gateway's own site {gateway_site!r} is not declared",
            field="gateway.site",
            fix="declare the site, or set gateway.site to one that exists",
        )
    return routing.Topology(
        gateway=_node(GATEWAY_NODE, routing.NodeKind.GATEWAY, here),
        relays=tuple(relay_node(relay, sites[relay.site_id]) for relay in where(tx, Relay, enabled=True)),
        links=tuple(_link(link, sites) for link in where(tx, SiteLink)),
    )


def relay_node(relay: Relay, site: Site) -> routing.Node:
    """Return ``relay``, which stands at ``site``, as routing sees it."""
    return routing.Node(
        name=relay.name,
        kind=routing.NodeKind.RELAY,
        site=site.name,
        address=routing.Address(relay.host, relay.port),
        addresses_from=_addresses(relay.addresses_from),
        user=relay.user,
        host_key="\n".join([relay.host_key, *relay.more_host_keys]),
        latitude=site.latitude,
        longitude=site.longitude,
        # What stands at one site falls with it.
        risk_groups=frozenset({site.name, *relay.risk_groups}),
        # What a connection may wish for or avoid besides single relays.
        labels=frozenset({site.name, site.region, *relay.risk_groups} - {""}),
        risk=relay.risk,
        certified=relay.login == Login.CERTIFICATE,
    )


def target_node(platform_name: str) -> str:
    """Return the name of a platform's node; a slash cannot occur in a relay's name, so the two never meet."""
    return f"platform/{platform_name}"


def parse_address(text: str) -> Address:
    """Return the address written ``host:port`` or ``[v6]:port``. Raises InvalidValue otherwise."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise InvalidValue(f"{text!r} is not an address", fix="write host:port, or [address]:port for IPv6")
    return Address(host=host.strip("[]"), port=int(port))


def _node(name: str, kind: routing.NodeKind, site: Site) -> routing.Node:
    return routing.Node(name=name, kind=kind, site=site.name, latitude=site.latitude, longitude=site.longitude)


def _target(platform: Platform, endpoint: Endpoint, site: Site) -> routing.Node:
    return routing.Node(
        name=target_node(platform.name),
        kind=routing.NodeKind.TARGET,
        site=site.name,
        address=routing.Address(endpoint.dial_host, endpoint.dial_port),
        addresses_from=_addresses(endpoint.dials_from),
        latitude=site.latitude,
        longitude=site.longitude,
    )


def _at_relays(
    turned: Mapping[str, Mapping[Address, Address]], target: routing.Node, dial: Address, network: routing.Topology
) -> dict[str, routing.Address]:
    """Return what each exit's relay dials for the API: its loopback, or as anybody where only the rest is turned."""
    sites = {relay.name: relay.site for relay in network.relays}
    found = {
        name: routing.Address(through.host, through.port)
        if (through := instead.get(dial)) is not None
        else target.address_from(sites[name])
        for name, instead in turned.items()
        if name in sites
    }
    return {name: address for name, address in found.items() if address is not None}


def _addresses(texts: dict[str, str]) -> dict[str, routing.Address]:
    parsed = {site: parse_address(text) for site, text in texts.items()}
    return {site: routing.Address(address.host, address.port) for site, address in parsed.items()}


def _link(link: SiteLink, sites: Mapping[SiteId, Site]) -> routing.SiteLink:
    return routing.SiteLink(
        source=sites[link.source_id].name,
        target=sites[link.target_id].name,
        both_ways=link.both_ways,
        price_usd_per_gb=link.price_usd_per_gb,
        capacity_mbps=link.capacity_mbps,
    )
