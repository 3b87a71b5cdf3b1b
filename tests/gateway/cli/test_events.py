"""``crossway events`` against the real API over a real database."""

import json

from tests.gateway.cli.conftest import Run
from tests.support.served_api import ServedApi


def test_events_are_listed_and_watched(run: Run, api: ServedApi) -> None:
    """The list is one JSON document; --watch prints one line an event, from --since on; a tenant sees its own."""
    listed = run("events", "--kind", "order")
    assert listed[0]["kind"] == "order.placed"
    lines = run.text("events", "--watch", "--since", "0", "--limit", "3", output="json").splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]
    assert run("events", role="rival") == []
    table = run.text("events", "--subject", api.ids["order"]).splitlines()
    assert table[0].split() == ["SEQ", "AT", "KIND", "SUBJECT", "DATA"]
    assert "order.placed" in table[1]
    run("events", "--since", "100000", code=2)
