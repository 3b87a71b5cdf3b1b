"""``crossway machine rebuild|resize|rename|console`` against the real API over a real database."""

from catalog.errors import CloudRefused
from tests.gateway.cli.conftest import Run
from tests.support.served_api import ServedApi


def test_a_tenant_changes_its_machine(run: Run, api: ServedApi) -> None:
    """Rebuilt from its own image or another, resized by a name, renamed; a console goes to stdout as it is."""
    run, machine = run.by("tenant", "machine"), api.ids["machine"]
    assert run("rebuild", machine, "--yes")[0]["image"] == "i1"
    assert run("rebuild", machine, "--image", "debian-12", "--yes")[0]["image"] == "i1"
    assert run("resize", machine, "--size", "small")[0]["size"] == "s1"
    assert run("rename", machine, "web")["name"].startswith("web-")
    assert [deed for deed, *_ in api.world.changes.asked] == ["rebuild", "rebuild", "resize", "rename"]
    assert run("console", machine)["text"].endswith("login:")
    assert run.text("console", machine).endswith("booted\nlogin:\n")


def test_what_is_wrong_is_told_by_the_exit_code(run: Run, api: ServedApi) -> None:
    """A size that is not there, a machine of somebody else, a cloud that cannot: 2, 3 and 1, in words."""
    run, machine = run.by("tenant", "machine"), api.ids["machine"]
    assert "the platform has no size 'huge'" in run.text("resize", machine, "--size", "huge", code=2)
    run("rename", machine, "web", role="rival", code=3)
    api.world.cloud_errors.append(CloudRefused("a machine keeps its size", fix="order another"))
    assert "a machine keeps its size" in run.text("resize", machine, "--size", "small", code=1)
