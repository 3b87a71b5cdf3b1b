"""Choosing: wishes narrow, weights are known ones, links are measured once for all, and the why is whole."""

import asyncio

import pytest

from catalog.errors import InvalidValue
from gateway.connections.choosing import NothingAnswers, explained, narrowed, weighted
from gateway.network import Snapshot, snapshot
from routing.candidates import CandidatePolicy
from routing.errors import NoRoute
from routing.ranking import Weights
from tests.support.connecting import Connecting
from tests.support.stores import add_platform

LIMITS = CandidatePolicy(direct_allowed=False, relay_limit=2, candidate_limit=5, avoid=frozenset({"old"}))


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        pytest.param({}, (False, 2, 5, {"old"}), id="none"),
        pytest.param({"direct_allowed": True}, (False, 2, 5, {"old"}), id="direct is not for the asking"),
        pytest.param({"relay_limit": 4, "candidate_limit": 64}, (False, 2, 5, {"old"}), id="more is no more"),
        pytest.param({"relay_limit": 1, "candidate_limit": 3}, (False, 1, 3, {"old"}), id="less is less"),
        pytest.param({"avoid": ["risky"]}, (False, 2, 5, {"old", "risky"}), id="avoided besides"),
    ],
)
def test_wishes_only_narrow(wishes: dict[str, object], expected: tuple[object, ...]) -> None:
    """Whatever a connection wishes, it gets no route that the gateway's own policy rules out."""
    policy = narrowed(LIMITS, wishes)
    assert (policy.direct_allowed, policy.relay_limit, policy.candidate_limit, set(policy.avoid)) == expected


def test_a_forbidden_direct_route_stays_forbidden_when_allowed_by_the_gateway() -> None:
    """A connection may rule out for itself what the gateway allows."""
    assert not narrowed(CandidatePolicy(), {"direct_allowed": False}).direct_allowed


def test_weights_are_changed_in_order_and_by_name() -> None:
    """The connection's own weights outweigh the gateway's; an unknown name is refused with the known ones."""
    assert weighted(Weights(), {"loss": 3.0, "hops": 1.0}, {"loss": 7.0}) == Weights(loss=7.0, hops=1.0)
    with pytest.raises(InvalidValue) as refused:
        weighted(Weights(), {"colour": 1.0})
    assert "jitter" in str(refused.value.fix)


async def network_of(world: Connecting, platform: str | None = None) -> Snapshot:
    """Return the network towards a platform as it is declared now."""
    return await world.store.database.read(
        lambda tx: snapshot(tx, platform or world.platform, gateway_site="gw")  # type: ignore[arg-type]
    )


def test_a_shared_link_is_probed_once(world: Connecting) -> None:
    """Two connections over the same relay measure the way to it together, while what is known is fresh."""
    world.add_relay("relay")
    delhi = add_platform(world.store, "delhi").id

    async def run() -> None:
        for platform in (world.platform, delhi):
            network = await network_of(world, platform)
            await world.chooser.measure(network, world.chooser.enumerate(network, {}))
        assert world.probed.count(("gateway", "relay")) == 1
        assert {("relay", "platform/mumbai"), ("relay", "platform/delhi")} <= set(world.probed)
        world.store.clock.advance(11)
        await world.chooser.measure(network, world.chooser.enumerate(network, {}))
        assert world.probed.count(("gateway", "relay")) == 2

    asyncio.run(run())


def test_a_network_that_is_silent_may_come_back(world: Connecting) -> None:
    """Routes that do not answer now are another matter than no routes: only the first is worth another try."""
    world.rtt_ms["gateway", "platform/mumbai"] = None

    async def run() -> None:
        network = await network_of(world)
        routes = world.chooser.enumerate(network, {})
        await world.chooser.measure(network, routes)
        with pytest.raises(NothingAnswers) as silent:
            world.chooser.choose(network, routes, Weights())
        assert (silent.value.retryable, silent.value.code) == (True, "no-route")
        with pytest.raises(NoRoute) as none:
            world.chooser.enumerate(network, {"direct_allowed": False})
        assert not none.value.retryable

    asyncio.run(run())


def test_a_site_can_be_avoided(world: Connecting) -> None:
    """A wish names relays or sites: every relay of an avoided site is left out."""
    world.add_relay("relay")

    async def run() -> None:
        network = await network_of(world)
        assert [route.id for route in world.chooser.enumerate(network, {})] == ["direct", "relay"]
        assert [route.id for route in world.chooser.enumerate(network, {"avoid": ["relay"]})] == ["direct"]

    asyncio.run(run())


def test_the_why_is_whole(world: Connecting) -> None:
    """Direct takes 10 ms, the relay 10 + 10 and 5 for being one: the document holds it all, and who was refused."""
    world.add_relay("relay")

    async def run() -> None:
        network = await network_of(world)
        routes = world.chooser.enumerate(network, {})
        await world.chooser.measure(network, routes)
        choice = world.chooser.choose(network, routes, Weights())
        assert [route.id for route in choice.in_order()] == ["direct", "relay"]
        refused = [{"route": "direct", "code": "hop-refused", "reason": "nothing listens there"}]
        document = explained(choice, chosen=routes[1], refused=refused)
        assert (document["winner"], document["margin_ms"], document["refused"]) == ("relay", 15.0, refused)
        direct, relayed = document["candidates"]
        assert (direct["cost_ms"], relayed["cost_ms"]) == (10.0, 25.0)
        assert relayed["terms"] == {"delay": 20.0, "hops": 5.0, "jitter": 0.0, "loss": 0.0, "price": 0.0}
        assert [link["source"] for link in relayed["links"]] == ["gateway", "relay"]
        assert document["probe_methods"] == ["connect"]
        assert document["weights"]["hops"] == 5.0

    asyncio.run(run())
