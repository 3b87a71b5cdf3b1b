"""The network as it is declared, joined with what the running gateway believes of it."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from catalog.errors import InvalidValue
from catalog.model.network import Relay, Site
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.bodies import Nothing, Out, Time
from gateway.api.endpoints import Call, Listing, Routes

routes = Routes("network")

_DIGITS = 9  # of a row's number: more links than fit into memory


class SitePlaceOut(Out):
    """Where a site is."""

    name: str
    region: str
    latitude: float | None
    longitude: float | None


class RelayPlaceOut(Out):
    """Where a relay stands, and what is held against it."""

    name: str
    site: str
    enabled: bool
    risk: float
    risk_groups: list[str]
    host_key_mismatch_since: Time | None = Field(
        description="Since when it shows another host key than the pinned one; nothing goes over it while it does."
    )


class PlatformPlaceOut(Out):
    """Where a platform is; links name it `platform/NAME`."""

    name: str
    site: str


class LinkStatusOut(Out):
    """What is believed of one link; null is what nobody knows."""

    source: str
    target: str
    method: str
    note: str = Field(description="Why it could not be measured; empty when it could.")
    rtt_ms: float | None
    error_ms: float | None = Field(description="One standard error of `rtt_ms`; it grows with age.")
    median_ms: float | None
    smoothed_ms: float | None
    jitter_ms: float | None
    loss_ratio: float | None
    loss_least: float | None = Field(description="The least loss that what was sent leaves believable, at 95 %.")
    loss_most: float | None = Field(description="The largest, likewise; the two part as packets grow old.")
    sent: float | None = Field(description="Old packets weigh less.")
    lost: float | None
    samples: int | None
    dead: bool
    age_s: float | None = Field(description="Since it was last measured.")


class ProbesOut(Out):
    """What probing spends."""

    packets: int
    lost: int
    refused: dict[str, int] = Field(description="Samples that cannot be true, by reason.")
    limit_per_s: float | None
    by_source: dict[str, int] = Field(description="Packets by who sent them: `gateway`, or a relay.")


class NetworkStatusOut(Out):
    """Sites and relays by name, how many links are known, what probing spends, how often routes changed and why."""

    gateway_site: str
    sites: list[SitePlaceOut]
    relays: list[RelayPlaceOut]
    platforms: list[PlatformPlaceOut]
    links_alive: int
    links_dead: int
    probes: ProbesOut
    changes: dict[str, int]


@routes.probe(
    "/v1/network/status",
    permission="network:read",
    answer=NetworkStatusOut,
    summary="Show the network as it is declared, with what measuring it takes and found",
)
async def get_network_status(call: Call[Nothing]) -> NetworkStatusOut:
    """Return rows and beliefs together. Beliefs are read on the event loop, where they change."""
    believed = call.services.network_status()
    mismatches = believed.get("host_key_mismatches", {})
    declared = await call.services.database.read(lambda tx: _declared(tx, mismatches))
    return NetworkStatusOut(
        **declared,
        gateway_site=call.services.gateway_site,
        links_alive=believed.get("links_alive", 0),
        links_dead=believed.get("links_dead", 0),
        probes=_probes(believed.get("probes", {})),
        changes=believed.get("changes", {}),
    )


@routes.probe(
    "/v1/network/links",
    permission="network:read",
    answer=LinkStatusOut,
    many=True,
    filters={"near": "Only links that begin or end here: `gateway`, a relay's name, or `platform/NAME`."},
    errors=(InvalidValue,),
    summary="List the links that were ever measured, with what is believed of each now",
)
async def list_network_links(call: Call[Nothing]) -> Listing:
    """Return one page of links, in the order in which they became known; pages are read as they are then."""
    found = call.services.network_links(call.filters.get("near", ""), _row(call.page_token), call.limit)
    following = None if found.next_row is None else str(found.next_row)
    return Listing(items=[_link(each) for each in found.links], next_token=following)


def _row(token: str | None) -> int:
    if token is not None and not (token.isascii() and token.isdigit() and len(token) <= _DIGITS):
        raise InvalidValue("the page token is not one that this list gave", field="page_token", fix="begin without one")
    return int(token or 0)


def _declared(tx: Tx, mismatches: Mapping[str, float]) -> dict[str, Any]:
    sites = rows.where(tx, Site)
    at = {site.id: site.name for site in sites}
    return {
        "sites": [
            SitePlaceOut(name=site.name, region=site.region, latitude=site.latitude, longitude=site.longitude)
            for site in sorted(sites, key=_name)
        ],
        "relays": [
            RelayPlaceOut(
                name=relay.name,
                site=at[relay.site_id],
                enabled=relay.enabled,
                risk=relay.risk,
                risk_groups=relay.risk_groups,
                host_key_mismatch_since=mismatches.get(relay.name),
            )
            for relay in sorted(rows.where(tx, Relay), key=_name)
        ],
        "platforms": [
            PlatformPlaceOut(name=platform.name, site=at[platform.site_id])
            for platform in sorted(rows.where(tx, Platform), key=_name)
        ],
    }


def _name(row: Site | Relay | Platform) -> str:
    return row.name


def _link(told: Mapping[str, Any]) -> LinkStatusOut:
    return LinkStatusOut(
        source=told["source"],
        target=told["target"],
        method=told.get("method", ""),
        note=told.get("note", ""),
        rtt_ms=_known(told.get("rtt_ms")),
        error_ms=_known(told.get("error_ms")),
        median_ms=_known(told.get("median_ms")),
        smoothed_ms=_known(told.get("smoothed_ms")),
        jitter_ms=_known(told.get("jitter_ms")),
        loss_ratio=_known(told.get("loss_ratio")),
        loss_least=_known(told.get("loss_least")),
        loss_most=_known(told.get("loss_most")),
        sent=_known(told.get("sent")),
        lost=_known(told.get("lost")),
        samples=told.get("samples"),
        dead=bool(told.get("dead", False)),
        age_s=_known(told.get("age_s")),
    )


def _probes(told: Mapping[str, Any]) -> ProbesOut:
    return ProbesOut(
        packets=told.get("packets", 0),
        lost=told.get("lost", 0),
        refused=told.get("refused", {}),
        limit_per_s=_known(told.get("limit_per_s")),
        by_source=told.get("by_source", {}),
    )


def _known(number: float | None) -> float | None:
    """Return ``number``, None for the NaN and inf by which estimates say that they know nothing; JSON has neither."""
    return number if number is not None and math.isfinite(number) else None
