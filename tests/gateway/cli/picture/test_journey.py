"""gateway.cli.picture.journey: the nodes of a route, and the standby that belongs to the route in use."""

from gateway.cli.picture.journey import Journey
from gateway.client.decisions import Decision
from tests.support.network_status import decision


def journey(*decisions: Decision, route: str = "fra-1>sin-1") -> Journey:
    """Return a journey to vault."""
    return Journey(title="a to vault", target="vault", route=route, decisions=decisions)


def test_the_nodes_of_a_route() -> None:
    """From the gateway over each relay to the platform, as links name them; no route has none."""
    assert journey().nodes("fra-1>sin-1") == ["gateway", "fra-1", "sin-1", "platform/vault"]
    assert journey().nodes("direct") == ["gateway", "platform/vault"]
    assert journey().nodes("") == []


def test_a_standby_belongs_to_the_route_that_was_decided() -> None:
    """The latest decision's, if it is for the route in use: after a move that failed it would be another's."""
    assert journey(decision(0, "fra-1>sin-1", "first", standby="tok-1")).standby == "tok-1"
    assert journey(decision(0, "direct", "first", standby="tok-1")).standby == ""
    assert journey().standby == ""


def test_why_there_is_no_standby() -> None:
    """As the latest decision says; nothing where it says nothing."""
    told = decision(0, "fra-1>sin-1", "first")
    told["standby"] = {"route": None, "cost_ms": None, "extra_ms": None, "because": "all pass hall-7"}
    assert (journey(told).standby, journey(told).no_standby) == ("", "all pass hall-7")
    assert journey(decision(0, "fra-1>sin-1", "first", standby="tok-1")).no_standby == ""
