"""What becomes of machines when their grant ends: what its terms said, until the deadline, and nothing after it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from catalog import connections, consent, parting, winding_down
from catalog.messages.contracts import DestroyMachine, from_json
from catalog.model.connection import Connection, ConnectionEvent, ConnectionState
from catalog.model.consent import Grant, GrantState, Side
from catalog.model.ids import GrantId, MachineId
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent, MachineState
from catalog.model.terms import EndRule, Terms
from catalog.store import outbox, rows
from catalog.winding_down import CLEARING_S, DEFAULT_S, plan
from tests.support.clocks import ManualClock
from tests.support.ordering import OFFER, PLATFORM, PROJECT, seeded_database

NOW_S = 1_800_000_000.0
HELD = (MachineState.IDLE, MachineState.IN_USE, MachineState.RETURNED)


@pytest.mark.parametrize(
    ("rule", "expires_at_s", "wind_down_s", "ends_at_s", "until_s", "at_once"),
    [
        pytest.param(None, 500, None, None, None, "", id="nothing said"),
        pytest.param(EndRule.KEEP, 500, 50, 500, 500 + CLEARING_S, "", id="kept until it would have expired"),
        pytest.param(EndRule.KEEP, 90, 50, 150, 150 + CLEARING_S, "", id="it has expired: kept for the time"),
        pytest.param(EndRule.KEEP, None, 50, 150, 150 + CLEARING_S, "", id="it never would: kept for the time"),
        pytest.param(EndRule.KEEP, None, None, 100 + DEFAULT_S, 100 + DEFAULT_S + CLEARING_S, "", id="no time: a day"),
        pytest.param(EndRule.DRAIN, 500, 50, 150, 150 + CLEARING_S, "idle returned", id="drained"),
        pytest.param(EndRule.DESTROY, 500, 50, 100, 100 + CLEARING_S, "idle in-use returned", id="destroyed"),
        pytest.param(EndRule.DESTROY, 500, 9000, 100, 9100, "idle in-use returned", id="destroyed, with more time"),
    ],
)
def test_a_rule_comes_to_moments(  # noqa: PLR0917 the columns of the table
    rule: EndRule | None,
    expires_at_s: float | None,
    wind_down_s: float | None,
    ends_at_s: float | None,
    until_s: float | None,
    at_once: str,
) -> None:
    """Ended at second 100: when the others are destroyed, until when there is a session, and which go at once."""
    planned = plan(rule, expires_at_s=expires_at_s, wind_down_s=wind_down_s, now_s=100)
    assert (planned.ends_at_s, planned.until_s) == (ends_at_s, until_s)
    assert sorted(planned.at_once) == at_once.split()


def in_tx(folder: Path, *works: Callable[[Session], Any]) -> None:
    """Run each of ``works`` in a transaction of its own."""

    async def run() -> None:
        async with seeded_database(folder, ManualClock()) as database:
            for work in works:
                await database.write(work)

    asyncio.run(run())


def prepared(tx: Session, rule: EndRule | None, **terms: Any) -> None:
    """Let the grant say ``rule``, and have one machine in each state in which it is held."""
    grant = rows.by_id(tx, Grant, "grant_M")
    rows.update(tx, grant, {"on_end": rule and rule.value, "wind_down_s": 600.0, **terms}, NOW_S)
    for state in HELD:
        machine = Machine(
            id=MachineId(f"machine_{state}"), platform_id=PLATFORM, offer_id=OFFER, state=state, name=str(state),
            size="s1", image="i1", project_id=PROJECT if state is MachineState.IN_USE else None,
        )  # fmt: skip
        rows.insert(tx, machine, NOW_S)


def left(tx: Session) -> set[str]:
    """Return the machines that are held as before."""
    return {each.name for each in rows.where(tx, Machine, state=set(HELD))}


def destroyed(tx: Session) -> set[str]:
    """Return the machines that the provisioner was asked to destroy."""
    asked = [from_json(each.body) for each in outbox.unsent(tx, 100)]
    return {each.machine.removeprefix("machine_") for each in asked if isinstance(each, DestroyMachine)}


ALL = {"idle", "in-use", "returned"}


@pytest.mark.parametrize("end", ["revoked", "expired"])
@pytest.mark.parametrize(
    ("rule", "at_once"),
    [(None, set()), (EndRule.KEEP, set()), (EndRule.DRAIN, {"idle", "returned"}), (EndRule.DESTROY, ALL)],
    ids=["nothing said", "keep", "drain", "destroy"],
)
def test_what_goes_at_once_and_what_when_its_time_is_over(
    tmp_path: Path, rule: EndRule | None, at_once: set[str], end: str
) -> None:
    """In the transaction of the end; the rest 600 s later, unless nothing was said: then nobody touches it."""

    def at_the_end(tx: Session) -> None:
        prepared(tx, rule, expires_at_s=NOW_S if end == "expired" else None)
        if end == "revoked":
            consent.revoke(tx, "grant_M", NOW_S)
        else:
            assert consent.expire_due(tx, NOW_S) == 1
        assert (destroyed(tx), left(tx)) == (at_once, ALL - at_once)
        if "in-use" in left(tx):
            held = rows.by_id(tx, Machine, "machine_in-use")
            assert held.ends_at_s == (None if rule is None else NOW_S + 600)
            assert ("when its time is over" in held.notice) == (rule is not None)

    def later(tx: Session) -> None:
        winding_down.end_due(tx, NOW_S + 599)
        assert destroyed(tx) == at_once
        winding_down.end_due(tx, NOW_S + 600)
        assert destroyed(tx) == (set() if rule is None else ALL)

    in_tx(tmp_path, at_the_end, later)


def test_a_grant_that_stands_again_keeps_its_machines(tmp_path: Path) -> None:
    """Asked for, granted and accepted anew before the time is over: nothing is destroyed, nothing is said any more."""

    def work(tx: Session) -> None:
        prepared(tx, EndRule.KEEP)
        consent.revoke(tx, "grant_M", NOW_S)
        grant = rows.by_id(tx, Grant, "grant_M")
        rows.update(tx, grant, {"state": GrantState.GRANTED}, NOW_S)  # asking and answering is another test's
        consent.accept(tx, "grant_M", NOW_S + 1)
        assert rows.by_id(tx, Grant, "grant_M").wind_down_until_s is None
        assert {(each.notice, each.ends_at_s) for each in rows.where(tx, Machine)} == {("", None)}
        winding_down.end_due(tx, NOW_S + 1e6)
        assert destroyed(tx) == set()

    in_tx(tmp_path, work)


@pytest.mark.parametrize("end", ["revoked", "expired"])
@pytest.mark.parametrize("rule", [None, EndRule.KEEP, EndRule.DRAIN, EndRule.DESTROY])
def test_what_was_given_anew_and_never_accepted_leaves_the_deadlines_alone(
    tmp_path: Path, rule: EndRule | None, end: str
) -> None:
    """Given and taken back, or run out, while its predecessor winds down: machines and session end as was planned."""

    def as_planned(tx: Session) -> set[object]:
        until_s = rows.by_id(tx, Grant, "grant_M").wind_down_until_s
        return {(each.id, each.state, each.ends_at_s, each.notice) for each in rows.where(tx, Machine)} | {until_s}

    def work(tx: Session) -> None:
        prepared(tx, EndRule.KEEP)
        consent.revoke(tx, "grant_M", NOW_S)
        planned = as_planned(tx)
        given = Terms(verbs=("create",), on_end=rule, wind_down_s=9.0 if rule else None, expires_at_s=NOW_S + 60)
        consent.ask(tx, "grant_M", NOW_S + 1)
        consent.answer(tx, "grant_M", given, by="owner", now_s=NOW_S + 2)
        if end == "revoked":
            consent.revoke(tx, "grant_M", NOW_S + 60)
        else:
            assert consent.expire_due(tx, NOW_S + 60) == 1
        assert (as_planned(tx), destroyed(tx)) == (planned, set())

    in_tx(tmp_path, work)


def test_a_suspended_grant_destroys_nothing(tmp_path: Path) -> None:
    """Held back is not ended: the machines stay, whatever the rule."""

    def work(tx: Session) -> None:
        prepared(tx, EndRule.DESTROY)
        consent.suspend(tx, "grant_M", Side.GATEWAY, NOW_S)
        winding_down.end_due(tx, NOW_S + 1e6)
        assert (destroyed(tx), left(tx)) == (set(), ALL)

    in_tx(tmp_path, work)


def test_the_session_lasts_until_its_deadline_and_then_the_connection_ends(tmp_path: Path) -> None:
    """Until an hour after the machines' time they may be destroyed; what is left after that is not ours to reach."""
    deadline_s = NOW_S + 600 + CLEARING_S

    def work(tx: Session) -> None:
        prepared(tx, EndRule.KEEP)
        assert winding_down.session_of(tx, PLATFORM, "machine", NOW_S) is None, "it stands"
        consent.revoke(tx, "grant_M", NOW_S)
        assert winding_down.session_of(tx, PLATFORM, "machine", deadline_s - 1) is not None
        assert winding_down.session_of(tx, PLATFORM, "machine", deadline_s) is None
        for now_s, state in ((deadline_s - 1, ConnectionState.ESTABLISHED), (deadline_s, ConnectionState.FAILED)):
            winding_down.end_due(tx, now_s)
            (connection,) = rows.where(tx, Connection)
            assert connection.state is state

    in_tx(tmp_path, work)


def test_only_a_connection_that_stood_before_the_deadline_ends_with_it(tmp_path: Path) -> None:
    """Ended once, it may be established again, to a platform that grants nothing: it stays, however often we look."""
    deadline_s = NOW_S + 600 + CLEARING_S

    def establish(tx: Session, now_s: float) -> Connection:
        (connection,) = rows.where(tx, Connection)
        rows.update(tx, connection, {"consented": True}, now_s)
        for event in (ConnectionEvent.RETRY, ConnectionEvent.ROUTED, ConnectionEvent.TUNNELLED):
            connections.move(tx, connection.id, event, now_s)
        accounts = {"gateway_account": "g", "transport_account": "t", "target_account": "p"}
        connections.open_sessions(tx, connection, **accounts, now_s=now_s)
        return connections.move(tx, connection.id, ConnectionEvent.ESTABLISH, now_s)

    def ended(tx: Session, now_s: float) -> int:
        assert winding_down.is_any_due(tx, now_s) == (now_s == deadline_s)
        return parting.part_overdue(tx, now_s)

    def work(tx: Session) -> None:
        prepared(tx, EndRule.KEEP)
        consent.revoke(tx, "grant_M", NOW_S)
        winding_down.end_due(tx, NOW_S + 600)
        (connection,) = rows.where(tx, Connection)
        connections.move(tx, connection.id, ConnectionEvent.LOSE, NOW_S + 700)
        establish(tx, deadline_s - 1)
        assert [ended(tx, now_s) for now_s in (deadline_s - 1, deadline_s, deadline_s + 1)] == [0, 1, 0]
        again = establish(tx, deadline_s + 2)
        assert (winding_down.end_due(tx, deadline_s + 3), ended(tx, deadline_s + 3)) == (0, 0)
        assert again.state is ConnectionState.ESTABLISHED

    in_tx(tmp_path, work)


@pytest.mark.parametrize("held_by", ["no machine", "another grant"])
def test_a_deadline_ends_no_connection_that_machines_did_not_hold(tmp_path: Path, held_by: str) -> None:
    """Nothing of ours is left there, or something else is granted: a deadline that has passed is nobody's business."""

    def work(tx: Session) -> None:
        prepared(tx, EndRule.KEEP)
        (connection,) = rows.where(tx, Connection)
        if held_by == "another grant":
            other = Grant(
                id=GrantId("grant_S"), platform_id=PLATFORM, connection_id=connection.id, request_id="s",
                capability="size", verbs=["list"], state=GrantState.ACCEPTED,
            )  # fmt: skip
            rows.insert(tx, other, NOW_S)
        consent.revoke(tx, "grant_M", NOW_S)
        winding_down.end_due(tx, NOW_S + 600)
        for machine in rows.where(tx, Machine) if held_by == "no machine" else ():
            rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.DESTROYED, NOW_S + 601)
        assert not winding_down.is_any_due(tx, NOW_S + 1e6)
        assert winding_down.end_due(tx, NOW_S + 1e6) == 0
        assert connection.state is ConnectionState.ESTABLISHED

    in_tx(tmp_path, work)
