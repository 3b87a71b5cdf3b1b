"""The connector's memory: one decision per request id, kept by a file, shared with the command line."""

import sqlite3
from pathlib import Path

import pytest

from catalog.errors import InvalidValue, NotFound, WrongState
from gateway.connector.policy import Policy, Verdict
from gateway.connector.settings import read_settings
from gateway.connector.state import RequestChanged, State
from tests.support.platform_links import GATEWAY, request, write_config

NARROW = '[policy.machine]\ndecision = "grant"\nverbs = ["list"]'


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """Machine is granted, image asked, size denied."""
    return read_settings(write_config(tmp_path)).policy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "connector.db"


def test_a_decision_outlives_the_process_and_the_policy(path: Path, policy: Policy, tmp_path: Path) -> None:
    """Another State on the same file, with a narrower policy, repeats the grant; a new request id gets less."""
    first = State(path).settle(request(), policy, 10.0)
    narrow = read_settings(write_config(tmp_path, NARROW)).policy
    again = State(path).settle(request(), narrow, 20.0)
    assert again.granted == first.granted
    assert again.pending == ()  # what still waited follows the new policy
    assert [grant.verbs for grant in State(path).settle(request("grant_2"), narrow, 20.0).granted] == [("list",)]


def test_a_denial_is_kept_too(path: Path, policy: Policy, tmp_path: Path) -> None:
    """What was denied under an id stays denied under it when the policy widens."""
    State(path).settle(request(), read_settings(write_config(tmp_path, NARROW)).policy, 10.0)
    decision = State(path).settle(request(), policy, 20.0)
    assert ([grant.verbs for grant in decision.granted], decision.pending) == ([("list",)], ())


def test_an_id_cannot_be_reused_for_something_else(path: Path, policy: Policy) -> None:
    """The second content of an id is refused and leaves the first decision alone."""
    state = State(path)
    first = state.settle(request(), policy, 10.0)
    with pytest.raises(RequestChanged):
        state.settle(request(machine=("create", "destroy")), policy, 10.0)
    assert state.settle(request(), policy, 10.0).granted == first.granted


def test_pending_lists_what_waits(path: Path, policy: Policy) -> None:
    """Listed are the asked verbs, who asked and when, oldest first; an answer shows until the gateway fetched it."""
    state = State(path)
    state.settle(request("grant_2"), policy, 20.0)
    state.settle(request("grant_1"), policy, 10.0)
    assert [
        (item.request_id, item.capability, item.verbs, item.gateway, item.asked_at_s) for item in state.pending()
    ] == [
        ("grant_1", "image", ("list",), GATEWAY, 10.0),
        ("grant_2", "image", ("list",), GATEWAY, 20.0),
    ]
    state.answer(request_id="grant_1", capability="image", verdict=Verdict.GRANT, now_s=30.0)
    assert [item.answered for item in state.pending()] == [Verdict.GRANT, None]
    state.settle(request("grant_1"), policy, 40.0)
    assert [item.request_id for item in state.pending()] == ["grant_2"]


def test_the_owner_may_change_the_answer_until_it_is_fetched(path: Path, policy: Policy) -> None:
    """The last answer before the gateway asks again counts; afterwards it is decided."""
    state = State(path)
    state.settle(request(), policy, 10.0)
    state.answer(request_id="grant_1", capability="image", verdict=Verdict.GRANT, now_s=11.0)
    state.answer(request_id="grant_1", capability="image", verdict=Verdict.DENY, now_s=12.0)
    assert [grant.capability for grant in state.settle(request(), policy, 13.0).granted] == ["machine"]
    with pytest.raises(WrongState, match="already decided"):
        state.answer(request_id="grant_1", capability="image", verdict=Verdict.GRANT, now_s=14.0)


def test_answers_to_what_was_not_asked_are_refused(path: Path, policy: Policy) -> None:
    """An unknown request and a capability that it does not ask for are told apart."""
    state = State(path)
    state.settle(request(), policy, 10.0)
    with pytest.raises(NotFound) as caught:
        state.answer(request_id="grant_9", capability="image", verdict=Verdict.GRANT, now_s=1.0)
    assert caught.value.field == "request"
    with pytest.raises(NotFound) as caught:
        state.answer(request_id="grant_1", capability="volume", verdict=Verdict.GRANT, now_s=1.0)
    assert caught.value.field == "capability"


def test_the_file_is_private(path: Path) -> None:
    """It is created 0600; one that others may read is refused with the command that mends it."""
    State(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(InvalidValue) as caught:
        State(path)
    assert caught.value.fix == f"run: chmod 600 {path}"


def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    """A file that is not SQLite is named, not overwritten."""
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)
    path.chmod(0o600)
    with pytest.raises(InvalidValue, match="not a usable SQLite file"):
        State(path)
    assert path.read_bytes().startswith(b"not a database")


def test_nothing_is_decided_when_it_cannot_be_kept(path: Path, policy: Policy) -> None:
    """While another process holds the file, settle fails; afterwards it decides as if never asked."""
    state = State(path)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError):
            state.settle(request(), policy, 10.0)
        other.execute("ROLLBACK")
    other.close()
    assert state.settle(request(), policy, 50.0).granted[0].expires_at_s == 50.0 + 3600


def test_answers_are_numbered_upwards_also_by_a_file_that_was_lost(path: Path, policy: Policy) -> None:
    """Twice in the same millisecond, with the clock set back, and from a new file later: each number is higher."""
    numbers = [State(path).settle(request(), policy, now_s).serial or 0 for now_s in (10.0, 10.0, 5.0)]
    path.unlink()
    numbers.append(State(path).settle(request(), policy, 11.0).serial or 0)
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 10_000
