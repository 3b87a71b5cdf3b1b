"""No table grows for ever, and nothing that may still be asked for is forgotten."""

import pytest

from catalog import connections
from catalog.model.connection import AccountSession, Connection, Leg, RouteDecision, StepRecord
from catalog.model.ids import MessageId, SessionId, new_id
from catalog.model.outbox import InboxMessage, OutboxMessage
from catalog.store import outbox, rows
from catalog.store.database import Tx
from catalog.store.tidy import DECISIONS_KEPT, MESSAGES_KEPT_S, SESSIONS_KEPT, STEPS_KEPT, tidy
from tests.support.stores import Store, add_connection, add_platform

T_S = 1_800_000_000.0


def sent(tx: Tx, name: str, at_s: float | None) -> None:
    """Add a message to the outbox, sent at ``at_s`` or not at all."""
    row = OutboxMessage(id=MessageId(name), topic="t", body="{}", sent_at_s=at_s)
    rows.insert(tx, row, T_S - 2 * MESSAGES_KEPT_S)


def test_old_messages_go_and_unsent_ones_stay(store: Store) -> None:
    """Sent, or taken in, more than a day ago: forgotten. What was never confirmed stays, however old."""

    def work(tx: Tx) -> tuple[list[str], list[str]]:
        for name, at_s in (("old", T_S - MESSAGES_KEPT_S - 1), ("new", T_S - MESSAGES_KEPT_S + 1), ("unsent", None)):
            sent(tx, name, at_s)
        outbox.seen(tx, MessageId("old"), T_S - MESSAGES_KEPT_S - 1)
        outbox.seen(tx, MessageId("new"), T_S - MESSAGES_KEPT_S + 1)
        assert (tidy(tx, T_S), tidy(tx, T_S)) == (2, 0)
        return [each.id for each in rows.where(tx, OutboxMessage)], [each.id for each in rows.where(tx, InboxMessage)]

    assert store.write(work) == (["new", "unsent"], ["new"])


@pytest.mark.parametrize("over", [0, 3])
def test_the_newest_steps_and_decisions_of_each_subject_stay(store: Store, over: int) -> None:
    """Of two subjects each keeps its own newest; one that has no more than the limit loses nothing."""
    connection = add_connection(store, add_platform(store).id)

    def work(tx: Tx) -> tuple[list[str], int, list[int]]:
        for number in range(STEPS_KEPT + over):
            connections.record_step(tx, "order_A", f"step-{number:03}", "done", T_S)
        connections.record_step(tx, "order_B", "step", "done", T_S - 1e6)
        for number in range(DECISIONS_KEPT + over):
            connections.record_decision(tx, connection, {"number": number}, T_S)
        assert tidy(tx, T_S) == 2 * over
        kept = [each.step for each in connections.steps(tx, "order_A")]
        documents = [each.document["number"] for each in rows.where(tx, RouteDecision)]
        return kept, len(rows.where(tx, StepRecord, subject_id="order_B")), documents

    kept, others, documents = store.write(work)
    assert kept == [f"step-{number:03}" for number in range(over, STEPS_KEPT + over)]
    assert others == 1
    assert documents == list(range(over, DECISIONS_KEPT + over))


def test_ended_sessions_go_in_threes_and_open_ones_stay(store: Store) -> None:
    """The newest 33 threes of ended sessions stay, and whatever is open, even when it was opened first of all."""
    connection_id = add_connection(store, add_platform(store).id)

    def work(tx: Tx) -> list[AccountSession]:
        held = rows.by_id(tx, Connection, connection_id)
        first = AccountSession(
            id=SessionId(new_id("session", T_S)),
            connection_id=connection_id,
            leg=Leg.GATEWAY,
            account="a",
            opened_at_s=T_S,
        )
        for number in range(SESSIONS_KEPT // 3 + 1):
            connections.open_sessions(
                tx,
                held,
                gateway_account=f"{number:02}",
                transport_account=f"{number:02}",
                target_account=f"{number:02}",
                now_s=T_S + number,
            )
        connections.end_sessions(tx, connection_id, T_S + 100)
        rows.insert(tx, first, T_S - 1e6)
        assert tidy(tx, T_S + 200) == 3
        return list(connections.sessions(tx, connection_id))

    left = store.write(work)
    assert len(left) == SESSIONS_KEPT + 1
    assert {each.account for each in left} == {"a", *(f"{number:02}" for number in range(1, SESSIONS_KEPT // 3 + 1))}
