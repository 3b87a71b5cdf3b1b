"""Reverse exits: which relay is an admin's word, which ports the connector's, and what the relay then dials instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import exits, network
from catalog.errors import AlreadyExists, CatalogError, Denied, InvalidValue, WrongState
from catalog.model.platform import Endpoint, Platform
from catalog.ports import Address
from catalog.store import rows
from tests.support.stores import HOST_KEY, Store, add_platform, opened_store

NOW_S = 1_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A database with one platform, and relays called one and two."""
    with opened_store(tmp_path) as opened:
        add_platform(opened)
        for name in ("one", "two"):
            opened.write(
                lambda tx, name=name: network.add_relay(
                    tx, name=name, site="bom", host=f"{name}.example", user="r", host_key=HOST_KEY, now_s=NOW_S
                )
            )
        yield opened


def platform(store: Store) -> Platform:
    """Return the platform."""
    found: Platform = store.read(lambda tx: rows.by_name_or_id(tx, Platform, "mumbai"))
    return found


def approve(store: Store, relay: str = "one") -> exits.ReverseExit:
    """Approve ``relay`` for the platform."""
    made: exits.ReverseExit = store.write(lambda tx: exits.approve(tx, platform="mumbai", relay=relay, now_s=NOW_S))
    return made


def announce(store: Store, ports: dict[str, int], relay: str = "one") -> exits.ReverseExit:
    """Announce as the platform's connector does."""
    of = platform(store).id
    told: exits.ReverseExit = store.write(
        lambda tx: exits.announce(tx, platform_id=of, relay=relay, ports=ports, now_s=NOW_S)
    )
    return told


def test_only_an_approved_relay_can_be_announced(store: Store) -> None:
    """A platform's own word never decides where the gateway connects to."""
    approve(store, "one")
    assert announce(store, {"api": 40_000}).ports == {"api": 40_000}
    for relay in ("two", "nowhere"):
        with pytest.raises(Denied):
            announce(store, {"api": 40_000}, relay)


def test_a_relay_is_approved_once(store: Store) -> None:
    """Twice is a mistake; another relay is another exit."""
    approve(store, "one")
    with pytest.raises(AlreadyExists):
        approve(store, "one")
    approve(store, "two")
    of = platform(store).id
    assert set(store.read(lambda tx: exits.at_relays(tx, of))) == {"one", "two"}


@pytest.mark.parametrize(
    "ports",
    [
        pytest.param({"api": 22}, id="a service's port"),
        pytest.param({"api": 0}, id="none"),
        pytest.param({"api": 65_536}, id="beyond the last"),
        pytest.param({"ssh": 40_000}, id="a name that is no address"),
        pytest.param({"10.0.0.5": 40_000}, id="an address without a port"),
        pytest.param({f"10.0.0.5:{port}": 40_000 for port in range(1, exits.PORTS_LIMIT + 2)}, id="too many"),
    ],
)
def test_ports_that_no_forwarding_has_are_refused(store: Store, ports: dict[str, int]) -> None:
    """The refusal names the field, and what was announced before stays."""
    approve(store)
    announce(store, {"api": 40_000})
    with pytest.raises(InvalidValue) as refused:
        announce(store, ports)
    assert str(refused.value.field).startswith("ports")
    assert announce(store, {"api": 40_000}).ports == {"api": 40_000}


def test_the_same_again_changes_nothing_and_another_replaces_all(store: Store) -> None:
    """Versions rise with changes only; what is not announced any more is gone."""
    approve(store)
    first = announce(store, {"api": 40_000, "10.0.0.5:22": 40_001})
    assert announce(store, {"10.0.0.5:22": 40_001, "api": 40_000}).version == first.version
    other = announce(store, {"api": 40_002})
    assert (other.ports, other.version) == ({"api": 40_002}, first.version + 1)


def test_what_the_relay_dials_instead(store: Store) -> None:
    """Endpoints by their purpose and destinations by their address are turned to loopback ports; nothing else is."""
    approve(store)
    held = announce(store, {"api": 40_000, "10.0.0.5:22": 40_001})
    of = platform(store).id
    endpoints = store.read(lambda tx: rows.where(tx, Endpoint, platform_id=of))
    (api,) = [Address(host=each.dial_host, port=each.dial_port) for each in endpoints if each.purpose == "api"]
    assert exits.turned(held, endpoints) == {
        api: Address(host="127.0.0.1", port=40_000),
        Address(host="10.0.0.5", port=22): Address(host="127.0.0.1", port=40_001),
    }
    assert store.read(lambda tx: exits.ports_at(tx, held.relay_id)) == {40_000, 40_001}


def test_without_its_last_exit_a_platform_is_dialled_again(store: Store) -> None:
    """None means the ordinary way; a relay cannot be removed from under an exit."""
    of = platform(store).id
    assert store.read(lambda tx: exits.at_relays(tx, of)) is None
    made = approve(store)
    with pytest.raises(CatalogError) as kept:
        store.write(lambda tx: network.remove_relay(tx, "one"))
    assert isinstance(kept.value, WrongState)
    store.write(lambda tx: exits.remove(tx, made.id))
    assert store.read(lambda tx: exits.at_relays(tx, of)) is None
