"""Who called is written down in time, again after trouble, and once more at the end."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from catalog.last_used import LastUsed
from catalog.model.access import Role, Token
from catalog.store import rows
from catalog.store.database import StoreUnavailable
from catalog.tokens import issue_token
from gateway.background.uses import AT_ONCE, use_work
from tests.support.stores import Store, opened_store
from tests.support.waiting import until


def tokens(store: Store, number: int) -> list[str]:
    """Return the ids of so many new tokens."""
    return store.write(
        lambda tx: [issue_token(tx, role=Role.ADMIN, name="x", now_s=store.now_s)[0].id for _ in range(number)]
    )


def used_at(store: Store) -> dict[str, float | None]:
    """Return what the database says of each token."""
    return store.read(lambda tx: {each.id: each.used_at_s for each in rows.where(tx, Token)})


def test_all_uses_are_written_by_one_run(tmp_path: Path) -> None:
    """More than go into one transaction; each with its last use, and the token's version is what it was."""
    with opened_store(tmp_path) as store:
        ids, uses = tokens(store, AT_ONCE + 1), LastUsed()
        for at_s in (5.0, 7.0):
            for each in ids:
                uses.note(each, at_s)
        assert (uses.of(ids[0], 3.0), uses.of("another", 3.0)) == (7.0, 3.0)
        store.run(use_work(store.database, uses).run_once())
        assert used_at(store) == dict.fromkeys(ids, 7.0)
        assert uses.unwritten() == {}
        assert {each.version for each in store.read(lambda tx: rows.where(tx, Token))} == {1}


def test_what_could_not_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds the file nothing is forgotten; of a token the use that came meanwhile counts."""
    monkeypatch.setattr("catalog.store.sqlite.BUSY_TIMEOUT_MS", 1)
    with opened_store(tmp_path) as store:
        [first, second], uses = tokens(store, 2), LastUsed()
        store.database._write_engine.dispose()  # so that the next connection waits one millisecond, not five seconds
        task = use_work(store.database, uses)
        uses.note(first, 5.0)
        uses.note(second, 5.0)
        other = sqlite3.connect(store.path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            store.run(task.run_once())
        uses.note(first, 9.0)
        assert (uses.of(first, None), uses.of(second, None)) == (9.0, 5.0)
        other.rollback()
        other.close()
        store.run(task.run_once())
        assert used_at(store) == {first: 9.0, second: 5.0}


def test_a_use_during_the_writing_is_not_forgotten(tmp_path: Path) -> None:
    """What was noted between the taking and the commit is there for the next run."""
    with opened_store(tmp_path) as store:
        [token], uses = tokens(store, 1), LastUsed()
        uses.note(token, 5.0)

        async def story() -> None:
            database, release = store.database, threading.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(database.write(lambda _tx: release.wait(30)))
                tasks.create_task(use_work(database, uses).run_once())
                await until(database._writer._work_queue.qsize)  # it stands behind the first
                uses.note(token, 6.0)
                release.set()

        store.run(story())
        assert used_at(store) == {token: 5.0}
        assert uses.unwritten() == {token: 6.0}
