"""``crossway provider list`` against the real API."""

from tests.gateway.cli.conftest import Run


def test_a_person_sees_what_may_be_done_at_each_provider_and_how_that_was_tried(run: Run) -> None:
    """The level and what it allows stand in one row; of one that only lists, why; of one that is refused, why."""

    def rows(*words: str) -> dict[str, str]:
        told = run.text("provider", "list", *words)
        return {line.split()[0]: line for line in told.splitlines() if line.strip()}

    told = rows()
    for part in ("emulated", "list", "create", "act", "written from its documentation"):
        assert part in told["digitalocean"]
    assert {"MAY", "TRIED", "NOTE"} <= set(told["NAME"].split())
    assert " contract " in told["upcloud"]
    assert "lists only: libcloud's creation takes no mark" in told["upcloud"]
    assert " refused " in told["azure"]
    assert "a certificate file" in told["azure"]
    assert set(rows("--standing", "emulated")) == {"NAME", "cloudstack", "digitalocean", "linode", "vultr"}
