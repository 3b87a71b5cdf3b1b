"""Sites, relays, links and weights as an admin declares them."""

from typing import Any

import pytest

from catalog import connections, network
from catalog.errors import AlreadyExists, CatalogError, InvalidValue, NotFound, Stale, WrongState
from catalog.model.connection import ConnectionEvent
from catalog.model.network import Relay, Site, SiteLink
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.stores import HOST_KEY, Store, add_connection, add_platform

RELAY: dict[str, Any] = {
    "name": "fra-1",
    "site": "fra",
    "host": "fra.relay.example",
    "user": "crossway",
    "host_key": HOST_KEY,
}


@pytest.fixture
def sites(store: Store) -> Store:
    """Return a store with the sites fra, sin and ams."""
    for name in ("fra", "sin", "ams"):
        store.write(lambda tx, name=name: network.add_site(tx, name=name, now_s=1.0))  # type: ignore[misc]
    return store


def add_relay(store: Store, **changes: Any) -> Relay:
    """Add a valid relay with ``changes``."""
    return store.write(lambda tx: network.add_relay(tx, **{**RELAY, **changes}, now_s=store.now_s))


def test_a_relay_is_kept_as_it_was_declared(sites: Store) -> None:
    """Every field comes back; the host is lower case, the key has no comment, addresses are canonical, words unique."""
    relay = add_relay(
        sites,
        host="FRA.relay.example",
        host_key=f"{HOST_KEY} root@fra",
        addresses_from={"sin": "[fd00::5]:2222"},
        risk=2,
        risk_groups=("acme", "Building 7", "acme"),
    )
    kept = sites.read(lambda tx: rows.by_name_or_id(tx, Relay, "fra-1"))
    assert (kept.host, kept.port, kept.user, kept.host_key) == ("fra.relay.example", 22, "crossway", HOST_KEY)
    assert kept.addresses_from == {"sin": "[fd00::5]:2222"}
    assert kept.enabled
    assert (kept.risk, kept.risk_groups) == (2.0, ["acme", "Building 7"])
    assert kept.id == relay.id


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "fra>1"}, "name"),
        ({"name": "Fra"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "gateway"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"site": "nowhere"}, "site"),
        ({"host": "fra relay"}, "host"),
        ({"host": "127.1"}, "host"),
        ({"host": "fra.example\nHost *"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"user": "root;id"}, "user"),
        ({"user": "-oProxyCommand=x"}, "user"),
        ({"user": "a\nb"}, "user"),
        ({"user": ""}, "user"),
        ({"host_key": "ssh-ed25519 AAAA"}, "host_key"),
        ({"host_key": f"{HOST_KEY}\n* {HOST_KEY}"}, "host_key"),
        ({"addresses_from": {"nowhere": "10.0.0.1:22"}}, "addresses_from.nowhere"),
        ({"addresses_from": {"sin": "10.0.0.1"}}, "addresses_from.sin"),
        ({"risk": -0.1}, "risk"),
        ({"risk": float("nan")}, "risk"),
        ({"risk_groups": "acme"}, "risk_groups"),
        ({"risk_groups": {"acme": 1}}, "risk_groups"),
        ({"risk_groups": [""]}, "risk_groups"),
        ({"risk_groups": ["a\u202eb"]}, "risk_groups"),
        ({"risk_groups": [f"group-{number}" for number in range(17)]}, "risk_groups"),
    ],
)
def test_a_relay_that_could_mislead_ssh_is_refused(sites: Store, changes: dict[str, Any], field: str) -> None:
    """No text that is not a plain name, host, user or key gets in, and the error names the field."""
    with pytest.raises(CatalogError) as refused:
        add_relay(sites, **changes)
    assert refused.value.field == field
    assert sites.read(lambda tx: rows.where(tx, Relay)) == []
    relay = add_relay(sites)
    if "name" not in changes:
        with pytest.raises(CatalogError) as refused:
            sites.write(lambda tx: network.update_relay(tx, relay.id, changes, 2.0))
        assert refused.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"latitude": 90.1}, "latitude"),
        ({"latitude": float("nan")}, "latitude"),
        ({"longitude": -180.1}, "longitude"),
        ({"name": "a_b"}, "name"),
        ({"region": "a\tb"}, "region"),
    ],
)
def test_a_site_outside_the_world_is_refused(store: Store, changes: dict[str, Any], field: str) -> None:
    """Latitude is in ±90, longitude in ±180, NaN is nowhere, texts are printable."""
    with pytest.raises(InvalidValue) as refused:
        store.write(lambda tx: network.add_site(tx, **{"name": "fra", **changes}, now_s=1.0))
    assert refused.value.field == field


def test_a_site_changes_under_its_version_and_keeps_its_name(sites: Store) -> None:
    """Coordinates may change, at the borders of the world too; the name and unknown fields may not."""
    changed = sites.write(lambda tx: network.update_site(tx, "fra", {"latitude": 90, "longitude": -180}, 2.0, 1))
    assert (changed.latitude, changed.longitude, changed.version) == (90.0, -180.0, 2)
    with pytest.raises(Stale):
        sites.write(lambda tx: network.update_site(tx, "fra", {"region": "eu"}, 3.0, 1))
    for name in ("name", "id", "version"):
        with pytest.raises(InvalidValue, match="cannot be set"):
            sites.write(lambda tx, name=name: network.update_site(tx, "fra", {name: "x"}, 3.0))  # type: ignore[misc]


def test_a_relay_moves_and_is_disabled(sites: Store) -> None:
    """Site, port and enabled can change; a disabled relay stays declared."""
    add_relay(sites)
    moved = sites.write(lambda tx: network.update_relay(tx, "fra-1", {"site": "sin", "port": 2222}, 2.0))
    assert moved.site_id == sites.read(lambda tx: rows.by_name_or_id(tx, Site, "sin")).id
    disabled = sites.write(lambda tx: network.enable_relay(tx, "fra-1", enabled=False, now_s=3.0))
    assert (disabled.enabled, disabled.port, disabled.version) == (False, 2222, 3)


def test_a_relay_leaves_its_groups_and_keeps_its_risk(sites: Store) -> None:
    """Sixteen words are allowed; an empty list takes them all away and leaves the risk alone."""
    words = [f"group-{number}" for number in range(16)]
    assert add_relay(sites, risk=1.5, risk_groups=words).risk_groups == words
    left = sites.write(lambda tx: network.update_relay(tx, "fra-1", {"risk_groups": []}, 2.0))
    assert (left.risk, left.risk_groups) == (1.5, [])


def test_a_site_with_something_at_it_stays(sites: Store) -> None:
    """A site with a relay or a link cannot be removed; without them it can."""
    add_relay(sites)
    link = sites.write(lambda tx: network.add_link(tx, source="sin", target="ams", now_s=1.0))
    for name in ("fra", "sin", "ams"):
        with pytest.raises(WrongState, match="still in use"):
            sites.write(lambda tx, name=name: network.remove_site(tx, name))  # type: ignore[misc]
    sites.write(lambda tx: network.remove_link(tx, link.id))
    sites.write(lambda tx: network.remove_site(tx, "sin"))
    assert {site.name for site in sites.read(lambda tx: rows.where(tx, Site))} == {"fra", "ams"}


def test_a_relay_in_use_stays(sites: Store) -> None:
    """A relay on the route of a connection cannot be removed; one whose name is only a part of the hop's can."""
    add_relay(sites)
    add_relay(sites, name="fra", host="other.example")
    connection = add_connection(sites, add_platform(sites).id)

    def route(tx: Tx) -> None:
        connections.move(tx, connection, ConnectionEvent.BEGIN, 2.0)
        connections.move(tx, connection, ConnectionEvent.ROUTED, 3.0, route="sin-1>fra-1")

    sites.write(route)
    with pytest.raises(WrongState, match=connection):
        sites.write(lambda tx: network.remove_relay(tx, "fra-1"))
    sites.write(lambda tx: network.remove_relay(tx, "fra"))
    sites.write(lambda tx: connections.move(tx, connection, ConnectionEvent.CLOSE, 4.0))
    sites.write(lambda tx: network.remove_relay(tx, "fra-1"))
    assert sites.read(lambda tx: rows.where(tx, Relay)) == []


@pytest.mark.parametrize(
    ("held", "wanted", "possible"),
    [
        (("fra", "sin", True), ("fra", "sin", True), False),
        (("fra", "sin", True), ("sin", "fra", True), False),
        (("fra", "sin", True), ("sin", "fra", False), False),
        (("fra", "sin", False), ("sin", "fra", True), False),
        (("fra", "sin", False), ("sin", "fra", False), True),
        (("fra", "sin", True), ("fra", "ams", True), True),
    ],
)
def test_two_sites_are_linked_once_per_direction(
    sites: Store, held: tuple[str, str, bool], wanted: tuple[str, str, bool], *, possible: bool
) -> None:
    """A second link is possible only where it adds a direction that the first does not cover already."""

    def add(source: str, target: str, both_ways: bool) -> SiteLink:  # noqa: FBT001 the table's third column
        return sites.write(
            lambda tx: network.add_link(tx, source=source, target=target, both_ways=both_ways, now_s=1.0)
        )

    add(*held)
    if possible:
        add(*wanted)
    else:
        with pytest.raises(AlreadyExists):
            add(*wanted)


def test_a_link_needs_two_sites_and_sane_facts(sites: Store) -> None:
    """A site is not linked to itself or to nowhere, a price is a finite amount, and a link carries something."""
    for changes in (
        {"target": "fra"},
        {"target": "nowhere"},
        {"price_usd_per_gb": -1.0},
        {"price_usd_per_gb": float("inf")},
        {"capacity_mbps": 0.0},
        {"capacity_mbps": float("nan")},
        {"capacity_mbps": float("inf")},
    ):
        told: dict[str, Any] = {"source": "fra", "target": "sin", **changes}
        with pytest.raises(InvalidValue) as refused:
            sites.write(lambda tx, told=told: network.add_link(tx, **told, now_s=1.0))  # type: ignore[misc]
        assert refused.value.field == next(iter(changes))
    with pytest.raises(NotFound):
        sites.write(lambda tx: network.remove_link(tx, "link_x"))
    link = sites.write(lambda tx: network.add_link(tx, source="fra", target="sin", capacity_mbps=940, now_s=1.0))
    assert (link.capacity_mbps, link.price_usd_per_gb) == (940.0, None)


def test_weights_are_put_in_force_whole(store: Store) -> None:
    """None before the first time; then the values given, under a version; unknown, negative and endless are refused."""
    assert store.read(network.weights) is None
    store.write(lambda tx: network.set_weights(tx, {"delay": 1, "risk": 40.5}, 1.0))
    store.write(lambda tx: network.set_weights(tx, {"delay": 2}, 2.0, 1))
    with pytest.raises(Stale):
        store.write(lambda tx: network.set_weights(tx, {"delay": 3}, 3.0, 1))
    for bad in ({"speed": 1.0}, {"delay": -1.0}, {"loss": float("nan")}):
        with pytest.raises(InvalidValue) as refused:
            store.write(lambda tx, bad=bad: network.set_weights(tx, bad, 4.0))  # type: ignore[misc]
        assert refused.value.field == next(iter(bad))
    kept = store.read(network.weights)
    assert kept is not None
    assert (kept.values, kept.version) == ({"delay": 2.0}, 2)
