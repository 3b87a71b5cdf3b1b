"""Refusals that repeat each other: the first by itself, the others once a minute, and none forgotten."""

from collections.abc import Sequence

from sqlmodel import col, select

from catalog import refusals
from catalog.audit import Actor, Deed, Result
from catalog.model.audit import AuditRecord
from catalog.model.ids import TokenId
from catalog.refusals import Refusals, Repetitions
from tests.support.stores import Store

MARA = Actor(key="account:mara", name="mara", token_id=TokenId("token_1"))


def refused(actor: Actor = MARA, action: str = "act", subject: str = "m1", code: str = "denied") -> Deed:
    """Return a refusal."""
    return Deed(actor=actor, action=action, subject=subject, result=Result.REFUSED, code=code, data={"request": "r"})


def counts(ended: Sequence[Repetitions]) -> list[int]:
    """Return how many there were of each."""
    return [each.count for each in ended]


def test_only_those_that_are_alike_are_told_of_together() -> None:
    """Another caller, token, action or reason is another refusal; another subject is not."""
    noted = Refusals()
    other = [
        refused(actor=Actor(key="account:kim", name="mara", token_id=TokenId("token_1"))),
        refused(actor=Actor(key="account:mara", name="mara", token_id=TokenId("token_2"))),
        refused(action="look"),
        refused(code="stale"),
    ]
    assert [noted.is_repeated(each, 1.0) for each in (refused(), *other)] == [False] * 5
    assert [noted.is_repeated(each, 2.0) for each in (refused(subject="m2"), *other)] == [True] * 5


def test_a_minute_ends_once_it_is_over() -> None:
    """Before, nothing is told; without repetitions nothing is, and the next refusal is recorded at once again."""
    noted = Refusals()
    assert not noted.is_repeated(refused(), 100.0)
    assert not noted.is_repeated(refused(action="look"), 100.0)
    assert noted.is_repeated(refused(), 130.0)
    assert noted.end_minutes(159.0, begun_by_s=99.0) == ()
    ended = noted.end_minutes(160.0, begun_by_s=100.0)
    assert counts(ended) == [1]
    noted.told(ended)
    assert noted.is_repeated(refused(), 161.0), "whoever goes on is told of once a minute"
    assert not noted.is_repeated(refused(action="look"), 161.0)


def test_what_was_not_told_is_told_later_and_what_came_meanwhile_after_it() -> None:
    """As long as nothing can be written all are counted, in two heaps whatever the time, and each is told once."""
    noted = Refusals()
    for at_s in range(5):
        noted.is_repeated(refused(), float(at_s))
    first = noted.end_minutes(60.0, begun_by_s=0.0)
    for at_s in (61.0, 200.0):
        noted.is_repeated(refused(), at_s)
    assert counts(noted.end_minutes(300.0, begun_by_s=240.0)) == [4]
    noted.told(first)
    later = noted.end_minutes(300.0, begun_by_s=240.0)
    assert (counts(later), later[0].first_at_s, later[0].last_at_s) == ([2], 61.0, 200.0)
    noted.told(later)
    assert noted.end_minutes(500.0, begun_by_s=500.0) == ()
    assert not noted.is_repeated(refused(), 501.0)


def test_of_too_many_callers_each_refusal_is_a_record() -> None:
    """Beyond the limit nothing is kept, and what was kept goes on; a limit of 0 keeps nothing at all."""
    noted = Refusals(limit=1)
    assert [noted.is_repeated(refused(action=each), 1.0) for each in ("a", "b", "b", "a")] == [False] * 3 + [True]
    none = Refusals(limit=0)
    assert [none.is_repeated(refused(), 1.0) for _ in range(3)] == [False] * 3
    assert not none.put_off(refused(), 1.0)


def test_what_could_not_be_recorded_is_counted() -> None:
    """Put off, the first one is told of too."""
    noted = Refusals()
    assert not noted.is_repeated(refused(), 1.0)
    assert noted.put_off(refused(), 1.0)
    assert noted.is_repeated(refused(), 2.0)
    assert counts(noted.end_minutes(61.0, begun_by_s=1.0)) == [2]


def test_the_record_tells_how_often_when_and_about_what(store: Store) -> None:
    """One subject stands where it always does, of several the first eight are named; the rest is the newest's."""
    one, several = Refusals(), Refusals()
    for number in range(11):
        one.is_repeated(refused(), 10.0 + number)
        several.is_repeated(refused(action="look", subject=f"m{number}"), 10.0 + number)
    ended = [*one.end_minutes(100.0, begun_by_s=40.0), *several.end_minutes(100.0, begun_by_s=40.0)]
    store.write(lambda tx: refusals.record(tx, ended, 100.0))
    kept = store.read(lambda tx: tx.exec(select(AuditRecord).order_by(col(AuditRecord.id))).all())
    told = {"request": "r", "count": "10", "from_ms": "11000", "until_ms": "20000"}
    assert [(each.actor, each.token_id, each.action, each.subject, each.code, each.at_ms) for each in kept] == [
        ("account:mara", "token_1", "act", "m1", "denied", 100_000),
        ("account:mara", "token_1", "look", "", "denied", 100_000),
    ]
    assert [each.data for each in kept] == [told, {**told, "subjects": "m1 m2 m3 m4 m5 m6 m7 m8 ..."}]
