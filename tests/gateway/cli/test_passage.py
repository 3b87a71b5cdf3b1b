"""``crossway passage`` and ``crossway connect`` against the real API; the stories run whole sessions."""

import json
from pathlib import Path

from tests.gateway.cli.conftest import Crossway
from tests.support.served_api import served_api


def test_passages_are_listed_shown_and_closed(tmp_path: Path, crossway: Crossway) -> None:
    """The owner of the platform sees the passage into it and closes it; another platform does not see it."""
    with served_api(tmp_path) as api:
        mine = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens["platform"], "CROSSWAY_OUTPUT": "json"}
        (listed,) = json.loads(crossway("passage", "list", **mine).stdout)
        assert (listed["purpose"], listed["platform"], listed["ended_at"]) == ("aws", "platform", None)
        assert json.loads(crossway("passage", "calls", listed["id"], **mine).stdout) == []
        other = {**mine, "CROSSWAY_TOKEN": api.tokens["other"]}
        assert json.loads(crossway("passage", "list", **other).stdout) == []
        assert crossway("passage", "close", listed["id"], **other).exit_code == 3
        assert crossway("passage", "close", listed["id"], **mine).exit_code == 0
        shown = json.loads(crossway("passage", "show", listed["id"], **mine).stdout)
        assert shown["end_reason"] == "it was closed"


def test_what_cannot_be_connected_says_why_and_runs_nothing(tmp_path: Path, crossway: Crossway) -> None:
    """A process without passages, a tenant and a unix socket: each has its exit code, and no command is run."""
    touched = tmp_path / "touched"
    command = ("--", "/usr/bin/touch", str(touched))
    with served_api(tmp_path) as api:
        mine = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens["admin"]}
        assert crossway("connect", "platform", *command, **mine).exit_code == 4
        tenant = crossway("connect", "platform", *command, **{**mine, "CROSSWAY_TOKEN": api.tokens["tenant"]})
        assert tenant.exit_code == 5
        socket = crossway("connect", "platform", *command, **{**mine, "CROSSWAY_SERVER": "unix:/run/none.sock"})
        assert (socket.exit_code, "no unix sockets" in socket.stderr) == (2, True)
    assert not touched.exists()
