"""Queries for costs: when which machines of a project were there, and by which price."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, or_
from sqlalchemy import select as sql_select
from sqlmodel import Session, select

from catalog.model.approval import Approval, ApprovalState
from catalog.model.ids import ProjectId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.model.order import Order
from catalog.store import machines
from catalog.store.rows import column


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One machine's time: ``from_s`` None is not handed over yet, ``to_s`` None still there."""

    price: Mapping[str, Any] | None
    from_s: float | None
    to_s: float | None
    lease_ends_at_s: float | None = None
    lease_s: float | None = None  # of one that has not begun: as long as it is lent from whenever it does


def uses(tx: Session, projects: Collection[ProjectId], from_s: float, to_s: float) -> Sequence[Use]:
    """Return the time of every machine of these projects that was there between, or is being built or may be approved.

    What is only observed costs somebody, and not the project: it could do nothing about it.
    """
    begun, ended = column(Machine, "used_from_s"), column(Machine, "used_to_s")
    # One that is being built is not lent yet: its lease will begin some minutes after it was asked for.
    lent = func.coalesce(column(Machine, "lease_ends_at_s"), column(Machine, "created_at_s") + column(Order, "lease_s"))
    until = case((begun.is_(None), lent), else_=column(Machine, "lease_ends_at_s"))
    prices = (column(Order, "price"), column(Machine, "price"), column(Order, "size"), column(Machine, "size"))
    found = sql_select(*prices, begun, ended, until).join_from(
        Machine, Order, column(Order, "id") == column(Machine, "order_id"), isouter=True
    )
    is_coming = and_(column(Machine, "state") == MachineState.BUILDING, column(Machine, "created_at_s") < to_s)
    there = or_(begun < to_s, is_coming)
    whose = and_(
        column(Machine, "project_id").in_(sorted(projects)), column(Machine, "custody") != Custody.OBSERVED.value
    )
    there_then = [
        # What was agreed holds for what was ordered: of another size it says nothing.
        Use(
            price=ordered_for if own is None and size == ordered_size else own,
            from_s=began_s,
            to_s=ended_s,
            lease_ends_at_s=lease_s,
        )
        for ordered_for, own, ordered_size, size, began_s, ended_s, lease_s in tx.execute(
            found.where(whose, there, or_(ended.is_(None), ended > from_s))
        )
    ]
    return [*there_then, *_waiting(tx, projects, to_s)]


def _waiting(tx: Session, projects: Collection[ProjectId], to_s: float) -> list[Use]:
    """Return the time that orders of these projects which wait for approval by then will take."""
    asked = (
        sql_select(column(Order, "price"), column(Order, "lease_s"))
        .join_from(Approval, Order, column(Order, "id") == column(Approval, "order_id"))
        .where(
            column(Approval, "project_id").in_(sorted(projects)),
            column(Approval, "state") == ApprovalState.WAITING,
            column(Approval, "created_at_s") < to_s,
        )
    )
    return [Use(price=price, from_s=None, to_s=None, lease_s=lease_s) for price, lease_s in tx.execute(asked)]


def unstopped(tx: Session, projects: Collection[ProjectId], since_s: float, limit: int) -> Sequence[Machine]:
    """Return machines that these projects use and that no spent budget has stopped since then.

    Up to ``limit`` at each platform, so that one that is out of reach keeps no other waiting.
    """
    stopped = column(Machine, "budget_stop_s")
    found = select(Machine).where(
        column(Machine, "project_id").in_(sorted(projects)),
        column(Machine, "state") == MachineState.IN_USE,
        column(Machine, "custody") != Custody.OBSERVED.value,
        or_(stopped.is_(None), stopped < since_s),
    )
    return tx.exec(machines.some_of_each_platform(found, limit)).all()
