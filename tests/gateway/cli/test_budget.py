"""``crossway budget`` and ``crossway cost`` against the real API over a real database."""

import pytest

from gateway.cli.budget import amount_text
from tests.gateway.cli.conftest import Run


def test_a_budget_is_set_felt_shown_and_removed(run: Run) -> None:
    """An order that would cost too much is refused in words; a member sees its project's budget and costs alone."""
    run("budget", "show", role="tenant", code=3)
    run("budget", "set", "bakery/tenant", "--amount", "1", code=2)
    words = ("--currency", "EUR", "--alert", "0.8", "--alert", "0.5", "--stop-orders", "--unknown-hourly", "0")
    made = run("budget", "set", "bakery/tenant", "--amount", "0.01", *words)
    assert (made["amount"], made["alert_ratios"], made["stops_orders"]) == ("0.01", [0.5, 0.8], True)
    ordering = ("order", "create", "platform", "--size", "small", "--image", "debian-12")
    assert "0.01 EUR" in run(*ordering, role="tenant", code=4)
    run(*ordering, role="rival")
    run("budget", "set", "bakery/tenant", "--amount", "1000000")
    run(*ordering, role="tenant")
    shown = run("budget", "show", role="tenant")
    assert (shown["reference"], shown["version"], shown["is_complete"]) == ("bakery/tenant", 2, True)
    assert run("budget", "set", "bakery/tenant", "--unknown-hourly", "none")["unknown_hourly"] is None

    cost = run("cost", "show", role="tenant")
    assert [each["currency"] for each in cost["costs"]] == ["EUR"]
    assert run("cost", "show", "bakery", "--month", "2020-01")["costs"] == []
    run("cost", "show", "bakery", "--month", "2020-13", code=2)
    run("cost", "show", "bakery", role="rival", code=3)
    assert [each["reference"] for each in run("budget", "list", role="tenant")] == ["bakery/tenant"]
    assert run("budget", "list", role="rival") == []
    run("budget", "set", "bakery/tenant", "--amount", "5", role="tenant", code=5)
    run("budget", "remove", "bakery/tenant", "--yes")
    run("budget", "show", "bakery/tenant", code=3)


@pytest.mark.parametrize(
    ("exact", "text"),
    [
        pytest.param("0.005815653284390767222222222223", "0.0058", id="less than a cent"),
        pytest.param("12.345678901234567890", "12.35", id="to the cent"),
        pytest.param("0", "0", id="nothing"),
        pytest.param("0.00000012345", "0.00000012", id="very little"),
        pytest.param(None, "-", id="none"),
    ],
)
def test_amounts_are_told_as_people_read_them(exact: str | None, text: str) -> None:
    """No table shows thirty digits, and none an exponent."""
    assert amount_text(exact) == text


def test_an_organisations_owner_sets_what_an_admin_left_open(run: Run) -> None:
    """Mara owns the bakery: its project's budget, quota and leases within the bakery's, and not the bakery's own."""
    run("member", "add", "mara@bakery.example", "--org", "bakery")
    run("budget", "set", "bakery", "--amount", "500", "--currency", "EUR", "--stop-machines")
    run("quota", "set", "bakery", "--machines", "9")
    run("lease", "set", "bakery", "--longest", "30d")
    mine = {"role": "user"}
    for setting in (
        ("budget", "set", "{}", "--amount", "{}00", "--currency", "EUR"),
        ("quota", "set", "{}", "--machines", "{}"),
        ("lease", "set", "{}", "--longest", "{}0d"),
    ):

        def words(whose: str, much: str, setting: tuple[str, ...] = setting) -> list[str]:
            said = iter((whose, much))
            return [each.format(next(said)) if "{" in each else each for each in setting]

        run(*words("bakery/tenant", "3"), **mine)
        run(*words("bakery/tenant", "11"), **mine, code=2)
        run(*words("bakery", "2"), **mine, code=5)
        run(*words("foundry/rival", "2"), **mine, code=3)
        run(*words("bakery/tenant", "2"), role="owner", code=5)
    shown = run("budget", "show", "bakery/tenant", role="tenant")
    assert (shown["amount"], shown["stops_machines"]) == ("300", False)
    assert run("budget", "show", "bakery")["stops_machines"] is True
    run("budget", "remove", "bakery/tenant", "--yes", **mine)
