"""The declared network as routing sees it: what is enabled and approved, with the addresses that apply."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catalog import network as declared
from catalog.errors import InvalidValue, NotFound, WrongState
from catalog.model.ids import PlatformId
from catalog.model.platform import Endpoint, EndpointState, Purpose
from catalog.ports import Address
from catalog.store import rows
from catalog.store.database import Tx
from gateway.network import GATEWAY_NODE, DeclaredNetwork, parse_address
from routing import topology
from tests.support.stores import HOST_KEY, Store, add_platform, opened_store


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A network of sites gw and bom, linked, with platform mumbai at bom."""

    store: Store
    platform: PlatformId


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return the network."""
    with opened_store(tmp_path) as store:
        platform = add_platform(store)

        def declare(tx: Tx) -> None:
            declared.add_site(tx, name="gw", now_s=store.now_s)
            declared.add_link(tx, source="gw", target="bom", now_s=store.now_s)

        store.write(declare)
        yield World(store=store, platform=platform.id)


def test_every_row_has_its_place(world: World) -> None:
    """Relays with pin, user and shared fate, links with facts, overrides by site; a disabled relay is not there at all.

    What stands at one site falls with it; a region is only a word to ask for.
    """

    def declare(tx: Any) -> None:
        now_s = world.store.now_s
        declared.add_site(tx, name="fra", region="eu", latitude=50.1, longitude=8.7, now_s=now_s)
        facts = {"site": "fra", "host": "192.0.2.1", "user": "cw", "host_key": HOST_KEY, "now_s": now_s}
        fate = {"risk": 1.5, "risk_groups": ["acme", "hall-7"]}
        declared.add_relay(tx, name="fra-1", port=2222, addresses_from={"gw": "198.51.100.1:22"}, **fate, **facts)
        declared.add_relay(tx, name="fra-2", enabled=False, **facts)
        link = {"price_usd_per_gb": 0.08, "capacity_mbps": 940.0, "both_ways": False}
        declared.add_link(tx, source="gw", target="fra", **link, now_s=now_s)
        (api,) = rows.where(tx, Endpoint, platform_id=world.platform, purpose=Purpose.API)
        rows.update(tx, api, {"dials_from": {"fra": "203.0.113.5:9443"}}, now_s)

    world.store.write(declare)
    seen = world.store.read(lambda tx: DeclaredNetwork("gw").towards(tx, world.platform))
    (relay,) = seen.topology.relays
    assert (relay.name, relay.site, relay.user, relay.host_key) == ("fra-1", "fra", "cw", HOST_KEY)
    assert (relay.latitude, relay.risk) == (50.1, 1.5)
    assert relay.risk_groups == {"fra", "acme", "hall-7"}
    assert relay.labels == {"fra", "eu", "acme", "hall-7"}
    gateway = seen.topology.gateway
    assert (gateway.name, gateway.kind, gateway.site) == (GATEWAY_NODE, topology.NodeKind.GATEWAY, "gw")
    assert seen.topology.dial_address(gateway, relay) == topology.Address("198.51.100.1", 22)
    assert seen.topology.dial_address(gateway, seen.target) == topology.Address("10.0.0.5", 8443)
    assert seen.topology.dial_address(relay, seen.target) == topology.Address("203.0.113.5", 9443)
    link = next(link for link in seen.topology.links if link.target == "fra")
    assert (link.source, link.price_usd_per_gb, link.capacity_mbps, link.both_ways) == ("gw", 0.08, 940.0, False)


def test_a_relay_of_which_nobody_said_anything_shares_its_sites_fate(world: World) -> None:
    """No region, group or risk: the site alone is its fate and its label, and no empty word is among them."""
    facts = {"site": "gw", "host": "192.0.2.1", "user": "cw", "host_key": HOST_KEY, "now_s": 1.0}
    world.store.write(lambda tx: declared.add_relay(tx, name="gw-1", **facts))
    (relay,) = world.store.read(lambda tx: DeclaredNetwork("gw").towards(tx, world.platform)).topology.relays
    assert (relay.risk, relay.risk_groups, relay.labels) == (0.0, {"gw"}, {"gw"})


def test_the_network_is_read_again_after_each_change_and_only_then(world: World) -> None:
    """What is added, changed, removed, or removed and added again is seen; in between the topology is one object."""
    network = DeclaredNetwork("gw")
    facts = {"site": "gw", "host": "192.0.2.1", "user": "cw", "host_key": HOST_KEY, "now_s": 1.0}

    def relays() -> set[tuple[str, str]]:
        topology = world.store.read(network.topology)
        assert world.store.read(network.topology) is topology
        return {(relay.name, relay.user) for relay in topology.relays}

    assert relays() == set()
    world.store.write(lambda tx: declared.add_relay(tx, name="gw-1", **facts))
    assert relays() == {("gw-1", "cw")}
    world.store.write(lambda tx: declared.update_relay(tx, "gw-1", {"user": "other"}, 1.0))
    assert relays() == {("gw-1", "other")}

    def replace(tx: Tx) -> None:
        declared.remove_relay(tx, "gw-1")
        declared.add_relay(tx, name="gw-2", **facts)

    world.store.write(replace)
    assert relays() == {("gw-2", "cw")}
    world.store.write(lambda tx: declared.remove_relay(tx, "gw-2"))
    assert relays() == set()


def test_an_unapproved_endpoint_is_no_target(world: World) -> None:
    """What no admin approved is never dialled: there is no network towards it, and the message says what to do."""

    def propose(tx: Any) -> None:
        (api,) = rows.where(tx, Endpoint, platform_id=world.platform, purpose=Purpose.API)
        rows.update(tx, api, {"state": EndpointState.PROPOSED}, world.store.now_s)

    world.store.write(propose)
    with pytest.raises(WrongState) as refused:
        world.store.read(lambda tx: DeclaredNetwork("gw").towards(tx, world.platform))
    assert "approve-endpoint" in str(refused.value.fix)


def test_an_undeclared_gateway_site_is_named(world: World) -> None:
    """A gateway at a site that nobody declared has no network; the setting is named."""
    with pytest.raises(NotFound) as refused:
        world.store.read(lambda tx: DeclaredNetwork("atlantis").towards(tx, world.platform))
    assert "gateway.site" in (refused.value.field or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("10.0.0.5:443", Address(host="10.0.0.5", port=443), id="v4"),
        pytest.param("api.example.org:1", Address(host="api.example.org", port=1), id="name"),
        pytest.param("[2001:db8::1]:22", Address(host="2001:db8::1", port=22), id="v6"),
        pytest.param("10.0.0.5", None, id="no port"),
        pytest.param(":443", None, id="no host"),
        pytest.param("10.0.0.5:https", None, id="no number"),
    ],
)
def test_addresses_are_read(text: str, expected: Address | None) -> None:
    """``host:port`` is an address, anything less is refused."""
    if expected is None:
        with pytest.raises(InvalidValue):
            parse_address(text)
    else:
        assert parse_address(text) == expected
