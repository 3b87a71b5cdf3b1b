"""gateway.cli.picture.page: one document that needs nothing else and is the same every time."""

import copy
from xml.etree import ElementTree as ET

from gateway.cli.picture.journey import Journey
from gateway.cli.picture.page import picture
from tests.support.network_status import decision, network

JOURNEY = Journey(
    title="a to vault",
    target="vault",
    route="fra-1",
    decisions=[decision(0, "direct", "first"), decision(60, "fra-1", "moved", standby="tok-1")],
)
SVG = "{http://www.w3.org/2000/svg}"


def test_equal_input_gives_equal_text() -> None:
    """Byte for byte, and the input is left as it was."""
    told = network()
    before = copy.deepcopy(told)
    assert picture(told, [JOURNEY]) == picture(copy.deepcopy(told), [JOURNEY])
    assert told == before


def test_the_document_stands_alone() -> None:
    """It is XML, refers to nothing outside, runs nothing, and everything is inside its view."""
    text = picture(network(), [JOURNEY])
    root = ET.fromstring(text.encode())
    assert text.count("http") == 1  # the name space
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        *("svg", "title", "rect", "line", "path", "circle", "text"),
    }
    width, height = (float(each) for each in root.attrib["viewBox"].split()[2:])
    for each in root.iter(f"{SVG}text"):
        assert 0 <= float(each.attrib["x"]) <= width
        assert 0 <= float(each.attrib["y"]) <= height


def test_the_head_counts() -> None:
    """Four sites, three relays, three links, one of them dead, 120 packets, three changes; one change is singular."""
    told = network()
    counts = "4 sites, 3 relays, 3 links measured, 1 of them dead; 120 probe packets, 3 route changes"
    assert counts in picture(told, [])
    told["changes"] = {"moved": 1}
    assert "1 route change<" in picture(told, [])


def test_a_name_from_outside_is_only_a_name() -> None:
    """Markup and control characters in names of sites, relays and connections end up as words."""
    told = network()
    told["sites"][3]["name"] = told["platforms"][0]["site"] = "<b>&\x1b[31m"
    root = ET.fromstring(picture(told, [Journey(title="<i>", target="vault", route="")]).encode())
    words = {each.text for each in root.iter(f"{SVG}text")}
    assert "<b>&\\u001b[31m" in words
    assert "<i>: no route in use" in words


def test_every_connection_has_its_history_below() -> None:
    """Two connections make the picture higher by two charts; none overlaps the other."""
    heights = [
        float(ET.fromstring(picture(network(), [JOURNEY] * count).encode()).attrib["height"]) for count in range(3)
    ]
    assert heights[2] - heights[1] == heights[1] - heights[0] > 100
