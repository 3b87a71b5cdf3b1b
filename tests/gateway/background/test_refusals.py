"""Refusals that repeat each other are written down in time, again after trouble, and once more at the end."""

import sqlite3
from pathlib import Path

import pytest
from sqlmodel import col, select

from catalog.audit import Actor, Deed, Result
from catalog.model.audit import AuditRecord
from catalog.refusals import MINUTE_S, Refusals
from catalog.store.database import StoreUnavailable
from gateway.background.noting import Noted
from gateway.background.refusals import AT_ONCE, NAME, refusal_work
from tests.support.stores import Store, opened_store


def refuse(store: Store, noted: Refusals, number: int, action: str = "act") -> None:
    """Refuse so many alike."""
    deed = Deed(actor=Actor(key="admin"), action=action, subject="m1", result=Result.REFUSED, code="denied")
    for _ in range(number):
        noted.is_repeated(deed, store.now_s)


def told(store: Store) -> list[int]:
    """Return the numbers in the log."""
    return store.read(
        lambda tx: [int(each.data["count"]) for each in tx.exec(select(AuditRecord).order_by(col(AuditRecord.id)))]
    )


def test_they_are_told_of_once_a_minute_and_at_the_end(tmp_path: Path) -> None:
    """Nothing before the minute is over; at the end also what is under way; nothing twice."""
    with opened_store(tmp_path) as store:
        noted = Refusals()
        task = refusal_work(store.database, store.clock, noted)
        refuse(store, noted, 5)
        store.run(task.run_once())
        assert told(store) == []
        store.clock.advance(MINUTE_S)
        store.run(task.run_once())
        assert told(store) == [4]
        refuse(store, noted, 3)
        store.run(task.run_once())
        assert told(store) == [4]
        store.run(task.finish(store.clock))
        store.run(task.finish(store.clock))
        assert told(store) == [4, 3]


def test_many_are_told_of_in_parts(tmp_path: Path) -> None:
    """More than go into one transaction are all told of."""
    with opened_store(tmp_path) as store:
        noted = Refusals()
        for number in range(AT_ONCE + 1):
            refuse(store, noted, 2, action=f"act-{number}")
        store.clock.advance(MINUTE_S)
        store.run(refusal_work(store.database, store.clock, noted).run_once())
        assert told(store) == [1] * (AT_ONCE + 1)


def test_what_could_not_be_told_is_told_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds the file nothing is forgotten, be it counted before or meanwhile."""
    monkeypatch.setattr("catalog.store.sqlite.BUSY_TIMEOUT_MS", 1)
    with opened_store(tmp_path) as store:
        store.database._write_engine.dispose()  # so that the next connection waits one millisecond, not five seconds
        noted = Refusals()
        task = refusal_work(store.database, store.clock, noted)
        refuse(store, noted, 5)
        store.clock.advance(MINUTE_S)
        other = sqlite3.connect(store.path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            store.run(task.run_once())
        refuse(store, noted, 2)
        other.rollback()
        other.close()
        store.clock.advance(MINUTE_S)
        store.run(task.run_once())
        store.run(task.run_once())
        assert told(store) == [4, 2]


def test_where_nobody_tells_nothing_is_kept() -> None:
    """With the task disabled each refusal is a record of its own."""
    deed = Deed(actor=Actor(key="admin"), action="act", subject="m1", result=Result.REFUSED, code="denied")
    kept, none = Noted.of(()).refusals, Noted.of((NAME,)).refusals
    assert [(kept.is_repeated(deed, 1.0), none.is_repeated(deed, 1.0)) for _ in "ab"] == [(False, False), (True, False)]
