"""The transport network as an admin declares it: sites, relays and the links between sites."""

from typing import Annotated

from pydantic import Field

from catalog import network
from catalog.errors import AlreadyExists, InvalidValue, WrongState
from catalog.model.network import Login, Relay, Site, SiteLink
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import (
    AddressesFrom,
    Body,
    Capacity,
    Composite,
    Host,
    HostKey,
    Latitude,
    Line,
    Longitude,
    Name,
    Nothing,
    Port,
    Price,
    Reference,
    Resource,
    Risk,
    RiskGroups,
    absent,
    stamp,
)
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.relay_care import LoginIn, PermitsOut, Permitted, permits_of
from gateway.api.services import Wakes

routes = Routes("network")


Country = Annotated[str, Field(pattern=r"^([A-Z]{2})?$", max_length=2, description="ISO 3166-1 alpha-2.")]


class SiteIn(Body):
    """A new site."""

    name: Name
    region: Line = ""
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    country: Country = ""


class SiteChange(Body):
    """What changes of a site; what is left out stays."""

    region: Line = absent()
    latitude: Latitude | None = absent()
    longitude: Longitude | None = absent()
    country: Country = absent()


class SiteOut(Resource):
    """A place where relays and platforms are."""

    name: str
    region: str
    latitude: float | None
    longitude: float | None
    country: str = Field(description="ISO 3166-1 alpha-2; empty: not known.")


@routes.endpoint(
    "POST",
    "/v1/sites",
    permission="network:write",
    body=SiteIn,
    answer=SiteOut,
    status=201,
    location="/v1/sites/{id}",
    errors=(AlreadyExists, InvalidValue),
    summary="Declare a site",
)
def create_site(tx: Tx, call: Call[SiteIn]) -> SiteOut:
    """Return the new site."""
    return _site(network.add_site(tx, **dict(call.body), now_s=call.now_s))


@routes.plain("GET", "/v1/sites", permission="network:read", answer=SiteOut, many=True, summary="List the sites")
def list_sites(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of sites."""
    found = page(tx, Site, limit=call.limit, token=call.page_token)
    return Listing(items=[_site(row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/sites/{ref}", permission="network:read", answer=SiteOut, summary="Show a site")
def get_site(tx: Tx, call: Call[Nothing]) -> SiteOut:
    """Return the site with this name or id."""
    return _site(rows.by_name_or_id(tx, Site, call.path["ref"]))


@routes.endpoint(
    "PATCH", "/v1/sites/{ref}", permission="network:write", body=SiteChange, answer=SiteOut, summary="Change a site"
)
def change_site(tx: Tx, call: Call[SiteChange]) -> SiteOut:
    """Return the site with the given fields changed."""
    site = rows.by_name_or_id(tx, Site, call.path["ref"])
    call.precondition.check(site)
    return _site(network.update_site(tx, site.id, call.body.model_dump(exclude_unset=True), call.now_s))


@routes.plain(
    "DELETE",
    "/v1/sites/{ref}",
    permission="network:write",
    status=204,
    errors=(WrongState,),
    summary="Remove a site that nothing uses",
)
def remove_site(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the site; never the one where the gateway is, without which no route can begin."""
    site = rows.by_name_or_id(tx, Site, call.path["ref"])
    call.precondition.check(site)
    if site.name == call.services.gateway_site:
        raise WrongState("the gateway itself is at this site", fix="move it first: the setting gateway.site")
    network.remove_site(tx, site.id)


def _site(row: Site) -> SiteOut:
    return SiteOut(
        **stamp(row),
        name=row.name,
        region=row.region,
        latitude=row.latitude,
        longitude=row.longitude,
        country=row.country,
    )


MoreHostKeys = Annotated[
    list[HostKey],
    Field(max_length=network.MORE_HOST_KEYS_LIMIT, description="Pinned beside `host_key`, while keys are changed."),
]


class RelayIn(Body):
    """A new relay."""

    name: Name
    site: Reference
    host: Host
    port: Port = 22
    user: Line
    host_key: HostKey
    addresses_from: AddressesFrom = Field(
        default_factory=dict, description="Site name -> `host:port` to dial from there, where it differs."
    )
    enabled: bool = True
    caretaker: Line = Field(default="", description="The account by which the list of what it permits is kept.")
    login: LoginIn = Login.KEY.value
    also_permitted: Permitted = Field(default_factory=list, description="Addresses permitted beyond what follows.")
    risk: Risk = Field(default=0.0, description="Points, by your judgement; what a point costs is the weight `risk`.")
    risk_groups: RiskGroups = Field(
        default_factory=list, description="Words for what it shares its fate with: an operator, a building, a provider."
    )


class RelayChange(Body):
    """What changes of a relay; what is left out stays."""

    site: Reference = absent()
    host: Host = absent()
    port: Port = absent()
    user: Line = absent()
    host_key: HostKey = absent()
    more_host_keys: MoreHostKeys = absent()
    addresses_from: AddressesFrom = absent()
    enabled: bool = absent()
    caretaker: Line = absent()
    login: LoginIn = absent()
    also_permitted: Permitted = absent()
    risk: Risk = absent()
    risk_groups: RiskGroups = absent()


class RelayOut(Composite):
    """A host with plain sshd that forwards. ``next_login`` is what it is to be shown once it is known to take it."""

    name: str
    site: str
    host: str
    port: int
    user: str
    host_key: str
    more_host_keys: list[str]
    addresses_from: dict[str, str]
    enabled: bool
    caretaker: str
    login: str
    next_login: str
    also_permitted: list[str]
    permits: PermitsOut
    risk: float
    risk_groups: list[str]


@routes.endpoint(
    "POST",
    "/v1/relays",
    permission="network:write",
    body=RelayIn,
    answer=RelayOut,
    status=201,
    location="/v1/relays/{id}",
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(AlreadyExists, InvalidValue),
    summary="Declare a relay",
)
def create_relay(tx: Tx, call: Call[RelayIn]) -> RelayOut:
    """Return the new relay."""
    return _relay(tx, network.add_relay(tx, **dict(call.body), now_s=call.now_s))


@routes.plain("GET", "/v1/relays", permission="network:read", answer=RelayOut, many=True, summary="List the relays")
def list_relays(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of relays."""
    found = page(tx, Relay, limit=call.limit, token=call.page_token)
    return Listing(items=[_relay(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/relays/{ref}", permission="network:read", answer=RelayOut, summary="Show a relay")
def get_relay(tx: Tx, call: Call[Nothing]) -> RelayOut:
    """Return the relay with this name or id."""
    return _relay(tx, rows.by_name_or_id(tx, Relay, call.path["ref"]))


@routes.endpoint(
    "PATCH",
    "/v1/relays/{ref}",
    permission="network:write",
    body=RelayChange,
    answer=RelayOut,
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(InvalidValue,),
    summary="Change, enable or disable a relay",
)
def change_relay(tx: Tx, call: Call[RelayChange]) -> RelayOut:
    """Return the relay with the given fields changed."""
    relay = rows.by_name_or_id(tx, Relay, call.path["ref"])
    call.precondition.check(relay)
    return _relay(tx, network.update_relay(tx, relay.id, call.body.model_dump(exclude_unset=True), call.now_s))


@routes.plain(
    "DELETE",
    "/v1/relays/{ref}",
    permission="network:write",
    status=204,
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(WrongState,),
    summary="Remove a relay that no route in use passes",
)
def remove_relay(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the relay."""
    relay = rows.by_name_or_id(tx, Relay, call.path["ref"])
    call.precondition.check(relay)
    network.remove_relay(tx, relay.id)


def _relay(tx: Tx, row: Relay) -> RelayOut:
    return RelayOut(
        **stamp(row),
        name=row.name,
        site=rows.by_id(tx, Site, row.site_id).name,
        host=row.host,
        port=row.port,
        user=row.user,
        host_key=row.host_key,
        more_host_keys=row.more_host_keys,
        addresses_from=row.addresses_from,
        enabled=row.enabled,
        caretaker=row.caretaker,
        login=row.login,
        next_login=row.next_login,
        also_permitted=row.also_permitted,
        permits=permits_of(tx, row),
        risk=row.risk,
        risk_groups=row.risk_groups,
    )


class LinkIn(Body):
    """A new link."""

    source: Reference
    target: Reference
    both_ways: bool = True
    price_usd_per_gb: Price | None = None
    capacity_mbps: Capacity | None = Field(default=None, description="What you know of its throughput.")


class LinkOut(Resource):
    """Hosts of ``source`` may dial hosts of ``target``, and back when ``both_ways``."""

    source: str
    target: str
    both_ways: bool
    price_usd_per_gb: float | None
    capacity_mbps: float | None


@routes.endpoint(
    "POST",
    "/v1/links",
    permission="network:write",
    body=LinkIn,
    answer=LinkOut,
    status=201,
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(AlreadyExists, InvalidValue),
    summary="Declare that two sites reach each other",
)
def create_link(tx: Tx, call: Call[LinkIn]) -> LinkOut:
    """Return the new link."""
    return _link(tx, network.add_link(tx, **dict(call.body), now_s=call.now_s))


@routes.plain("GET", "/v1/links", permission="network:read", answer=LinkOut, many=True, summary="List the links")
def list_links(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of links."""
    found = page(tx, SiteLink, limit=call.limit, token=call.page_token)
    return Listing(items=[_link(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "DELETE",
    "/v1/links/{id}",
    permission="network:write",
    status=204,
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(WrongState,),
    summary="Remove a link",
)
def remove_link(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the link."""
    link = rows.by_id(tx, SiteLink, call.path["id"])
    call.precondition.check(link)
    network.remove_link(tx, link.id)


def _link(tx: Tx, row: SiteLink) -> LinkOut:
    return LinkOut(
        **stamp(row),
        source=rows.by_id(tx, Site, row.source_id).name,
        target=rows.by_id(tx, Site, row.target_id).name,
        both_ways=row.both_ways,
        price_usd_per_gb=row.price_usd_per_gb,
        capacity_mbps=row.capacity_mbps,
    )
