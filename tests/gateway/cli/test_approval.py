"""``crossway approval`` against the real API over a real database."""

from tests.gateway.cli.conftest import Run

ORDER = ("order", "create", "platform", "--size", "small", "--image", "debian-12")


def test_an_order_waits_is_approved_or_denied_and_tells_by_whom(run: Run) -> None:
    """Mara is asked about what costs over 10 EUR a month: her yes begins it, her no ends it; both are explained."""
    adding = ("approval", "rule", "add", "dear", "--by", "mara@bakery.example", "--holder", "bakery/tenant")
    run(*adding, "--over", "10", code=2)
    run(*adding, "--over", "10", "--currency", "EUR", "--needed", "2", code=2)
    assert "organisation" in run(*adding, role="owner", code=5)
    rule = run(*adding, "--over", "10", "--currency", "EUR", "--within", "2h")
    assert (rule["holder"], rule["approvers"], rule["wait_s"]) == ("bakery/tenant", ["mara@bakery.example"], 7200)
    assert rule["id"] in [each["id"] for each in run("approval", "rule", "list", role="tenant")]
    assert run("approval", "rule", "show", rule["id"], role="tenant")["set_by_admin"] is True
    run("approval", "rule", "show", rule["id"], role="rival", code=3)
    assert run("approval", "rule", "list", role="rival") == []

    orders = [run(*ORDER, role="tenant") for _ in range(2)]
    assert [each["state"] for each in orders] == ["awaiting-approval"] * 2
    assert run(*ORDER, role="rival")["state"] == "creating"
    by_order = {each["order"]: each for each in run("approval", "list", role="user")}
    waiting = [by_order[each["id"]] for each in orders]
    assert len(by_order) == len(orders)
    assert waiting[0]["requirements"][0]["needed"] == 1
    assert run("approval", "list", role="rival") == []
    run("approval", "approve", waiting[0]["id"], role="rival", code=3)
    assert "nobody in particular" in run("approval", "approve", waiting[0]["id"], role="tenant", code=5)
    assert "mara@bakery.example" in run("approval", "approve", waiting[0]["id"], code=5)

    # The project's token may be in the hands of any who work there: one above them is needed.
    assert "an order of his own" in run("approval", "approve", waiting[0]["id"], role="user", code=5)
    run("member", "add", "mara@bakery.example", "--org", "bakery")
    [approved] = run("approval", "approve", waiting[0]["id"], "--comment", "for the launch", role="user")
    assert (approved["state"], approved["requirements"][0]["approved_by"]) == ("approved", ["mara@bakery.example"])
    [denied] = run("approval", "deny", waiting[1]["id"], "--comment", "too dear", role="user")
    assert (denied["state"], denied["reason"]) == ("denied", "mara@bakery.example denied it: too dear")
    run("approval", "deny", waiting[1]["id"], role="user", code=4)
    begun, ended = (run("order", "show", each["id"], role="tenant") for each in orders)
    assert (begun["state"], ended["state"], ended["code"]) == ("creating", "failed", "approval-denied")
    explained = run("order", "explain", begun["id"], role="tenant")
    assert [each["comment"] for each in explained["approvals"][0]["votes"]] == ["for the launch"]
    assert "mara@bakery.example approved" in run.text("order", "explain", begun["id"], role="tenant")

    assert run("approval", "list", role="tenant") == []
    shown = run("approval", "list", "--all", "--order", ended["id"], role="tenant")
    assert [each["state"] for each in shown] == ["denied"]
    assert run("approval", "show", approved["id"], role="tenant")["votes"][0]["verdict"] == "approve"
    run("approval", "rule", "remove", rule["id"], "--yes", role="owner", code=5)
    run("approval", "rule", "remove", rule["id"], "--yes")
    assert run(*ORDER, role="tenant")["state"] == "creating"
