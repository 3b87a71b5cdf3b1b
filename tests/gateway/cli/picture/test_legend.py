"""gateway.cli.picture.legend: every colour is explained, and every connection has a line."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from gateway.cli.picture.atlas import SCALE
from gateway.cli.picture.journey import Journey, colour_of
from gateway.cli.picture.legend import drawn, height
from gateway.cli.picture.projection import Frame
from tests.support.network_status import decision


def parts(journeys: Sequence[Journey]) -> list[ET.Element]:
    """Return the legend's elements."""
    frame = Frame(left=0, top=100, width=1000, height=height(journeys))
    return [ET.fromstring(each) for each in drawn(frame, journeys)]


def test_every_colour_of_the_scale_is_explained() -> None:
    """From the fastest to the slowest, each with its limits."""
    found = parts(())
    shades = [each.attrib["stroke"] for each in found if each.tag == "line"]
    assert shades[: len(SCALE)] == [shade for _, shade in SCALE]
    words = [each.text for each in found if each.tag == "text"]
    assert words[1:6] == ["below 25 ms", "25 to 50 ms", "50 to 100 ms", "100 to 200 ms", "200 ms and more"]
    assert {"dead link", "not measured", "route in use", "standby"} <= set(words)


def test_every_connection_says_its_route_and_its_standby() -> None:
    """With a standby, with the reason why there is none, and without a route; each in its colour, inside the frame."""
    alone = decision(0, "direct", "first")
    alone["standby"] = {"route": None, "cost_ms": None, "extra_ms": None, "because": "all pass hall-7"}
    journeys = [
        Journey(title="a to b", target="b", route="fra-1", decisions=[decision(0, "fra-1", "first", standby="tok-1")]),
        Journey(title="c to d", target="d", route="direct", decisions=[alone]),
        Journey(title="e to f", target="f", route=""),
    ]
    found = parts(journeys)
    words = [each.text for each in found if each.tag == "text"]
    assert "a to b: fra-1; standby tok-1" in words
    assert "c to d: direct; standby none, because all pass hall-7" in words
    assert "e to f: no route in use" in words
    shades = [each.attrib["stroke"] for each in found if each.tag == "line"]
    assert shades[-3:] == [colour_of(number) for number in range(3)]
    assert max(float(each.attrib["y"]) for each in found if each.tag == "text") <= 100 + height(journeys)
