"""The stored why: whole, enough to rank again under other weights, and to decide again bit for bit."""

import asyncio
import json
from typing import Any

import pytest

from catalog.errors import InvalidValue
from gateway.connections.explanation import aimed, decided_again, explained, reranked, weighted
from gateway.network import DeclaredNetwork
from routing.estimate.costs import Weights
from routing.ranking import Aim, Profile
from routing.steadiness import Hold
from tests.support.connecting import Connecting

SHARP = Aim(weights=Weights(jitter=0, loss=0))


def test_weights_are_changed_in_order_and_by_name() -> None:
    """The connection's own weights outweigh the gateway's; an unknown name is refused with the known ones."""
    assert weighted(Weights(), {"loss": 3.0, "hops": 1.0}, {"loss": 7.0}) == Weights(loss=7.0, hops=1.0)
    with pytest.raises(InvalidValue) as refused:
        weighted(Weights(), {"colour": 1.0})
    assert "jitter" in str(refused.value.fix)


def test_a_connection_says_what_it_is_for() -> None:
    """Profile and price limit come from its wishes; without any it is interactive."""
    assert aimed(Weights(), {}) == Aim()
    wishes = {"profile": "bulk", "price_limit_usd_per_gb": 0.05}
    assert aimed(Weights(), wishes) == Aim(profile=Profile.BULK, price_limit_usd_per_gb=0.05)


def as_stored(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the store gives back; whatever JSON has no word for is refused, as the API refuses it."""
    told: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return told


def documented(world: Connecting, hold: Hold | None = None) -> dict[str, Any]:
    """Return the why of a choice between the direct route and one over a relay, as JSON gives it back."""

    async def run() -> dict[str, Any]:
        network = await world.store.database.read(lambda tx: DeclaredNetwork("gw").towards(tx, world.platform))
        routes = await world.chooser.explore(network, {}, SHARP, in_use=hold.in_use if hold else None)
        choice = world.chooser.choose(network, routes, SHARP, wishes={}, hold=hold)
        refused = [{"route": "direct", "code": "hop-refused", "reason": "nothing listens there"}]
        return as_stored(explained(choice, chosen=choice.preferred, refused=refused))

    return asyncio.run(run())


def test_the_why_is_whole(world: Connecting) -> None:
    """Direct takes 10 ms, the relay 10 + 10 and 5 for being one: the document holds it all, and who was refused."""
    world.add_relay("relay")
    document = documented(world)
    direct, relayed = document["candidates"]
    assert (document["winner"], document["reason"], document["before"]) == ("direct", "first", "")
    assert document["refused"][0]["code"] == "hop-refused"
    assert direct["cost_ms"] == pytest.approx(10, abs=0.5)
    assert relayed["cost_ms"] - direct["cost_ms"] == document["margin_ms"] == pytest.approx(15, abs=0.5)
    assert set(relayed["terms"]) == {"delay", "hops", "jitter", "loss", "price", "risk"}
    assert relayed["terms"]["hops"] == 5.0
    assert [link["source"] for link in relayed["links"]] == ["gateway", "relay"]
    assert document["probe_methods"] == ["connect"]
    assert document["weights"]["hops"] == 5.0
    assert document["standby"]["route"] == "relay"
    assert document["standby"]["extra_ms"] == pytest.approx(15, abs=0.5)


def test_no_standby_says_why(world: Connecting) -> None:
    """Without any relay the direct link is all there is."""
    assert documented(world)["standby"] == {"route": None, "because": "the direct link is the only route"}


def test_what_if_ranks_what_was_stored(world: Connecting) -> None:
    """At 22 ms direct and 10 + 10 over the relay, 5 ms a relay keep the direct route first, and 0 ms do not."""
    world.add_relay("relay")
    world.rtt_ms["gateway", "platform/mumbai"] = 22.0
    document = documented(world)
    assert document["winner"] == "direct"
    probed = len(world.probed)
    other = reranked(document, {"hops": 0.0})
    assert (other["winner"], other["weights"]["hops"], other["reason"]) == ("relay", 0.0, "what-if")
    assert document["weights"]["hops"] == 5.0
    assert len(world.probed) == probed
    assert reranked(document, {})["winner"] == "direct"
    assert reranked(document, {}, profile="bulk")["winner"] == "relay"
    with pytest.raises(InvalidValue):
        reranked(document, {"colour": 1.0})


def test_a_decision_can_be_replayed(world: Connecting) -> None:
    """The stored inputs lead to the stored verdict, whatever the connection carried."""
    world.add_relay("relay")
    first = documented(world)
    verdict = decided_again(first)
    assert verdict.route is not None
    assert (verdict.route.id, verdict.reason.value) == (first["winner"], first["reason"])
    world.store.clock.advance(11)
    world.rtt_ms["gateway", "platform/mumbai"] = 90.0
    moved = documented(world, verdict.hold)
    again = decided_again(moved)
    assert again.route is not None
    assert (again.route.id, again.reason.value) == (moved["winner"], moved["reason"]) == ("relay", "escaped-worse")
    assert decided_again(moved) == again


def test_what_was_not_measured_yet_can_be_told(world: Connecting) -> None:
    """A candidate that no probe was left for says so, in words that JSON has, and can be ranked and decided again."""
    world.add_relay("relay")

    async def run() -> None:
        network = await world.store.database.read(lambda tx: DeclaredNetwork("gw").towards(tx, world.platform))
        await world.chooser.explore(network, {"avoid": ["relay"]}, SHARP)
        routes = world.chooser.enumerate(network, {}, SHARP)
        choice = world.chooser.choose(network, routes, SHARP, wishes={})
        document = as_stored(explained(choice, chosen=choice.preferred))
        direct, relayed = document["candidates"]
        assert (relayed["route"], relayed["cost_ms"], relayed["refused"]) == ("relay", None, "not measured yet")
        assert [link["measured_at_s"] for link in relayed["links"]] == [None, None]
        assert decided_again(document).route == choice.preferred
        assert reranked(document, {"hops": 0.0})["winner"] == direct["route"]

    asyncio.run(run())
