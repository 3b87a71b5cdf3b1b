"""Ten hosts, links that change while everything runs: routes follow when they should, and only then.

Root, network namespaces, real sshd relays and ICMP; one gateway that reviews its routes every two seconds. The best
ways to Mumbai are over London (119 ms with 5 for the relay), over Frankfurt and over both.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from gateway.demo.cities import GATEWAY, RELAYS, rtt_ms
from gateway.demo.estate import Estate
from gateway.demo.story import Report, Story
from tests.support.lab import Lab, require_lab
from tests.support.waiting import wait_until

TARGET = "mumbai"
# A review of this connection alone sends at least three packets over the link in use; the others' reviews send as many.
REVIEW_PACKETS = 9
PATIENCE_S = 240.0


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for what takes several reviews, each of which may wait for packets that were lost."""
    wait_until(holds, what, patience_s=PATIENCE_S)


class Network:
    """The WAN, the gateway's connection over it, and what the gateway says of its route."""

    def __init__(self, story: Story, lab: Lab) -> None:
        self.lab = lab
        self.admin = story.admin
        self.connection = story.connections[TARGET]

    @property
    def route(self) -> str:
        """The route in use."""
        return str(self.admin.connections.get(self.connection)["route"])

    @property
    def last_link(self) -> tuple[str, str]:
        """The hosts at the ends of the route's last link, which carries nothing but this platform's traffic."""
        hops = self.route.split(">")
        return (GATEWAY.site if hops == ["direct"] else f"relay-{hops[-1]}", TARGET)

    def decisions(self) -> list[Mapping[str, Any]]:
        """Return every stored decision, the newest first."""
        return list(self.admin.connections.decisions(self.connection))

    def reasons(self, since: int) -> list[str]:
        """Return why the route changed, oldest first, in the decisions after the first ``since``."""
        fresh = self.decisions()[: len(self.decisions()) - since]
        return [each["reason"] for each in reversed(fresh) if each["reason"] not in {"kept", "first"}]

    def candidates(self) -> list[str]:
        """Return the relays of all candidates now: changed weights are answered by a decision that is stored."""
        seen, hops = len(self.decisions()), self.admin.weights.get()["hops"]
        self.admin.weights.set({"hops": 5.1 if hops == 5.0 else 5.0})
        until(lambda: len(self.decisions()) > seen, "the new weights are answered")
        routes = self.admin.connections.routes(self.connection)["candidates"]
        return sorted({hop for each in routes for hop in each["hops"] if each["cost_ms"] is not None})

    def packets(self) -> int:
        """Return how many probe packets were sent so far."""
        return int(self.admin.network_status()["probes"]["packets"])

    def review(self, times: int) -> None:
        """Wait until the links were measured about so many times more."""
        enough = self.packets() + times * REVIEW_PACKETS
        until(lambda: self.packets() >= enough, "links are measured again")

    def calm(self) -> None:
        """Put every link into the state of the map, without jitter and loss."""
        hosts = [GATEWAY.site, *(relay.site for relay in RELAYS)]
        pairs = [(a, b) for place, a in enumerate(hosts) for b in (*hosts[place + 1 :], TARGET)]
        for a, b in pairs:
            self.lab.set_link(a, b, delay_ms=rtt_ms(a, b) / 2, jitter_ms=0.0, loss_ratio=0.0)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The demo's world after its story, calmed down."""
    require_lab()
    lab = Lab(seed=5)
    with Estate(wan=lab, directory=tmp_path_factory.mktemp("estate")) as estate:
        story = Story(estate=estate, report=Report(), tell=lambda _name, _seen: None)
        story.run()
        found = Network(story, lab)
        found.calm()
        yield found


def test_delay_alone_is_fled_and_a_recovered_route_waits(network: Network) -> None:
    """A last link that gets 200 ms slower is left at once; well again, it is returned to only as clearly better."""
    network.review(times=8)
    before, since = network.route, len(network.decisions())
    network.lab.set_link(*network.last_link, delay_ms=300.0)
    until(lambda: network.route != before, "the slow link is left")
    assert network.reasons(since)[0] in {"escaped-worse", "moved"}
    network.calm()
    network.review(times=8)
    # At most back, and that as a move that was waited for.
    assert network.reasons(since)[1:] in ([], ["moved"])


def test_loss_in_one_direction_alone_is_fled(network: Network) -> None:
    """Packets lost on one way only: the round trip suffers all the same, and the link is left."""
    network.calm()
    network.review(times=4)
    before = network.route
    near, far = network.last_link
    network.lab.set_link(far, near, oneway=True, loss_ratio=0.6)
    until(lambda: network.route != before, "the lossy link is left")


def test_jitter_alone_moves_nothing_back_and_forth(network: Network) -> None:
    """With 20 ms of jitter on every way to the platform the route changes at most once in a dozen reviews."""
    network.calm()
    network.review(times=6)
    for near in (GATEWAY.site, *(relay.site for relay in RELAYS)):
        network.lab.set_link(near, TARGET, jitter_ms=20.0)
    since = len(network.decisions())
    network.review(times=12)
    assert len(network.reasons(since)) <= 1


@pytest.mark.timeout(600)  # twice the patience, for a machine that does much else
def test_a_dead_relay_leaves_the_candidates_and_comes_back(network: Network) -> None:
    """London, in use or the nearest rival, is cut off: it is on no candidate any more; healed, it is again."""
    network.calm()
    network.review(times=4)
    assert "london" in network.candidates()
    network.lab.cut_host("relay-london")
    try:
        until(lambda: "london" not in network.candidates(), "the dead relay is no candidate")
    finally:
        network.lab.heal_host("relay-london")
    until(lambda: "london" in network.candidates(), "the relay is a candidate again")
