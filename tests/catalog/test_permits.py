"""What relays must be permitted to dial, from the declared network and the approved endpoints."""

import pytest

from catalog import consent, exits, network, permits
from catalog.errors import InvalidValue
from catalog.messages.handshake import Decision, GrantedCapability
from catalog.model.network import Relay, Site
from catalog.model.platform import Endpoint, EndpointState, Purpose
from catalog.permits import ADDRESS_LIMIT, RESTRICTIONS, key_lines
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.stores import HOST_KEY, Store, add_connection, add_platform


@pytest.fixture
def net(store: Store) -> Store:
    """Sites a -> b, b <-> c; relays a1, a2 at a, b1 at b, c1 (switched off) at c."""

    def work(tx: Tx) -> None:
        for name in ("a", "b", "c"):
            network.add_site(tx, name=name, now_s=1.0)
        network.add_link(tx, source="a", target="b", both_ways=False, now_s=1.0)
        network.add_link(tx, source="b", target="c", now_s=1.0)
        for name, port in (("a1", 1), ("a2", 2), ("b1", 3), ("c1", 4)):
            network.add_relay(
                tx,
                name=name, site=name[0], host=f"{name}.example", port=20000 + port, user="u", host_key=HOST_KEY,
                addresses_from={"a": "10.0.0.3:22"} if name == "b1" else None, enabled=name != "c1", now_s=1.0,
            )  # fmt: skip

    store.write(work)
    return store


def permitted(store: Store, name: str) -> list[str]:
    """Return what the relay called ``name`` must be permitted to dial, without the probe's address."""

    def work(tx: Tx) -> list[str]:
        relay = rows.by_name_or_id(tx, Relay, name)
        return permits.permitted_at(tx, rows.by_id(tx, Site, relay.site_id), relay=relay)

    found = store.read(work)
    assert "127.0.0.1:1" in found
    return [each for each in found if each != "127.0.0.1:1"]


def test_the_next_relays_as_dialled_from_there(net: Store) -> None:
    """Neighbours at the site and where links lead, never itself, never against a one-way link, none switched off."""
    assert permitted(net, "a1") == ["10.0.0.3:22", "a2.example:20002"]
    assert permitted(net, "b1") == []


def test_approved_endpoints_of_platforms_next_to_it(net: Store) -> None:
    """An approved endpoint is permitted where its site is in reach; a proposed one nowhere."""
    platform = add_platform(net, site="c")
    approved = {"dial_host": "10.9.9.9", "dial_port": 443, "dials_from": {"c": "10.1.1.1:8443"}}

    def work(tx: Tx) -> None:
        for purpose, state in ((Purpose.API, EndpointState.APPROVED), (Purpose.CONNECTOR, EndpointState.PROPOSED)):
            for known in rows.where(tx, Endpoint, platform_id=platform.id, purpose=purpose):
                rows.delete(tx, known)
            rows.insert(
                tx,
                Endpoint(
                    id=f"endpoint_{purpose}", platform_id=platform.id, purpose=purpose, url="x", state=state, **approved
                ),
                1.0,
            )

    net.write(work)
    assert permitted(net, "b1") == ["10.9.9.9:443"]
    assert permitted(net, "c1") == ["10.1.1.1:8443", "b1.example:20003"]
    assert "10.9.9.9:443" not in permitted(net, "a1")


def test_what_an_admin_adds(net: Store) -> None:
    """Addresses that follow from nothing else stand beside those that do."""
    net.write(lambda tx: network.update_relay(tx, "b1", {"also_permitted": ["10.5.5.5:5432"]}, 2.0))
    assert permitted(net, "b1") == ["10.5.5.5:5432"]


def test_more_than_an_sshd_takes_is_refused(net: Store) -> None:
    """One line holds 4,096 addresses; the error says so before a relay refuses the whole key."""
    many = [f"10.0.{number // 250}.{number % 250}:22" for number in range(ADDRESS_LIMIT)]
    net.write(lambda tx: network.update_relay(tx, "b1", {"also_permitted": many}, 2.0))
    with pytest.raises(InvalidValue, match="4097 addresses"):
        permitted(net, "b1")


def test_a_line_never_stands_without_an_address() -> None:
    """A relay would take it for a key that may forward to everywhere."""
    with pytest.raises(InvalidValue):
        key_lines([], [HOST_KEY])


def test_lines_for_keys_and_for_an_authority() -> None:
    """The options are the same; the authority's line says what it is."""
    plain, certified = key_lines(["127.0.0.1:1", "[fd00::1]:22"], [HOST_KEY, f"cert-authority {HOST_KEY}"])
    options = f'{RESTRICTIONS},permitopen="127.0.0.1:1",permitopen="[fd00::1]:22"'
    assert plain == f"{options} {HOST_KEY}"
    assert certified == f"cert-authority,{options} {HOST_KEY}"


@pytest.mark.parametrize("bad", ['x" ssh-rsa', "a b:1", "*:22", "10.0.0.1:*", "10.0.0.1:22\nssh-ed25519 AAAA"])
def test_nothing_odd_reaches_a_key_file(bad: str) -> None:
    """Addresses and keys pass a grammar before they stand in a line that sshd reads."""
    with pytest.raises(InvalidValue):
        key_lines([bad], [HOST_KEY])
    with pytest.raises(InvalidValue):
        key_lines(["127.0.0.1:1"], [bad])


def test_ports_that_connectors_were_given_at_that_very_relay(net: Store) -> None:
    """What dialled out to a relay is dialled on its loopback; the relay beside it needs none of it."""
    platform = add_platform(net, site="c")

    def work(tx: Tx) -> None:
        exits.approve(tx, platform=platform.name, relay="a1", now_s=1.0)
        exits.announce(tx, platform_id=platform.id, relay="a1", ports={"api": 40_000, "10.0.0.5:22": 40_001}, now_s=1.0)

    net.write(work)
    assert {"127.0.0.1:40000", "127.0.0.1:40001"} <= set(permitted(net, "a1"))
    assert not any(each.startswith("127.") for each in permitted(net, "a2"))


def test_what_platforms_next_to_it_let_others_be_forwarded_to(net: Store) -> None:
    """Names and small networks address by address, as sshd takes them; nothing of a wide one, or once it is revoked."""
    platform = add_platform(net, site="c")
    connection = add_connection(net, platform.id)
    reached = ("db.internal:5432", "10.0.0.4/31:22", "10.0.0.0/16:80")

    def grant(tx: Tx) -> str:
        wanted = {"forward": ("open",)}
        consent.propose(tx, platform_id=platform.id, connection_id=connection, request_id="r", wanted=wanted, now_s=1.0)
        granted = GrantedCapability(capability="forward", verbs=("open",), destinations=reached)
        decision = Decision(request_id="r", granted=(granted,))
        (made,) = consent.record_decision(tx, platform_id=platform.id, decision=decision, now_s=1.0)
        return consent.accept(tx, made.id, 1.0).id

    made = net.write(grant)
    expected = {"db.internal:5432", "10.0.0.4:22", "10.0.0.5:22"}
    assert expected <= set(permitted(net, "b1"))
    assert not any(each.endswith(":80") for each in permitted(net, "b1"))
    assert not expected & set(permitted(net, "a1"))
    net.write(lambda tx: consent.revoke(tx, made, 2.0))
    assert not expected & set(permitted(net, "b1"))
