"""Choosing: wishes narrow, weights are known ones, links are measured once for all, and the why is whole."""

import asyncio

import pytest

from gateway.connections.choosing import NothingAnswers, narrowed
from gateway.network import DeclaredNetwork, Snapshot
from routing.candidates import CandidatePolicy
from routing.errors import HopTimedOut, NoRoute
from routing.ranking import Aim
from routing.steadiness import Hold
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


def test_required_words_add_up() -> None:
    """What the gateway requires and what a connection does are required both."""
    policy = narrowed(CandidatePolicy(require=frozenset({"eu"})), {"require": ["acme"]})
    assert policy.require == {"eu", "acme"}


async def network_of(world: Connecting, platform: str | None = None) -> Snapshot:
    """Return the network towards a platform as it is declared now."""
    return await world.store.database.read(
        lambda tx: DeclaredNetwork("gw").towards(tx, platform or world.platform)  # type: ignore[arg-type]
    )


AIM = Aim()


def test_a_shared_link_is_probed_once(world: Connecting) -> None:
    """Two connections over the same relay measure the way to it together, while what is known is fresh enough."""
    world.add_relay("relay")
    delhi = add_platform(world.store, "delhi").id

    async def run() -> None:
        for platform in (world.platform, delhi):
            await world.chooser.explore(await network_of(world, platform), {}, AIM)
        assert world.probed.count(("gateway", "relay")) == 1
        assert {("relay", "platform/mumbai"), ("relay", "platform/delhi")} <= set(world.probed)

    asyncio.run(run())


def test_the_route_in_use_is_measured_again_when_it_is_old(world: Connecting) -> None:
    """At 10 ms against 25 the relay can do nothing for a while: 11 s later only the route in use is looked at."""
    world.add_relay("relay")

    async def run() -> None:
        network = await network_of(world)
        routes = await world.chooser.explore(network, {}, AIM)
        world.store.clock.advance(11)
        world.probed.clear()
        await world.chooser.explore(network, {}, AIM, in_use=routes[0])
        assert world.probed == [("gateway", "platform/mumbai")]

    asyncio.run(run())


def test_close_rivals_are_measured_until_they_differ(world: Connecting) -> None:
    """Relay and direct route cost the same: more packets go to both, round by round, until a ring is full."""
    world.add_relay("relay")
    world.rtt_ms["gateway", "platform/mumbai"] = 25.0

    async def run() -> None:
        await world.chooser.explore(await network_of(world), {}, AIM)
        for link in (("gateway", "platform/mumbai"), ("gateway", "relay"), ("relay", "platform/mumbai")):
            assert world.probed.count(link) > 1

    asyncio.run(run())


def test_a_network_that_is_silent_may_come_back(world: Connecting) -> None:
    """Routes that do not answer now are another matter than no routes: only the first is worth another try."""
    world.rtt_ms["gateway", "platform/mumbai"] = None

    async def run() -> None:
        network = await network_of(world)
        routes = await world.chooser.explore(network, {}, AIM)
        with pytest.raises(NothingAnswers) as silent:
            world.chooser.choose(network, routes, AIM, wishes={})
        assert (silent.value.retryable, silent.value.code) == (True, "no-route")
        with pytest.raises(NoRoute) as none:
            world.chooser.enumerate(network, {"direct_allowed": False}, AIM)
        assert not none.value.retryable

    asyncio.run(run())


def test_a_dead_relay_leaves_the_candidates_and_comes_back(world: Connecting) -> None:
    """Three losses in a row take its routes off the list; ten seconds later somebody looks, and it is back."""
    world.add_relay("relay")
    world.rtt_ms["gateway", "relay"] = None

    async def run() -> None:
        network = await network_of(world)
        assert [route.id for route in await world.chooser.explore(network, {}, AIM)] == ["direct"]
        world.rtt_ms["gateway", "relay"] = 10.0
        assert [route.id for route in await world.chooser.explore(network, {}, AIM)] == ["direct"]
        world.store.clock.advance(11)
        assert [route.id for route in await world.chooser.explore(network, {}, AIM)] == ["direct", "relay"]

    asyncio.run(run())


def test_a_sample_faster_than_light_is_refused(world: Connecting) -> None:
    """Between London and Mumbai nothing answers within a millisecond: it is counted, and is neither delay nor loss."""
    world.place("gw", 51.5, -0.1)
    world.place("bom", 19.1, 72.9)
    world.rtt_ms["gateway", "platform/mumbai"] = 1.0

    async def run() -> None:
        network = await network_of(world)
        routes = await world.chooser.explore(network, {}, AIM)
        with pytest.raises(NothingAnswers):
            world.chooser.choose(network, routes, AIM, wishes={})
        assert world.chooser.links.gate.refused["faster-than-light"] > 0  # type: ignore[index]
        assert world.chooser.links.page(world.store.now_s, limit=9).links == []

    asyncio.run(run())


def test_a_site_can_be_avoided(world: Connecting) -> None:
    """A wish names relays or sites: every relay of an avoided site is left out."""
    world.add_relay("relay")

    async def run() -> None:
        network = await network_of(world)
        assert [route.id for route in world.chooser.enumerate(network, {}, AIM)] == ["direct", "relay"]
        assert [route.id for route in world.chooser.enumerate(network, {"avoid": ["relay"]}, AIM)] == ["direct"]

    asyncio.run(run())


def test_a_hop_that_failed_is_not_chosen_again_before_it_answers(world: Connecting) -> None:
    """Building over the relay failed: its route leaves the candidates at once, and is back when a probe comes back."""
    world.add_relay("relay")
    world.rtt_ms["gateway", "platform/mumbai"] = 90.0

    async def run() -> None:
        network = await network_of(world)
        relayed = (await world.chooser.explore(network, {}, AIM))[1]
        assert world.chooser.choose(network, [relayed], AIM, wishes={}).preferred == relayed
        world.chooser.unreachable(relayed, HopTimedOut("no connection in time", hop="relay"))
        assert [route.id for route in await world.chooser.explore(network, {}, AIM)] == ["direct"]
        world.store.clock.advance(11)
        assert relayed in await world.chooser.explore(network, {}, AIM)

    asyncio.run(run())


def test_the_dead_are_asked_at_once_when_nobody_else_is_left(world: Connecting) -> None:
    """The only way was down a moment ago: nobody waits ten seconds to look again."""
    direct = ("gateway", "platform/mumbai")
    world.rtt_ms[direct] = None

    async def run() -> None:
        network = await network_of(world)
        await world.chooser.explore(network, {}, AIM)
        world.rtt_ms[direct] = 10.0
        routes = await world.chooser.explore(network, {}, AIM)
        assert world.chooser.choose(network, routes, AIM, wishes={}).preferred.id == "direct"

    asyncio.run(run())


def test_changed_weights_are_not_waited_for(world: Connecting) -> None:
    """The relay is clearly better, and patience would have it wait; at once means at once."""
    world.add_relay("relay")
    world.patience = 100.0
    world.wire()
    world.rtt_ms["gateway", "platform/mumbai"] = 90.0

    async def run() -> None:
        network = await network_of(world)
        routes = await world.chooser.explore(network, {}, AIM)
        hold = Hold(in_use=routes[0], usual_ms=90.0)
        assert world.chooser.choose(network, routes, AIM, wishes={}, hold=hold).preferred.id == "direct"
        assert world.chooser.choose(network, routes, AIM, wishes={}, hold=hold, at_once=True).preferred.id == "relay"

    asyncio.run(run())
