"""``crossway webhook`` against the real API over a real database."""

import json
from pathlib import Path

from tests.gateway.cli.conftest import Crossway
from tests.support.served_api import served_api


def test_a_receiver_is_added_looked_after_and_removed(crossway: Crossway, tmp_path: Path) -> None:
    """Each verb does what it says; the secret is shown by add and rotate alone."""
    with served_api(tmp_path) as api:
        environment = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens["tenant"], "CROSSWAY_OUTPUT": "json"}

        def run(*words: str, code: int = 0) -> str:
            result = crossway("webhook", *words, **environment)
            assert result.exit_code == code, result.stderr
            return result.stdout + (result.stderr if words[0] == "replay" else "")

        made = json.loads(run("add", "https://hooks.example.net/x", "--kind", "order"))
        assert made["signing_secret"].startswith("whsec_")
        assert [each["id"] for each in json.loads(run("list"))] == [made["id"]]
        assert "signing_secret" not in json.loads(run("show", made["id"]))
        assert json.loads(run("rotate", made["id"]))["signing_secret"] != made["signing_secret"]
        assert "0 deliveries" in run("replay", made["id"], "--since", "0")
        assert json.loads(run("deliveries", made["id"])) == []
        run("enable", made["id"], code=4)
        run("remove", made["id"])
        run("show", made["id"], code=3)
