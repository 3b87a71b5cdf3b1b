"""Why an order comes to nothing, in its tenant's words: the whole chain, attempt by attempt and platform by platform.

The reasons of earlier attempts are those that were recorded as the order's steps.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from catalog.connections import steps
from catalog.model.order import Order
from catalog.orders import candidates
from catalog.orders.policy import given_up
from catalog.store.database import Tx

FAILED_ATTEMPT: Final = "order.settled"  # the step that ends an attempt, with outcome "failed"
_BEGINS: Final = "order.dispatched"  # the first attempt at a platform


def over_attempts(tx: Tx, order: Order, last: str) -> str:
    """Return why ``order`` got no machine at its platform: the reason of each attempt there, ``last`` the newest."""
    earlier: list[str] = []
    for step in steps(tx, order.id):
        if step.step == _BEGINS:
            earlier = []
        elif (step.step, step.outcome) == (FAILED_ATTEMPT, "failed"):
            earlier.append(step.detail.partition(": ")[2])
    return given_up("machine", order.attempts, chain([*earlier, last]))


def chain(reasons: Sequence[str]) -> str:
    """Return the reasons in their order; equal ones in a row are told once."""
    told = [(reason, len(list(same))) for reason, same in groupby(reasons)]
    if len(told) == 1:
        return told[0][0]
    return "; then ".join(reason if times == 1 else f"{reason} ({times} times)" for reason, times in told)


def over_platforms(tried: Sequence[Mapping[str, Any]], last: str) -> str:
    """Return why none of the candidates that were ``tried`` gave a machine; ``last`` where that was one alone."""
    ends = [each for each in tried if each["outcome"] in {candidates.REFUSED, candidates.FAILED}]
    if len(ends) <= 1:
        return last
    told = "; ".join(f"{each['platform']}: {each['reason']}" for each in ends)
    return f"none of {len(ends)} platforms gave a machine: {told}"
