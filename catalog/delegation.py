"""What owners of an organisation may set for its projects: anything tighter, and nothing looser than an admin allows.

What an admin has set for the organisation is the frame. Within it an owner may also loosen what holds for one project;
where there is no frame, what is there already is the limit.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from catalog.access import Principal
from catalog.errors import Denied, InvalidValue
from catalog.holders import Holder, holders_of
from catalog.model.access import Role
from catalog.model.budget import Budget
from catalog.model.lease import LeaseRule
from catalog.model.quota import Quota
from catalog.model.tenancy import Project
from catalog.store import rows
from catalog.store.database import Tx

_FIX = "ask an admin"


def check_quota(tx: Tx, by: Principal, whose: Holder, changes: Mapping[str, int | None]) -> None:
    """Raise Denied or InvalidValue unless ``by`` may change the quota of ``whose`` like this."""
    _check(tx, by, whose, Quota, changes)


def check_lease(tx: Tx, by: Principal, whose: Holder, changes: Mapping[str, float | None]) -> None:
    """Raise the same for a rule for leases; how long is usual is free within how long is allowed."""
    _check(tx, by, whose, LeaseRule, {name: value for name, value in changes.items() if name == "longest_s"})


def check_budget(tx: Tx, by: Principal, whose: Holder, changes: Mapping[str, Any] | None) -> None:
    """Raise the same for a budget; None removes it."""
    if by.role is Role.ADMIN:
        return
    frame, held = _around(tx, by, whose, Budget)
    after = None if changes is None else _amount(held, changes)
    if frame is not None:
        if after is not None and (after[1] != frame.currency or after[0] > Decimal(frame.amount)):
            fix = f"at most {frame.amount} {frame.currency}, as its organisation has"
            raise InvalidValue("this is more than its organisation may spend", field="amount", fix=fix)
        return
    if held is not None and (after is None or changes is None or _is_looser(held, after, changes)):
        raise Denied("no admin set a budget for the organisation: this one can only be made tighter", fix=_FIX)


def _check(
    tx: Tx, by: Principal, whose: Holder, kind: type[Quota] | type[LeaseRule], changes: Mapping[str, float | None]
) -> None:
    if by.role is Role.ADMIN:
        return
    frame, held = _around(tx, by, whose, kind)
    for name, value in changes.items():
        limit = None if frame is None else rows.value(frame, name)
        before = None if held is None else rows.value(held, name)
        bound = before if limit is None else limit
        if bound is None or (value is None and limit is not None) or (value is not None and value <= bound):
            continue
        if limit is None:
            raise Denied("no admin set this for the organisation: here it can only be made tighter", fix=_FIX)
        raise InvalidValue("this is more than its organisation has", field=name, fix=f"at most {limit:g}")


def _around(tx: Tx, by: Principal, whose: Holder, kind: type[Any]) -> tuple[Any, Any]:
    """Return what holds for the organisation, and for the project itself. Raises Denied for one who rules neither."""
    project = rows.find(tx, Project, whose.id)
    if project is None:
        raise Denied("what holds for an organisation is an admin's to say", fix=_FIX)
    if project.organisation_id not in by.owned:
        raise Denied("only an owner of its organisation, or an admin, rules over a project", fix="ask one of them")
    organisation = holders_of(tx, project.id)[1]
    return rows.find(tx, kind, organisation.id), rows.find(tx, kind, project.id)


def _amount(held: Budget | None, changes: Mapping[str, Any]) -> tuple[Decimal, str] | None:
    """Return how much of which currency the budget would be; None where that is not said, which is refused later."""
    amount = changes.get("amount") or (None if held is None else held.amount)
    currency = changes.get("currency") or (None if held is None else held.currency)
    return None if amount is None or currency is None else (Decimal(amount), currency)


def _is_looser(held: Budget, after: tuple[Decimal, str], changes: Mapping[str, Any]) -> bool:
    if after[1] != held.currency or after[0] > Decimal(held.amount):
        return True
    if any(changes.get(name) is False and rows.value(held, name) for name in ("stops_orders", "stops_machines")):
        return True
    return "unknown_hourly" in changes and changes["unknown_hourly"] != held.unknown_hourly
