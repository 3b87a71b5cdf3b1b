"""Exactly one machine per order in the worst moments that were found, and proof that these moments are the worst.

Death between cloud and commit, a message twice, two workers on one order, death before the outbox is marked, an answer
that says nothing was made. The applications are the product's,
the cloud a process of its own, and what happened is read from that process's ledger.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bench.chaos.judged import Judged, judged
from tests.bench.chaos.mutants import MUTANTS
from tests.bench.chaos.parts import Parts
from tests.bench.chaos.schedules import (
    SCHEDULES,
    Stage,
    comes_again_in_mid_look_up,
    dies_before_it_is_published,
    dies_before_it_is_written,
    played,
    the_cloud_lies,
)
from tests.support.clouds import simulated_cloud

Schedule = Callable[[Stage], Awaitable[Judged]]

# In which story each mutant is found out, and by what.
FOUND_OUT: Mapping[str, tuple[Schedule, str]] = {
    "early-ack": (dies_before_it_is_written, "lost"),
    "no-outbox": (dies_before_it_is_published, "lost"),
    "no-adopt": (the_cloud_lies, "doubled"),
    "no-lease": (comes_again_in_mid_look_up, "doubled"),
}


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: each.__name__)
def test_one_machine_per_order_with_nothing_that_mends_later(schedule: Schedule, tmp_path: Path) -> None:
    """No order is lost, none ever has two machines, and no machine is left over: before any sweep or second asking."""
    with simulated_cloud(tmp_path) as cloud:
        assert played(tmp_path, cloud, Parts(), schedule) == Judged(lost=(), doubled=(), ownerless=0)
        assert len([each for each in cloud.ledger() if each["verb"] == "create"]) == 1


@pytest.mark.parametrize("mutant", MUTANTS)
def test_without_one_of_its_parts_it_would_not_hold(mutant: str, tmp_path: Path) -> None:
    """Applications without this part lose or double the order, so the story above can fail."""
    schedule, harm = FOUND_OUT[mutant]
    with simulated_cloud(tmp_path) as cloud:
        found = played(tmp_path, cloud, MUTANTS[mutant], schedule)
    assert len(getattr(found, harm)) == 1


def entry(verb: str, machine: str, order: str) -> dict[str, Any]:
    """Return a line of a ledger."""
    return {"verb": verb, "machine": machine, "tags": {"crossway-order": order}}


def test_a_ledger_is_judged_by_what_stood_at_once() -> None:
    """A machine after another that is gone is no double, one beside it is, also if it is removed; the rest is counted.

    Orders: A was made anew after a failure; B had two at once; C was told to be fulfilled and its machine is gone; D
    never ended and has one; E is unknown and has one. Lost: C, D. Left over: D's and E's.
    """
    ledger = [
        *(entry("create", "1", "A"), entry("delete", "1", "A"), entry("create", "2", "A")),
        *(entry("create", "3", "B"), entry("create", "4", "B"), entry("delete", "4", "B")),
        *(entry("create", "5", "C"), entry("delete", "5", "C")),
        *(entry("create", "6", "D"), entry("create", "7", "E")),
    ]
    assert judged(ledger, "ABCD", "ABC") == Judged(lost=("C", "D"), doubled=("B",), ownerless=2)
