"""``crossway events`` and ``crossway audit`` against the real API over a real database."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.gateway.cli.conftest import Crossway
from tests.support.served_api import ServedApi, served_api

Run = Callable[..., Any]
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """Serve a freshly seeded API."""
    with served_api(tmp_path) as served:
        yield served


@pytest.fixture
def run(api: ServedApi, crossway: Crossway) -> Run:
    """Return a function that runs a command and returns what it printed."""

    def run(*words: str, role: str = "admin", code: int = 0, output: str = "json") -> str:
        environment = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens[role], "CROSSWAY_OUTPUT": output}
        result = crossway(*words, **environment)
        assert result.exit_code == code, result.stderr
        return result.stdout

    return run


def test_events_are_listed_and_watched(run: Run, api: ServedApi) -> None:
    """The list is one JSON document; --watch prints one line an event, from --since on; a tenant sees its own."""
    listed = json.loads(run("events", "--kind", "order"))
    assert listed[0]["kind"] == "order.placed"
    lines = run("events", "--watch", "--since", "0", "--limit", "3").splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]
    assert json.loads(run("events", role="rival")) == []
    table = run("events", "--subject", api.ids["order"], output="table").splitlines()
    assert table[0].split() == ["SEQ", "AT", "KIND", "SUBJECT", "DATA"]
    assert "order.placed" in table[1]
    run("events", "--since", "100000", code=2)
