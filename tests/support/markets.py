"""Many platforms with many sizes and images, written in bulk: what a search has to look through."""

from collections.abc import Iterable, Sequence

from sqlalchemy import insert

from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import ConnectionId, EntryId, GrantId, OfferId, PlatformId, SiteId
from catalog.model.network import Site
from catalog.model.offering import CatalogEntry, InventoryItem, Offer
from catalog.model.platform import Platform
from catalog.model.reachability import Reachability
from catalog.prices import book, lines
from catalog.store import rows
from catalog.store.database import Tx

PLACES = (("fra", "DE"), ("sin", "SG"), ("iad", "US"), ("gru", "BR"), ("nrt", "JP"))
SYSTEMS = (("debian", "12"), ("ubuntu", "24.04"), ("rocky", "9"), ("windows", "2022"))
NOW_S = 1_800_000_000.0


def add_market(tx: Tx, numbers: Iterable[int], *, sizes: int, images: int, priced: bool = True) -> Sequence[PlatformId]:
    """Write the platforms with these numbers: each grants machines and images, and has so many sizes and images.

    Sizes grow from 1 vCPU and 2 GiB, every other one is for arm64; a size costs a hundredth per vCPU and hour, more at
    later platforms. Every third platform is not measured.
    """
    for name, country in PLACES:
        if rows.find(tx, Site, f"site_{name}") is None:
            rows.insert(tx, Site(id=SiteId(f"site_{name}"), name=f"in-{name}", country=country), NOW_S)
    for capability, title in (("machine", "Machines"), ("image", "Images")):
        if rows.first(tx, CatalogEntry, capability=capability) is None:
            rows.insert(tx, CatalogEntry(id=EntryId(f"entry_{capability}"), capability=capability, title=title), NOW_S)
    return [_add_platform(tx, number, sizes=sizes, images=images, priced=priced) for number in numbers]


def _add_platform(tx: Tx, number: int, *, sizes: int, images: int, priced: bool) -> PlatformId:
    site, _ = PLACES[number % len(PLACES)]
    platform = PlatformId(f"platform_{number:03}")
    told = {"provider": "ec2" if number % 2 else "openstack", "region": f"{site}-{number % 3}", "account": "main"}
    rows.insert(tx, Platform(id=platform, name=f"cloud-{number:03}", site_id=SiteId(f"site_{site}"), **told), NOW_S)
    connection = ConnectionId(f"connection_{number:03}")
    rows.insert(
        tx,
        Connection(id=connection, requester_id=platform, target_id=platform, state=ConnectionState.ESTABLISHED),
        NOW_S,
    )
    for capability in ("machine", "image"):
        grant = Grant(
            id=GrantId(f"grant_{capability}_{number:03}"),
            platform_id=platform,
            connection_id=connection,
            request_id="r",
            capability=capability,
            verbs=["create", "list"],
            quota=100 + number,
            state=GrantState.ACCEPTED,
        )
        rows.insert(tx, grant, NOW_S)
        offer = Offer(
            id=OfferId(f"offer_{capability}_{number:03}"),
            entry_id=_entry(tx, capability),
            platform_id=platform,
            grant_id=grant.id,
        )
        rows.insert(tx, offer, NOW_S)
    if number % 3:
        reach = Reachability(platform_id=platform, route="direct", measured_at_s=NOW_S)
        reach.rtt_ms, reach.loss_ratio, reach.preference = 5.0 * number, 0.0, 100 * 2 ** (-number / 20)
        rows.insert(tx, reach, NOW_S)
    _add_items(tx, platform, sizes=sizes, images=images)
    if priced:
        _add_prices(tx, platform, number, sizes)
    return platform


def _entry(tx: Tx, capability: str) -> EntryId:
    entry = rows.first(tx, CatalogEntry, capability=capability)
    assert entry is not None
    return entry.id


def _add_items(tx: Tx, platform: PlatformId, *, sizes: int, images: int) -> None:
    common = {"platform_id": platform, "facts": {}, "version": 1, "created_at_s": NOW_S, "updated_at_s": NOW_S}
    found = [
        {
            **common,
            "kind": "size",
            "cloud_id": f"s{place}",
            "name": f"{'mcr'[place % 3]}{place % 7}.{2 ** (place % 8)}xlarge-{place}",
            "vcpu": float(2 ** (place % 8)),
            "memory_gib": float(2 ** (place % 8 + 1 + place % 3)),
            "disk_gib": float(20 * (place % 5)) or None,
            "gpu_count": place % 16 // 15,
            "architecture": "arm64" if place % 2 else "x86_64",
            "os_family": None,
            "os_version": None,
        }
        for place in range(sizes)
    ]
    found += [
        {
            **common,
            "kind": "image",
            "cloud_id": f"i{place}",
            "name": f"{SYSTEMS[place % 4][0]}-{SYSTEMS[place % 4][1]}-{place}",
            "vcpu": None,
            "memory_gib": None,
            "disk_gib": None,
            "gpu_count": None,
            "architecture": "x86_64",
            "os_family": SYSTEMS[place % 4][0],
            "os_version": SYSTEMS[place % 4][1],
        }
        for place in range(images)
    ]
    tx.connection().execute(insert(InventoryItem), found)


def _add_prices(tx: Tx, platform: PlatformId, number: int, sizes: int) -> None:
    told = ["platform,item,unit,amount,currency,source"]
    told += [
        f"{platform},s{place},hour,{(100 + number) * 2 ** (place % 8) / 10_000:.4f},EUR,list"
        for place in range(sizes)
        if place % 10
    ]
    listed = lines.read("\n".join(told), lines.ListFormat.CSV, source="list", now_s=NOW_S)
    book.import_lines(tx, listed, NOW_S)
