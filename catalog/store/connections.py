"""Queries on connections, their sessions, decisions and steps."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased
from sqlmodel import and_, col, not_, or_, select, update

from catalog.messages.handshake import Capability
from catalog.model.asset import LIVE, Asset
from catalog.model.connection import AccountSession, Connection, ConnectionState, RouteDecision, StepRecord
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import ConnectionId, PlatformId
from catalog.model.machine import Custody, Machine, MachineState
from catalog.store.database import Tx

# A failed connection holds nothing and waits for nobody; it may be retried, see catalog.connections.
OPEN_STATES = frozenset(ConnectionState) - {ConnectionState.FAILED, ConnectionState.CLOSED}
# What a route is kept for: in every other state the row's route is empty.
ROUTED_STATES = frozenset({ConnectionState.TUNNELLING, ConnectionState.HANDSHAKING, ConnectionState.ESTABLISHED})


def open_between(tx: Tx, requester: PlatformId, target: PlatformId) -> Connection | None:
    """Return the connection of the pair that is neither failed nor closed, or None."""
    statement = select(Connection).where(
        col(Connection.requester_id) == requester,
        col(Connection.target_id) == target,
        col(Connection.state).in_(OPEN_STATES),
    )
    return tx.exec(statement.order_by(col(Connection.id)).limit(1)).first()


def of_platform(tx: Tx, platform_id: PlatformId) -> Sequence[Connection]:
    """Return the open connections from or to the platform."""
    mine = or_(col(Connection.requester_id) == platform_id, col(Connection.target_id) == platform_id)
    return tx.exec(select(Connection).where(mine, col(Connection.state).in_(OPEN_STATES))).all()


def overdue(tx: Tx, now_s: float, *, over: Collection[GrantState]) -> Sequence[Connection]:
    """Return the established connections that outlasted the wind-down of all that is still there, oldest first.

    Only those that stood before its deadline, to platforms all of whose grants are in one of the states ``over``.
    """
    deadline, target = col(Grant.wind_down_until_s), col(Connection.target_id)
    other, held = aliased(Grant), aliased(Grant)
    granted = select(other.id).where(col(other.platform_id) == target, col(other.state).not_in(over))
    in_time = or_(col(held.wind_down_until_s).is_(None), col(held.wind_down_until_s) > now_s)
    holding = select(held.id).where(col(held.platform_id) == target, in_time, _something_left(held))
    later = select(AccountSession.id).where(
        col(AccountSession.connection_id) == col(Connection.id),
        col(AccountSession.ended_at_s).is_(None),
        col(AccountSession.opened_at_s) >= deadline,
    )
    ended = select(Grant.id).where(
        col(Grant.platform_id) == target, deadline <= now_s, _something_left(Grant), not_(later.exists())
    )
    standing = select(Connection).where(col(Connection.state) == ConnectionState.ESTABLISHED, ended.exists())
    found = standing.where(not_(granted.exists()), not_(holding.exists()))
    return tx.exec(found.order_by(col(Connection.id))).all()


def with_something_left(tx: Tx, platform_id: PlatformId) -> Sequence[Grant]:
    """Return the grants of the platform under which we made what may still be in its cloud."""
    return tx.exec(select(Grant).where(col(Grant.platform_id) == platform_id, _something_left(Grant))).all()


def _something_left(grant: type[Grant]) -> ColumnElement[bool]:
    """Return the condition that something of ours is left under ``grant``; what was there before us is not ours."""
    machines = select(Machine.id).where(
        col(Machine.platform_id) == col(grant.platform_id),
        col(Machine.custody) == Custody.MADE.value,
        col(Machine.state) != MachineState.GONE,
    )
    assets = select(Asset.id).where(
        col(Asset.platform_id) == col(grant.platform_id),
        col(Asset.capability) == col(grant.capability),
        col(Asset.state).in_(LIVE),
    )
    return or_(and_(col(grant.capability) == str(Capability.MACHINE), machines.exists()), assets.exists())


def through_relay(tx: Tx, relay: str) -> Connection | None:
    """Return a connection whose route in use has ``relay`` (a name) as a hop, or None."""
    found = tx.exec(select(Connection).where(col(Connection.state).in_(ROUTED_STATES)).order_by(col(Connection.id)))
    return next((connection for connection in found if relay in connection.route.split(">")), None)


def latest_decision(tx: Tx, connection_id: ConnectionId) -> RouteDecision | None:
    """Return the newest decision on the connection's route, or None."""
    statement = select(RouteDecision).where(col(RouteDecision.connection_id) == connection_id)
    return tx.exec(statement.order_by(col(RouteDecision.id).desc()).limit(1)).first()


def end_sessions(tx: Tx, connection_id: ConnectionId, now_s: float) -> int:
    """End the connection's open sessions and return how many there were."""
    statement = (
        update(AccountSession)
        .where(col(AccountSession.connection_id) == connection_id, col(AccountSession.ended_at_s).is_(None))
        .values(ended_at_s=now_s, updated_at_s=now_s, version=col(AccountSession.version) + 1)
    )
    return tx.exec(statement.execution_options(synchronize_session="evaluate")).rowcount


def count_call(tx: Tx, connection_id: ConnectionId) -> int:
    """Count one call in each of the connection's open sessions and return how many there are."""
    statement = (
        update(AccountSession)
        .where(col(AccountSession.connection_id) == connection_id, col(AccountSession.ended_at_s).is_(None))
        .values(calls=col(AccountSession.calls) + 1, version=col(AccountSession.version) + 1)
    )
    return tx.exec(statement.execution_options(synchronize_session="evaluate")).rowcount


def newest_step(tx: Tx, subject_id: str) -> StepRecord | None:
    """Return the newest recorded step of ``subject_id``, None when there is none."""
    found = select(StepRecord).where(col(StepRecord.subject_id) == subject_id).order_by(col(StepRecord.id).desc())
    return tx.exec(found.limit(1)).first()
