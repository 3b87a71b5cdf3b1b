"""``crossway provider list`` against the real API."""

from pathlib import Path

from tests.gateway.cli.conftest import Crossway
from tests.support.served_api import served_api


def test_a_person_sees_what_may_be_done_at_each_provider_and_how_that_was_tried(
    crossway: Crossway, tmp_path: Path
) -> None:
    """The level and what it allows stand in one row; of one that only lists, why; of one that is refused, why."""
    with served_api(tmp_path) as api:

        def rows(*words: str) -> dict[str, str]:
            environment = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens["admin"]}
            result = crossway("provider", "list", *words, CROSSWAY_OUTPUT="table", **environment)
            assert result.exit_code == 0, result.stderr
            return {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}

        told = rows()
        for part in ("emulated", "list", "create", "act", "written from its documentation"):
            assert part in told["digitalocean"]
        assert {"MAY", "TRIED", "NOTE"} <= set(told["NAME"].split())
        assert " contract " in told["upcloud"]
        assert "lists only: libcloud's creation takes no mark" in told["upcloud"]
        assert " refused " in told["azure"]
        assert "a certificate file" in told["azure"]
        assert set(rows("--standing", "emulated")) == {"NAME", "cloudstack", "digitalocean", "linode", "vultr"}
