"""``crossway quota`` against the real API over a real database."""

from tests.gateway.cli.conftest import Run


def test_a_quota_is_set_shown_and_felt(run: Run) -> None:
    """An admin limits project and organisation; a member sees its own project's and is told why an order is refused."""
    shown = run("quota", "show", role="tenant")
    assert (shown["reference"], shown["version"], shown["machines"]) == ("bakery/tenant", 0, None)
    none = dict.fromkeys(("snapshots", "containers", "zones", "records", "balancers"), 0)
    beside = {"volumes": 1, "volume_gib": 8, **none}
    assert shown["used"] == {"machines": 1, "cores": 1.0, "memory_gib": 0.5, **beside}
    assert run("quota", "set", "bakery/tenant", "--machines", "9", "--cores", "2")["cores"] == 2
    again = run("quota", "set", "bakery/tenant", "--machines", "none")
    assert (again["machines"], again["cores"], again["version"]) == (None, 2, 2)
    assert run("quota", "set", "bakery", "--memory-gib", "1")["kind"] == "organisation"

    ordering = ("order", "create", "platform", "--size", "small", "--image", "debian-12")
    run(*ordering, role="tenant")
    refused = run(*ordering, role="tenant", code=4)
    assert "project bakery/tenant is 2 vCPU at once: 2 are used, 0 are left, 1 are needed" in refused
    run("quota", "set", "bakery/tenant", "--cores", "99")
    assert "organisation bakery is 1 GiB of memory at once: 1 are used" in run(*ordering, role="tenant", code=4)
    run(*ordering, role="rival")

    assert [each["reference"] for each in run("quota", "list")] == ["bakery", "bakery/tenant"]
    assert [each["reference"] for each in run("quota", "list", role="tenant")] == ["bakery/tenant"]
    run("quota", "show", "bakery/tenant", role="rival", code=3)
    run("quota", "show", "bakery", role="tenant", code=3)
    run("quota", "set", "bakery/tenant", "--cores", "1", role="tenant", code=5)
    run("quota", "set", "bakery/none", "--cores", "1", code=3)
    run("quota", "set", "bakery", "--cores", "-1", code=2)
    run("quota", "set", "bakery", code=2)
    run("quota", "show", code=2)
    events = run("events", role="tenant")
    assert [each["data"]["cores"] for each in events if each["kind"].startswith("quota.")] == [2, 2, 99]
