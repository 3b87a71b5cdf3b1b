"""The transition tables, walked completely."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import product

import pytest

from catalog.errors import WrongState
from catalog.model.approval import APPROVAL_TRANSITIONS, ApprovalEvent, ApprovalState
from catalog.model.connection import CONNECTION_TRANSITIONS, ConnectionEvent, ConnectionState
from catalog.model.consent import GRANT_TRANSITIONS, GrantEvent, GrantState
from catalog.model.lifecycle import next_state
from catalog.model.machine import MACHINE_TRANSITIONS, MachineEvent, MachineState
from catalog.model.order import ORDER_TRANSITIONS, OrderEvent, OrderState

Table = Mapping[StrEnum, Mapping[StrEnum, StrEnum]]

TABLES = [
    pytest.param(CONNECTION_TRANSITIONS, ConnectionState.REQUESTED, ConnectionEvent, id="connection"),
    pytest.param(GRANT_TRANSITIONS, GrantState.PROPOSED, GrantEvent, id="grant"),
    pytest.param(MACHINE_TRANSITIONS, MachineState.BUILDING, MachineEvent, id="machine"),
    pytest.param(ORDER_TRANSITIONS, OrderState.PLACED, OrderEvent, id="order"),
    pytest.param(APPROVAL_TRANSITIONS, ApprovalState.WAITING, ApprovalEvent, id="approval"),
]


@pytest.mark.parametrize(("table", "first", "events"), TABLES)
def test_every_state_is_reachable(table: Table, first: StrEnum, events: Sequence[StrEnum]) -> None:
    """From the first state every other can be reached, each state has a row, and each event is used."""
    assert reachable(table, first) == set(table) == set(type(first))
    assert {event for row in table.values() for event in row} == set(events)


@pytest.mark.parametrize(("table", "first", "events"), TABLES)
def test_every_pair_is_either_in_the_table_or_refused(table: Table, first: StrEnum, events: Sequence[StrEnum]) -> None:
    """All pairs of state and event are tried: those in the table give its state, all others raise WrongState."""
    for state, event in product(type(first), events):
        if event in table[state]:
            assert next_state(table, state, event) is table[state][event]
        else:
            with pytest.raises(WrongState) as refused:
                next_state(table, state, event)
            assert all(possible.value in str(refused.value.fix) for possible in table[state])


def test_a_machine_can_always_be_disposed_of() -> None:
    """GONE is reachable from every state, and nothing leads out of it."""
    assert all(MachineState.GONE in reachable(MACHINE_TRANSITIONS, state) for state in MachineState)
    assert MACHINE_TRANSITIONS[MachineState.GONE] == {}


@pytest.mark.parametrize("holds_data", [MachineState.IN_USE, MachineState.RETURNED])
def test_a_used_machine_never_becomes_idle(holds_data: MachineState) -> None:
    """No path leads from a state in which a machine holds a tenant's data to IDLE."""
    assert MachineState.IDLE not in reachable(MACHINE_TRANSITIONS, holds_data)


def test_orders_and_connections_end() -> None:
    """The last states of an order have no way out; a connection can be closed from everywhere but CLOSED."""
    ends = {OrderState.FULFILLED, OrderState.FAILED, OrderState.CANCELLED}
    assert {state for state, row in ORDER_TRANSITIONS.items() if not row} == ends
    for state in set(ConnectionState) - {ConnectionState.CLOSED}:
        assert CONNECTION_TRANSITIONS[state][ConnectionEvent.CLOSE] is ConnectionState.CLOSED


def test_an_order_is_fulfilled_by_one_machine_and_once() -> None:
    """The ways to FULFILLED: an idle machine, at first or after an attempt that is gone, and one that was created."""
    ways = {
        (state, event) for state, row in ORDER_TRANSITIONS.items() for event, to in row.items() if to == "fulfilled"
    }
    assert ways == {
        (OrderState.PLACED, OrderEvent.SERVE_FROM_POOL),
        (OrderState.AWAITING_APPROVAL, OrderEvent.SERVE_FROM_POOL),
        (OrderState.CREATING, OrderEvent.SERVE_FROM_POOL),
        (OrderState.CREATING, OrderEvent.CREATED),
    }
    assert ORDER_TRANSITIONS[OrderState.FULFILLED] == {}


def test_a_grant_is_accepted_only_after_the_owner_granted_it() -> None:
    """The ways to ACCEPTED: ACCEPT from GRANTED, and back from SUSPENDED; the only one to GRANTED is from REQUESTED."""
    ways = {(state, event, after) for state, row in GRANT_TRANSITIONS.items() for event, after in row.items()}
    assert {way for way in ways if way[2] is GrantState.ACCEPTED} == {
        (GrantState.GRANTED, GrantEvent.ACCEPT, GrantState.ACCEPTED),
        (GrantState.SUSPENDED, GrantEvent.RESUME, GrantState.ACCEPTED),
    }
    assert {way[0] for way in ways if way[2] is GrantState.SUSPENDED} == {GrantState.ACCEPTED, GrantState.SUSPENDED}
    assert {way for way in ways if way[2] is GrantState.GRANTED} == {
        (GrantState.REQUESTED, GrantEvent.GRANT, GrantState.GRANTED)
    }


def reachable(table: Table, first: StrEnum) -> set[StrEnum]:
    """Return the states that some sequence of events reaches from ``first``, itself included."""
    found, new = {first}, {first}
    while new:
        new = {after for state in new for after in table[state].values()} - found
        found |= new
    return found
