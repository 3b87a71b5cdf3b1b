"""What a cloud's own ledger says of the orders that were accepted. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ORDER_TAG = "crossway-order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Ids of orders, and how many machines, for which something is wrong."""

    lost: tuple[str, ...]  # accepted, and not fulfilled by a machine that stands
    doubled: tuple[str, ...]  # had two machines at once, for however short
    ownerless: int  # machines that stand, beyond one for each fulfilled order


def judged(ledger: Sequence[Mapping[str, Any]], accepted: Iterable[str], fulfilled: Iterable[str]) -> Judged:
    """Return what is wrong with ``ledger``, every create and delete in the order in which they happened.

    That a machine was removed again later does not undo that an order had two: whoever removes is judged apart.
    """
    standing: dict[str, set[str]] = {}
    doubled: dict[str, None] = {}
    for entry in ledger:
        order = entry["tags"].get(ORDER_TAG, "")
        machines = standing.setdefault(order, set())
        if entry["verb"] == "create":
            machines.add(entry["machine"])
        else:
            machines.discard(entry["machine"])
        if len(machines) > 1:
            doubled[order] = None
    served = {order for order in fulfilled if standing.get(order)}
    return Judged(
        lost=tuple(sorted(set(accepted) - served)),
        doubled=tuple(doubled),
        ownerless=sum(len(machines) - (order in served) for order, machines in standing.items()),
    )
