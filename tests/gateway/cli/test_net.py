"""gateway.cli.net: the network as tables and as a picture, against the real API."""

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from catalog import connections
from catalog.model.connection import ConnectionEvent
from gateway.cli.net import link_row, site_rows, spending
from tests.gateway.cli.conftest import Run
from tests.support import network_status
from tests.support.served_api import ServedApi, served_api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """Serve an API that believes something of two links."""
    with served_api(tmp_path) as served:
        links = [network_status.link("gateway", "fra-1", 12.5), network_status.link("fra-1", "sin-1", None, dead=True)]
        served.world.believed.update(links=links, changes={"moved": 2})
        yield served


def test_status_as_tables(run: Run) -> None:
    """Sites with their relays, links with estimate, error, loss, age and state, then the counts."""
    sites, links, words = run.result("net", "status").stdout.split("\n\n")
    assert sites.splitlines()[1].split() == ["fra", "-", "-", "-", "fra-1"]
    rows = [line.split() for line in links.splitlines()[1:]]
    assert rows[0] == ["gateway", "fra-1", "12.5", "0.2", "0.5", "1.00", "4.70", "8", "4", "icmp", "alive"]
    assert rows[1] == ["fra-1", "sin-1", "-", "-", "0.5", "100.00", "100.00", "8", "4", "icmp", "dead", "timed-out"]
    assert "route changes: moved 2" in words


def test_status_as_data(run: Run) -> None:
    """The document of the API as it is; for admins only."""
    told = json.loads(run.result("net", "status", "-o", "json").stdout)
    assert [each["target"] for each in told["links"]] == ["fra-1", "sin-1"]
    assert run.result("net", "status", role="tenant").exit_code == 5


def test_spending_in_words() -> None:
    """Packets, the limit, who sent them, what was refused and how often routes changed, in an order that stays."""
    told = network_status.network()
    assert spending(told) == [
        "links: 2 alive, 1 dead",
        "probes: 120 packets, 3 lost, at most 50 a second",
        "sent by: fra-1 20, gateway 100; refused as impossible: faster-than-light 2",
        "route changes: escaped-dead 1, moved 2",
    ]
    nothing = {"packets": 0, "lost": 0, "refused": {}, "limit_per_s": None, "by_source": {}}
    assert spending({**told, "probes": nothing, "changes": {}}) == [  # type: ignore[typeddict-item]
        "links: 2 alive, 1 dead",
        "probes: 0 packets, 0 lost",
        "sent by: none; refused as impossible: none",
        "route changes: none",
    ]


def test_an_alarm_in_words() -> None:
    """A relay with another host key than the pinned one is the last line, with the time since when."""
    told = network_status.network()
    told["relays"].append(network_status.relay("fra-2", "frankfurt", mismatch_since="2027-01-15T08:00:00Z"))
    assert spending(told)[4:] == [
        "ALARM: fra-2 shows another host key than the pinned one, since 2027-01-15T08:00:00Z; nothing goes over it"
    ]


def test_rows_of_what_is_not_known() -> None:
    """A disabled relay stands in brackets; a link that nobody measured is unknown, not dead."""
    told = network_status.network()
    assert [row[-1] for row in site_rows(told)] == ["-", "fra-1", "tok-1, (tok-2)", "-"]
    unknown = {**network_status.link("gateway", "tok-2", None), "age_s": None, "samples": None, "method": ""}
    assert link_row(unknown)[7:11] == ("-", "-", "-", "unknown")  # type: ignore[arg-type]


def establish(api: ServedApi) -> str:
    """Establish the seeded connection over fra-1 and return its id."""
    connection = api.ids["connection"]
    events = (ConnectionEvent.BEGIN, ConnectionEvent.ROUTED, ConnectionEvent.TUNNELLED, ConnectionEvent.ESTABLISH)
    for event in events:
        api.write(lambda tx, event=event: connections.move(tx, connection, event, 2e9, route="fra-1"))
    for now_s, winner in ((1.8e9, "direct"), (1.8e9 + 60, "fra-1")):
        document = {"winner": winner, "candidates": []}
        api.write(lambda tx, s=now_s, told=document: connections.record_decision(tx, connection, told, s))
    return connection


def test_plot_writes_a_picture(run: Run, api: ServedApi, tmp_path: Path) -> None:
    """The file is SVG with the sites and, of the established connection, the route and both routes of its history."""
    establish(api)
    path = tmp_path / "routes.svg"
    result = run.result("net", "plot", "-o", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    words = [each.text for each in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]
    assert {"fra", "sin", "direct", "fra-1"} <= set(words)
    assert "platform to platform: fra-1; standby none" in words


def test_plot_to_stdout_of_a_named_connection(run: Run, api: ServedApi) -> None:
    """With - the picture is the data; whoever is named is drawn, whatever its state; a wrong id is not found."""
    drawn = run.result("net", "plot", "-o", "-", "--connection", api.ids["connection"])
    assert "platform to platform: no route in use" in drawn.stdout
    assert drawn.stdout == run.result("net", "plot", "--output", "-", "--connection", api.ids["connection"]).stdout
    assert run.result("net", "plot", "-o", "-", "--connection", "connection_x").exit_code == 3


def test_a_place_that_cannot_be_written_is_said(run: Run, tmp_path: Path) -> None:
    """A directory that is not there ends with exit code 2 and the path."""
    result = run.result("net", "plot", "-o", str(tmp_path / "nowhere" / "routes.svg"))
    assert result.exit_code == 2
    assert "nowhere" in result.stderr
