"""What operators see of the network: every measured link, what probing sent and refused, and route changes."""

import logging

import pytest

from gateway.connections.links import LinkBook
from gateway.connections.network_watch import NetworkWatch
from gateway.network import Snapshot
from gateway.telemetry import Metrics, RoutingMetrics
from routing.probe.budget import BudgetPolicy, ProbeBudget
from routing.probe.summary import LinkMeasurement
from routing.topology import Address, Node, NodeKind, Topology
from tests.support.clocks import ManualClock

LONDON, MUMBAI = (51.5, -0.1), (19.1, 72.9)


def node(name: str, kind: NodeKind, place: tuple[float, float]) -> Node:
    """Return a node at ``place``."""
    return Node(name=name, kind=kind, site=name, address=Address(name, 22), latitude=place[0], longitude=place[1])


NETWORK = Snapshot(
    topology=Topology(
        gateway=node("gateway", NodeKind.GATEWAY, LONDON), relays=(node("relay", NodeKind.RELAY, MUMBAI),), links=()
    ),
    target=node("platform/x", NodeKind.TARGET, MUMBAI),
)


class Watched:
    """A link book under watch."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.links = LinkBook()
        self.metrics = Metrics()
        budget = ProbeBudget(BudgetPolicy(packets_per_s=7.0))
        self.watch = NetworkWatch(self.links, budget, RoutingMetrics(self.metrics), self.clock)

    def measured(self, *samples_ms: float | None, method: str = "icmp") -> None:
        """Take in samples of the link from the gateway to the relay."""
        told = LinkMeasurement(
            source="gateway", target="relay", method=method, samples_ms=samples_ms, measured_at_s=self.clock.now_s()
        )
        self.links.add([told], NETWORK)


def test_links_are_told_with_their_age() -> None:
    """Ten seconds after it was measured a link says so; links nobody measured are not told of."""
    watched = Watched()
    watched.links.table.row("relay", "platform/x")
    watched.measured(120.0, None, 121.0)
    watched.clock.advance(10)
    (link,) = watched.watch.links("", 0, 10).links
    assert (link["source"], link["target"], link["method"], link["age_s"]) == ("gateway", "relay", "icmp", 10.0)
    assert link["rtt_ms"] == pytest.approx(120.0, abs=1.5)
    assert link["sent"] == 3


def test_no_link_leads_on_from_a_relay_with_a_wrong_host_key() -> None:
    """Its own links are down from the first such log-in on; those that lead to it are as they were measured."""
    watched = Watched()
    watched.measured(120.0)
    beyond = LinkMeasurement(
        source="relay", target="platform/x", method="relay-connect", samples_ms=(5.0,), measured_at_s=0.0
    )
    watched.links.add([beyond], NETWORK)
    watched.watch.logged_in("relay", "hop-refused")
    assert [each["dead"] for each in watched.watch.links("", 0, 10).links] == [False, False]
    watched.watch.logged_in("relay", "host-key-mismatch")
    told = {each["target"]: (each["dead"], each["note"]) for each in watched.watch.links("", 0, 10).links}
    assert told == {"relay": (False, ""), "platform/x": (True, "host-key-mismatch")}


def test_links_come_in_pages_and_by_node() -> None:
    """Each link comes once, however small the pages; ``near`` leaves those that begin or end there."""
    watched = Watched()
    for name in ("a", "b", "c"):
        watched.links.lost(("gateway", name), watched.clock.now_s(), "refused")
    watched.links.lost(("b", "c"), watched.clock.now_s(), "refused")

    def told(near: str) -> list[tuple[str, str]]:
        seen, row = [], 0
        while row is not None:
            page = watched.watch.links(near, row, 2)
            seen += [(link["source"], link["target"]) for link in page.links]
            row = page.next_row
        return seen

    assert told("") == [("gateway", "a"), ("gateway", "b"), ("gateway", "c"), ("b", "c")]
    assert told("b") == [("gateway", "b"), ("b", "c")]
    assert told("nobody") == []
    document = watched.watch.document()
    assert (document["links_alive"], document["links_dead"]) == (0, 4)


def test_spending_refusals_and_changes_are_counted() -> None:
    """Three packets, one lost; half a millisecond to Mumbai is refused; what a tunnel shows costs nothing."""
    watched = Watched()
    watched.measured(120.0, None, 0.5)
    watched.measured(119.0, method="passive")
    watched.watch.changed("escaped-dead")
    document = watched.watch.document()
    assert (document["probes"]["packets"], document["probes"]["lost"]) == (3, 1)
    assert document["probes"]["refused"] == {"faster-than-light": 1}
    assert document["probes"]["limit_per_s"] == 7.0
    assert document["changes"] == {"escaped-dead": 1}
    exposed = watched.metrics.exposition().decode()
    assert 'crossway_probe_packets_total{source="gateway"} 3.0' in exposed
    assert 'crossway_probe_samples_refused_total{reason="faster-than-light"} 1.0' in exposed
    assert 'crossway_route_changes_total{reason="escaped-dead"} 1.0' in exposed
    assert 'crossway_links{state="alive"} 1.0' in exposed


def test_a_wrong_host_key_is_an_alarm_until_the_right_one_is_back(caplog: pytest.LogCaptureFixture) -> None:
    """Every refused log-in counts; it is logged once, told with its time, and ended by a log-in that stands alone."""
    watched = Watched()
    began_s = watched.clock.now_s()
    with caplog.at_level(logging.INFO):
        watched.watch.logged_in("beta", "")
        for code in ("host-key-mismatch", "hop-timed-out", "host-key-mismatch"):
            watched.watch.logged_in("relay", code)
            watched.clock.advance(5)
        assert watched.watch.document()["host_key_mismatches"] == {"relay": began_s}
        watched.watch.logged_in("relay", "")
    assert watched.watch.document()["host_key_mismatches"] == {}
    assert 'crossway_host_key_mismatches_total{relay="relay"} 2.0' in watched.metrics.exposition().decode()
    assert [(each.levelname, each.message) for each in caplog.records] == [
        ("ERROR", "relay shows another host key"),
        ("INFO", "relay shows the pinned host key again"),
    ]
