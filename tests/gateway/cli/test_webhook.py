"""``crossway webhook`` against the real API over a real database."""

from tests.gateway.cli.conftest import Run


def test_a_receiver_is_added_looked_after_and_removed(run: Run) -> None:
    """Each verb does what it says; the secret is shown by add and rotate alone."""
    run = run.by("tenant", "webhook")
    made = run("add", "https://hooks.example.net/x", "--kind", "order")
    assert made["signing_secret"].startswith("whsec_")
    assert [each["id"] for each in run("list")] == [made["id"]]
    assert "signing_secret" not in run("show", made["id"])
    assert run("rotate", made["id"])["signing_secret"] != made["signing_secret"]
    assert "0 deliveries" in run.text("replay", made["id"], "--since", "0")
    assert run("deliveries", made["id"]) == []
    run("enable", made["id"], code=4)
    run("remove", made["id"])
    run("show", made["id"], code=3)
