"""``crossway machine import``, ``manage``, ``observe`` and ``release`` against the real API over a real database."""

from tests.gateway.cli.conftest import Run


def test_machines_are_imported_entrusted_and_released(run: Run) -> None:
    """Several at once by name or id; observed unless --managed; the platform's list tells whose they are."""
    run = run.by("operator")
    where = ("--platform", "platform", "--project", "bakery/tenant")
    first, second = run("machine", "import", "old-1", "found-2", *where)
    assert (first["custody"], second["custody"]) == ("observed", "observed")
    run("machine", "import", "old-1", *where, code=4)
    run("machine", "stop", first["id"], role="tenant", code=5)
    assert run("machine", "manage", first["id"])[0]["custody"] == "managed"
    assert run("machine", "stop", first["id"], role="tenant")[0]["id"] == first["id"]
    assert run("machine", "observe", first["id"])[0]["custody"] == "observed"
    seen = {each["cloud_id"]: each["custody"] for each in run("platform", "machines", "platform")}
    assert seen == {"found-1": "observed", "found-2": "observed"}
    assert [each["state"] for each in run("machine", "release", first["id"], second["id"])] == ["gone", "gone"]
    told = run.text("machine", "list")
    rows = {line.split()[0]: line.split() for line in told.splitlines()}
    assert ("observed" in rows[first["id"]], "released" in rows[first["id"]]) == (True, True)
    assert "gone" not in rows[first["id"]]
    assert run("machine", "import", "found-1", *where, "--managed")[0]["custody"] == "managed"
