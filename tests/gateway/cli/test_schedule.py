"""``crossway schedule`` against the real API over a real database, and windows as people write them."""

import pytest

from gateway.cli.exits import CliError
from gateway.cli.windows import text_of, window_of
from tests.gateway.cli.conftest import Run
from tests.support.served_api import ServedApi


@pytest.mark.parametrize(
    ("text", "days", "again"),
    [
        pytest.param("weekdays 08:00-18:00", "mon tue wed thu fri", "weekdays 08:00-18:00", id="weekdays"),
        pytest.param("Daily  8:00 - 18:00", "mon tue wed thu fri sat sun", "daily 08:00-18:00", id="daily"),
        pytest.param("sat-mon 22:00-06:00", "mon sat sun", "mon,sat,sun 22:00-06:00", id="a range over the week's end"),
        pytest.param("wed,mon,weekends 0:00-0:00", "mon wed sat sun", "mon,wed,sat,sun 00:00-00:00", id="several"),
        pytest.param("sun,sat 09:00-10:00", "sat sun", "weekends 09:00-10:00", id="a name for what has one"),
    ],
)
def test_a_window_is_read_and_written(text: str, days: str, again: str) -> None:
    """Days in the order of the week, times with two digits."""
    window = window_of(text)
    assert (window["days"], text_of(window)) == (days.split(), again)


@pytest.mark.parametrize("text", ["", "weekdays", "8:00-18:00", "someday 8:00-9:00", "mon-noday 8:00-9:00", "mon 8-9"])
def test_what_is_no_window_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(CliError):
        window_of(text)


def test_machines_and_projects_have_schedules(run: Run, api: ServedApi) -> None:
    """A member schedules a machine, an owner the project; the machine's goes first, and a rival sees neither."""
    run = run.by("tenant", "schedule")
    machine, project = api.ids["machine"], "bakery/tenant"
    run("show", machine, code=3)
    run("set", project, "weekdays 08:00-18:00", code=5)
    run("set", project, "weekdays 08:00-18:00", "--zone", "Europe/Atlantis", role="owner", code=2)
    made = run("set", project, "weekdays 08:00-18:00", "--zone", "Europe/Berlin", role="owner")
    assert (made["project"], made["machine"], made["zone"]) == (api.ids["tenant"], None, "Europe/Berlin")
    assert run("show", machine)["id"] == made["id"]
    own = run("set", machine, "weekdays 07:00-19:00", "sat 10:00-12:00")
    assert [each["start"] for each in own["windows"]] == ["07:00", "10:00"]
    assert own["next_at"] is not None
    assert run("show", machine)["id"] == machine
    table = run.text("list")
    assert "weekdays 07:00-19:00; sat 10:00-12:00" in table
    assert run("list", role="rival") == []
    for words in (("show", machine), ("show", project), ("set", machine, "mon 8:00-9:00"), ("remove", machine)):
        run(*words, role="rival", code=3)
    assert run("exempt", machine)["windows"] == []
    run("remove", machine, "--yes")
    assert run("show", machine)["id"] == made["id"]
    run("remove", project, "--yes", code=5)
    run("remove", project, "--yes", role="owner")
    run("show", project, code=3)
