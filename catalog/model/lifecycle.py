"""States as tables: which event leads from which state to which; nothing else assigns ``.state``."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from catalog.errors import WrongState

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)
Transitions = Mapping[S, Mapping[E, S]]


def next_state(table: Transitions[S, E], state: S, event: E) -> S:
    """Return the state after ``event``. Raises WrongState, and nothing changes, when the table has no such row."""
    try:
        return table[state][event]
    except KeyError:
        allowed = ", ".join(sorted(e.value for e in table[state])) or "nothing"
        raise WrongState(
            f"'{event.value}' is not possible in state '{state.value}'",
            field="state",
            fix=f"possible now: {allowed}",
        ) from None
