"""``crossway search`` against the real API over a real database."""

from tests.gateway.cli.conftest import Run
from tests.support.served_api import ServedApi


def test_people_find_save_and_export(run: Run, api: ServedApi) -> None:
    """Words and filters as arguments; the table names the reasons; a saved search is used by its name."""
    run = run.by("tenant")
    table = run.text("search", "find", "small", "os=debian 12", "--facets")
    assert "0.02 EUR/hour" in table
    assert "reachability unknown" in table
    assert "1 of 1, prices in EUR" in table
    assert "kind: size 1" in table
    run("search", "save", "cheap", "kind=size", "sort=price")
    assert "cheap" in run.text("search", "saved")
    document = run.text("search", "export", "--saved", "cheap", "--format", "csv")
    assert document.splitlines()[1].split(",")[5] == "small"
    assert run("search", "export", "--saved", "cheap")[0]["name"] == "small"
    run("search", "forget", "cheap")
    run("search", "find", "--saved", "cheap", code=3)
    run("search", "find", "vcpus=1", code=2)
    told = run.text("search", "find", "limit=1").splitlines()[-1]
    assert told.startswith("1 of ")
    assert not told.startswith("1 of 1,"), "there is more than that"
    run("search", "find", "limit=0", code=2)
    labelled = run("catalog", "label", api.ids["offer-machine"], "tier=gold", role="admin")
    assert labelled["labels"] == {"tier": "gold"}
    assert run.text("search", "find", "label=tier=gold").count("small") == 1
