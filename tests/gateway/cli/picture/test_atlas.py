"""gateway.cli.picture.atlas: what stands on the map, in which colour, and what is drawn bold."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest

from gateway.cli.picture import atlas
from gateway.cli.picture.atlas import DEAD, UNKNOWN, Curve, colour, drawn, survey
from gateway.cli.picture.journey import Journey, colour_of
from gateway.client.network_status import KnownNetwork
from tests.support.network_status import decision, link, network, relay, site

VIA_FRANKFURT = Journey(
    title="a to vault",
    target="vault",
    route="fra-1",
    decisions=[decision(0, "fra-1", "first", standby="tok-1")],
)


def parts(told: KnownNetwork, journeys: Sequence[Journey] = ()) -> list[ET.Element]:
    """Return the map's elements."""
    places = survey(told, left=0, top=0, width=1000)
    return [ET.fromstring(each) for each in drawn(places, told, journeys)]


def titled(elements: Sequence[ET.Element]) -> dict[str, ET.Element]:
    """Return the elements that say what they are, by that."""
    return {str(each[0].text): each for each in elements if each.tag == "path" and len(each)}


def test_sites_without_coordinates_stand_in_the_strip() -> None:
    """Three sites are on the map; the fourth is below it, where a strip is only when there is need of one."""
    told = network()
    places = survey(told, left=0, top=0, width=1000)
    assert places.strip is not None
    inside = {name for name, (_, y) in places.points.items() if y <= places.frame.bottom}
    assert inside == {"london", "frankfurt", "tokyo"}
    assert places.strip.top < places.points["cellar"][1] < places.strip.bottom == places.bottom
    told["sites"] = told["sites"][:3]
    assert survey(told, left=0, top=0, width=1000).strip is None


def test_a_network_that_is_nowhere_is_drawn() -> None:
    """With no coordinates at all, and with no sites at all, there is a picture."""
    nowhere = network()
    nowhere["sites"] = [site("london"), site("frankfurt")]
    assert {each.text for each in parts(nowhere) if each.tag == "text"} >= {"london", "frankfurt"}
    nowhere["sites"] = []
    assert parts(nowhere)


@pytest.mark.parametrize(
    ("rtt_ms", "dead", "shade"),
    [
        (0.0, False, "#2166ac"),
        (24.99, False, "#2166ac"),
        (25.0, False, "#4aa5c8"),
        (199.9, False, "#f0a830"),
        (200.0, False, "#d64545"),
        (1e6, False, "#d64545"),
        (None, False, UNKNOWN),
        (10.0, True, DEAD),
    ],
)
def test_a_link_has_the_colour_of_its_round_trip(rtt_ms: float | None, shade: str, *, dead: bool) -> None:
    """The limits belong to the slower side; the dead are grey whatever they were."""
    assert colour(link("a", "b", rtt_ms, dead=dead)) == shade


def test_a_dead_link_is_dashed_and_a_living_one_is_not() -> None:
    """Each link says what it is; the dead one lies above the others."""
    found = titled(parts(network()))
    assert list(found)[-1] == "gateway to tok-1: dead timed-out"
    assert "stroke-dasharray" in found["gateway to tok-1: dead timed-out"].attrib
    assert "stroke-dasharray" not in found["gateway to fra-1: 12.5 ms, loss 1.00 %"].attrib


def test_of_links_between_two_sites_the_fastest_is_drawn_and_a_dead_one_too() -> None:
    """Two relays at one site: one line of 10 ms, and one more because the third is dead; the way back is its own."""
    told = network()
    told["relays"] += [relay("fra-2", "frankfurt"), relay("fra-3", "frankfurt")]
    told["links"] = [
        link("gateway", "fra-1", 12.5),
        link("gateway", "fra-2", 10.0),
        link("gateway", "fra-3", None, dead=True),
        link("fra-1", "gateway", 12.0),
        link("fra-1", "fra-2", 0.2),  # within one site there is nothing to draw
        link("gateway", "forgotten-1", 1.0),  # nor for a relay that is not declared any more
    ]
    assert list(titled(parts(told))) == [
        "fra-1 to gateway: 12.0 ms, loss 1.00 %",
        "gateway to fra-2: 10.0 ms, loss 1.00 %",
        "gateway to fra-3: dead timed-out",
    ]


def test_the_route_is_bold_and_its_standby_dotted() -> None:
    """From London over Frankfurt to the cellar in one colour; the standby over Tokyo in the same, with dots."""
    places = survey(network(), left=0, top=0, width=1000)
    found = titled(parts(network(), [VIA_FRANKFURT]))
    route, standby = found["a to vault: route fra-1"], found["a to vault: standby tok-1"]
    assert route.attrib["stroke"] == standby.attrib["stroke"] == colour_of(0)
    assert route.attrib["d"].count("M") == 2
    x, y = places.points["london"]
    assert route.attrib["d"].startswith(f"M{x:.1f} {y:.1f}")
    assert ("stroke-dasharray" in route.attrib, "stroke-dasharray" in standby.attrib) == (False, True)


def test_a_direct_route_is_one_leg() -> None:
    """Straight to the target's site; a connection without a route draws nothing."""
    direct = Journey(title="a to vault", target="vault", route="direct")
    assert titled(parts(network(), [direct]))["a to vault: route direct"].attrib["d"].count("M") == 1
    idle = Journey(title="a to vault", target="vault", route="")
    assert titled(parts(network(), [idle])).keys() == titled(parts(network())).keys()


def test_sites_say_who_is_there() -> None:
    """Under a site's name stand the gateway, platforms and relays; four or more are counted."""
    told = network()
    told["relays"] += [relay(f"fra-{number}", "frankfurt") for number in (2, 3, 4)]
    words = [each.text for each in parts(told) if each.tag == "text"]
    assert {"gateway", "vault", "tok-1", "tok-2 (disabled)", "fra-1", "fra-2", "and 2 more"} <= set(words)
    assert "fra-3" not in words


def test_of_very_many_sites_only_those_that_matter_are_named() -> None:
    """121 sites: the gateway's, the platform's and those on the route have names, the others only marks."""
    told = network()
    told["sites"] += [site(f"town-{number}", number / 4, number) for number in range(117)]
    words = {each.text for each in parts(told, [VIA_FRANKFURT]) if each.tag == "text"}
    assert {"london", "frankfurt", "tokyo", "cellar"} <= words
    assert not any(str(each).startswith("town") for each in words)
    told["sites"].pop()
    assert "town-0" in {each.text for each in parts(told) if each.tag == "text"}


def test_both_directions_bow_to_their_own_right() -> None:
    """East and west between the same points: one line lies below the straight one, the other above; both meet it."""
    east = Curve.between((0.0, 0.0), (100.0, 0.0), 0.1)
    west = Curve.between((100.0, 0.0), (0.0, 0.0), 0.1)
    assert (east.at(0.5), west.at(0.5)) == ((50.0, 10.0), (50.0, -10.0))
    assert (east.at(0.0), east.at(1.0)) == ((0.0, 0.0), (100.0, 0.0))
    assert Curve.between((0.0, 0.0), (4000.0, 0.0), 0.1).at(0.5)[1] == pytest.approx(atlas._LONG_PX / 10)
