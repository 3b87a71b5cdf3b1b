"""``crossway lease``, ``order create --lease`` and ``machine extend`` against the real API over a real database."""

import pytest

from gateway.cli.durations import limit_of, seconds_of
from gateway.cli.exits import CliError
from tests.gateway.cli.conftest import Run
from tests.support.served_api import ServedApi


def test_leases_are_ruled_asked_for_and_extended(run: Run, api: ServedApi) -> None:
    """An admin sets a longest lease; orders keep to it, a member extends up to it and an admin beyond it."""
    assert run("lease", "show", role="tenant")["version"] == 0
    rule = run("lease", "set", "bakery", "--longest", "2d", "--default", "12h")
    assert (rule["kind"], rule["default_s"], rule["longest_s"]) == ("organisation", 43_200, 172_800)
    assert run("lease", "set", "bakery", "--default", "none")["longest_s"] == 172_800
    run("lease", "set", "bakery", "--default", "3d", code=2)
    run("lease", "set", "bakery", code=2)
    run("lease", "set", "bakery/tenant", "--default", "1h", role="tenant", code=5)
    run("lease", "show", "bakery", role="tenant", code=3)

    ordering = ("order", "create", "platform", "--size", "small", "--image", "debian-12")
    assert run(*ordering, role="tenant")["lease_s"] == 172_800
    assert run(*ordering, "--lease", "90m", role="tenant")["lease_s"] == 5400
    assert "at most 2 days" in run(*ordering, "--lease", "1w", role="tenant", code=2) + run(
        *ordering, "--lease", "49h", role="tenant", code=2
    )

    machine = api.ids["machine"]
    assert run("machine", "show", machine, role="tenant")["lease_ends_at"] is None
    assert "without an end" in run("machine", "extend", machine, "--for", "1h", role="tenant", code=4)
    assert "--give-end" in run("machine", "extend", machine, role="tenant", code=4)
    longest = run("machine", "extend", machine, "--give-end", role="tenant")[0]["lease_ends_at"]
    sooner = run("machine", "extend", machine, "--for", "1h", role="tenant")[0]["lease_ends_at"]
    assert sooner < longest
    run("machine", "extend", machine, "--for", "3d", role="tenant", code=2)
    run("machine", "extend", machine, role="rival", code=3)
    assert run("machine", "extend", machine, "--for", "3d")[0]["lease_ends_at"] > longest
    assert run("machine", "extend", machine)[0]["lease_ends_at"] is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("90", 90.0, id="bare"),
        pytest.param("90s", 90.0, id="seconds"),
        pytest.param("1d12h", 129_600.0, id="two units"),
        pytest.param("2d3h4m5s", 183_845.0, id="all units"),
    ],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    """Days, hours, minutes and seconds, the greatest first."""
    assert seconds_of(text) == limit_of(text) == seconds
    assert limit_of("none") is None


@pytest.mark.parametrize("text", ["", "d", "1w", "-1h", "1.5h", "12h1d", "1 h", "\u0661h"])
def test_what_is_no_length_of_time(text: str) -> None:
    """Anything else is refused before a gateway is asked."""
    with pytest.raises(CliError):
        seconds_of(text)
