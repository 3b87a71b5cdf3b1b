"""``crossway search`` against the real API over a real database."""

import json
from pathlib import Path

from tests.gateway.cli.conftest import Crossway
from tests.support.served_api import served_api


def test_people_find_save_and_export(crossway: Crossway, tmp_path: Path) -> None:
    """Words and filters as arguments; the table names the reasons; a saved search is used by its name."""
    with served_api(tmp_path) as api:

        def run(*words: str, code: int = 0, role: str = "tenant", output: str = "json") -> str:
            environment = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens[role]}
            result = crossway(*words, CROSSWAY_OUTPUT=output, **environment)
            assert result.exit_code == code, result.stderr
            return result.stdout + result.stderr

        table = run("search", "find", "small", "os=debian 12", "--facets", output="table")
        assert "0.02 EUR/hour" in table
        assert "reachability unknown" in table
        assert "1 of 1, prices in EUR" in table
        assert "kind: size 1" in table
        run("search", "save", "cheap", "kind=size", "sort=price")
        assert "cheap" in run("search", "saved")
        document = run("search", "export", "--saved", "cheap", "--format", "csv")
        assert document.splitlines()[1].split(",")[5] == "small"
        assert json.loads(run("search", "export", "--saved", "cheap"))[0]["name"] == "small"
        run("search", "forget", "cheap")
        run("search", "find", "--saved", "cheap", code=3)
        run("search", "find", "vcpus=1", code=2)
        told = run("search", "find", "limit=1", output="table").splitlines()[-1]
        assert told.startswith("1 of ")
        assert not told.startswith("1 of 1,"), "there is more than that"
        run("search", "find", "limit=0", code=2)
        labelled = run("catalog", "label", api.ids["offer-machine"], "tier=gold", role="admin")
        assert json.loads(labelled)["labels"] == {"tier": "gold"}
        assert run("search", "find", "label=tier=gold", output="table").count("small") == 1
