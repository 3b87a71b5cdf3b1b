"""A tenant's order for one machine, and the keys that make repeating a POST harmless."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, String
from sqlmodel import Field

from catalog.model.ids import MachineId, OfferId, OrderId, ProjectId
from catalog.model.lifecycle import Transitions
from catalog.model.rows import Row, enum_column, json_column


class OrderState(StrEnum):
    """Where an order stands; every order ends in FULFILLED, FAILED or CANCELLED."""

    PLACED = "placed"
    AWAITING_APPROVAL = "awaiting-approval"
    CREATING = "creating"
    FULFILLED = "fulfilled"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OrderEvent(StrEnum):
    """What can happen to an order."""

    ASK = "ask"
    SERVE_FROM_POOL = "serve-from-pool"
    CREATE = "create"
    CREATED = "created"
    CREATE_AGAIN = "create-again"
    FAIL = "fail"
    CANCEL = "cancel"


_S, _E = OrderState, OrderEvent

ORDER_TRANSITIONS: Transitions[OrderState, OrderEvent] = {
    _S.PLACED: {
        _E.ASK: _S.AWAITING_APPROVAL,
        _E.SERVE_FROM_POOL: _S.FULFILLED,
        _E.CREATE: _S.CREATING,
        _E.FAIL: _S.FAILED,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.AWAITING_APPROVAL: {
        _E.ASK: _S.AWAITING_APPROVAL,  # about another candidate, or another price
        _E.SERVE_FROM_POOL: _S.FULFILLED,
        _E.CREATE: _S.CREATING,
        _E.FAIL: _S.FAILED,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.CREATING: {
        # The next candidate may be one that needs an approval; nothing is left of its last attempt then.
        _E.ASK: _S.AWAITING_APPROVAL,
        # What falls to the next candidate, once nothing is left of its last attempt, may find one that is idle there.
        _E.SERVE_FROM_POOL: _S.FULFILLED,
        _E.CREATED: _S.FULFILLED,
        _E.CREATE_AGAIN: _S.CREATING,
        _E.FAIL: _S.FAILED,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.FULFILLED: {},
    _S.FAILED: {},
    _S.CANCELLED: {},
}


class Order(Row, table=True):
    """One machine for one project. ``served_from`` is "pool" or "cold" once it is known.

    ``price`` is what the size cost when the order was placed, approved, or begun at its next candidate, as
    ``catalog.prices.book`` keeps it; None is unknown.
    """

    # "order" is an SQL keyword
    __tablename__ = "machine_order"

    id: OrderId = Field(primary_key=True, sa_type=String)
    project_id: ProjectId = Field(foreign_key="project.id", sa_type=String, index=True)
    offer_id: OfferId = Field(foreign_key="offer.id", sa_type=String)
    name: str
    size: str
    image: str
    location: str | None = None
    key_pair: str | None = None
    network: str | None = None
    state: OrderState = enum_column(OrderState, OrderState.PLACED, index=True)
    machine_id: MachineId | None = Field(default=None, sa_type=String)
    served_from: str = ""
    lease_s: float | None = None  # how long its machine is lent from the moment it is handed over; None: without end
    attempts: int = 0
    code: str = ""
    reason: str = ""
    price: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    ordered_by: str = ""  # the principal's key
    ordered_with: str = ""  # the id of the token or log-in
    next_attempt_at_s: float | None = None  # when a failed creation is tried again
    finished_at_s: float | None = None


class IdempotencyRecord(Row, table=True):
    """The answer to a POST, kept under (principal, key) so that a repeat gets the same answer and no effect."""

    __tablename__ = "idempotency_record"

    principal: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_hash: str
    status: int
    headers: dict[str, str] = json_column()
    # Tokens are shown once: a repeat of their POST gets the record without the token text.
    body: dict[str, Any] = json_column()


class WeightSet(Row, table=True):
    """Live route weights: of row "gateway" for all, of a platform's id for what it asks for, where they differ."""

    __tablename__ = "weight_set"

    name: str = Field(primary_key=True)
    values: dict[str, float] = json_column()
