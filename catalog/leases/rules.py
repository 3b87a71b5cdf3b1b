"""Decide how long a machine is lent, and write its end down.

A lease begins when the machine is handed over. A longest lease counts from the moment at which somebody asks: whoever
still needs the machine says so again and again, and one that nobody asks for ends.
"""

from collections.abc import Mapping, Sequence

from catalog.errors import InvalidValue, WrongState
from catalog.holders import Holder, holders_of
from catalog.model.ids import ProjectId
from catalog.model.lease import LeaseRule
from catalog.model.machine import Machine, MachineState
from catalog.model.order import Order
from catalog.store import rows
from catalog.store.database import Tx

DAY_S = 86_400.0


def rule_of(tx: Tx, whose: Holder) -> LeaseRule:
    """Return the holder's rule; one that nobody set yet is of version 0 and says nothing."""
    return rows.find(tx, LeaseRule, whose.id) or LeaseRule(id=whose.id, version=0)


def change_rule(tx: Tx, whose: Holder, changes: Mapping[str, float | None], now_s: float) -> LeaseRule:
    """Set ``default_s`` or ``longest_s`` or both (None = without an end) and return the rule.

    Raises InvalidValue for a default that is longer than the longest. What is lent already keeps its end.
    """
    held = rows.find(tx, LeaseRule, whose.id)
    after: dict[str, float | None] = {"default_s": None, "longest_s": None}
    if held is not None:
        after = {"default_s": held.default_s, "longest_s": held.longest_s}
    after |= changes
    default_s, longest_s = after["default_s"], after["longest_s"]
    if default_s is not None and longest_s is not None and default_s > longest_s:
        raise InvalidValue("the default is longer than the longest lease", field="default_s", fix=f"{longest_s:g}")
    if held is None:
        return rows.insert(tx, LeaseRule(id=whose.id, default_s=default_s, longest_s=longest_s), now_s)
    return rows.update(tx, held, after, now_s)


def lease_for(tx: Tx, project_id: ProjectId, asked_s: float | None) -> float | None:
    """Return how long an order of the project lends its machine, None for without an end; see ``decided``."""
    return decided(_rules(tx, project_id), asked_s)


def decided(rules: Sequence[LeaseRule], asked_s: float | None) -> float | None:
    """Return the lease in seconds, None for without an end: what was asked for, else the nearest default.

    ``rules`` stand nearest first. No default gets past a longest; what is asked for raises InvalidValue then.
    """
    longest_s = min((rule.longest_s for rule in rules if rule.longest_s is not None), default=None)
    if asked_s is not None:
        if longest_s is not None and asked_s > longest_s:
            message = f"a machine is lent for at most {in_words(longest_s)} here"
            raise InvalidValue(message, field="lease_s", fix=f"up to {longest_s:g}; it can be extended later")
        return asked_s
    default_s = next((rule.default_s for rule in rules if rule.default_s is not None), longest_s)
    return default_s if longest_s is None or default_s is None else min(default_s, longest_s)


def handed_over(order: Order, now_s: float) -> dict[str, object]:
    """Return what a machine's row keeps when it is handed over for ``order``: its lease, and from when on it costs."""
    return {**_lent(order.lease_s, now_s), "used_from_s": now_s}


def extend(
    tx: Tx, machine: Machine, lease_s: float | None, now_s: float, *, by_admin: bool, may_give_end: bool = False
) -> Machine:
    """Let the lease end ``lease_s`` from now (None: never), sooner or later than before, and return the machine.

    A member keeps to the longest lease; an admin need not. Raises WrongState for a machine that is nobody's or not
    handed over yet, and for one without an end that would get one, unless ``may_give_end``; InvalidValue for more than
    the longest lease.
    """
    if machine.state is not MachineState.IN_USE or machine.project_id is None:
        raise WrongState(f"the machine is {machine.state.value}", field="state", fix="one that is in use")
    if not by_admin:
        rules = _rules(tx, machine.project_id)
        lease_s = decided([LeaseRule(id="", longest_s=rule.longest_s) for rule in rules], lease_s)
    if machine.lease_ends_at_s is None and lease_s is not None and not may_give_end:
        # Whoever extends wants to keep the machine for longer; an end where there was none takes it away.
        message = "the machine is lent without an end: it needs no extension, and would be lost at one"
        raise WrongState(message, field="lease_s", fix="may_give_end: true (--give-end), if an end is meant")
    return rows.update(tx, machine, _lent(lease_s, now_s), now_s)


def in_words(seconds: float) -> str:
    """Return a time as people say it: "3 days", "90 minutes"."""
    for unit, length_s in (("day", DAY_S), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length_s and seconds % length_s == 0:
            count = seconds / length_s
            return f"{count:g} {unit}" if count == 1 else f"{count:g} {unit}s"
    return f"{seconds:g} seconds"


def _lent(lease_s: float | None, now_s: float) -> dict[str, object]:
    ends_at_s = None if lease_s is None else now_s + lease_s
    return {"lease_set_at_s": now_s, "lease_ends_at_s": ends_at_s, "reminded_s": None}


def _rules(tx: Tx, project_id: ProjectId) -> list[LeaseRule]:
    found = (rows.find(tx, LeaseRule, whose.id) for whose in holders_of(tx, project_id))
    return [rule for rule in found if rule is not None]
