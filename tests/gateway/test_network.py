"""The declared network as routing sees it: what is enabled and approved, with the addresses that apply."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog import network as declared
from catalog.errors import InvalidValue, NotFound, WrongState
from catalog.model.platform import Endpoint, EndpointState, Purpose
from catalog.ports import Address
from catalog.store import rows
from gateway.network import GATEWAY_NODE, parse_address, snapshot
from routing import topology
from tests.support.connecting import Connecting, connecting
from tests.support.stores import HOST_KEY


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Connecting]:
    """Return a network of sites gw and bom, linked, with platform mumbai at bom."""
    with connecting(tmp_path) as made:
        yield made


def test_every_row_has_its_place(world: Connecting) -> None:
    """Relays with pin and user, links with price, overrides by site; a disabled relay is not there at all."""

    def declare(tx: Any) -> None:
        now_s = world.store.now_s
        declared.add_site(tx, name="fra", region="eu", latitude=50.1, longitude=8.7, now_s=now_s)
        facts = {"site": "fra", "host": "192.0.2.1", "user": "cw", "host_key": HOST_KEY, "now_s": now_s}
        declared.add_relay(tx, name="fra-1", port=2222, addresses_from={"gw": "198.51.100.1:22"}, **facts)
        declared.add_relay(tx, name="fra-2", enabled=False, **facts)
        declared.add_link(tx, source="gw", target="fra", price_usd_per_gb=0.08, both_ways=False, now_s=now_s)
        (api,) = rows.where(tx, Endpoint, platform_id=world.platform, purpose=Purpose.API)
        rows.update(tx, api, {"dials_from": {"fra": "203.0.113.5:9443"}}, now_s)

    world.store.write(declare)
    seen = world.store.read(lambda tx: snapshot(tx, world.platform, gateway_site="gw"))
    (relay,) = seen.topology.relays
    assert (relay.name, relay.site, relay.user, relay.host_key) == ("fra-1", "fra", "cw", HOST_KEY)
    assert (relay.latitude, relay.risk_groups) == (50.1, {"fra", "eu"})
    gateway = seen.topology.gateway
    assert (gateway.name, gateway.kind, gateway.site) == (GATEWAY_NODE, topology.NodeKind.GATEWAY, "gw")
    assert seen.topology.dial_address(gateway, relay) == topology.Address("198.51.100.1", 22)
    assert seen.topology.dial_address(gateway, seen.target) == topology.Address("10.0.0.5", 8443)
    assert seen.topology.dial_address(relay, seen.target) == topology.Address("203.0.113.5", 9443)
    link = next(link for link in seen.topology.links if link.target == "fra")
    assert (link.source, link.price_usd_per_gb, link.both_ways) == ("gw", 0.08, False)


def test_an_unapproved_endpoint_is_no_target(world: Connecting) -> None:
    """What no admin approved is never dialled: there is no network towards it, and the message says what to do."""

    def propose(tx: Any) -> None:
        (api,) = rows.where(tx, Endpoint, platform_id=world.platform, purpose=Purpose.API)
        rows.update(tx, api, {"state": EndpointState.PROPOSED}, world.store.now_s)

    world.store.write(propose)
    with pytest.raises(WrongState) as refused:
        world.store.read(lambda tx: snapshot(tx, world.platform, gateway_site="gw"))
    assert "approve-endpoint" in str(refused.value.fix)


def test_an_undeclared_gateway_site_is_named(world: Connecting) -> None:
    """A gateway at a site that nobody declared has no network; the setting is named."""
    with pytest.raises(NotFound) as refused:
        world.store.read(lambda tx: snapshot(tx, world.platform, gateway_site="atlantis"))
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
