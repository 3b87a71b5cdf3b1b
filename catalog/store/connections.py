"""Queries on connections, their sessions, decisions and steps."""

from collections.abc import Collection, Sequence

from sqlalchemy.orm import aliased
from sqlmodel import col, not_, or_, select, update

from catalog.messages.handshake import Capability
from catalog.model.connection import AccountSession, Connection, ConnectionState, RouteDecision
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
    """Return the established connections that outlasted the wind-down of machines that are still there, oldest first.

    Only those that stood before its deadline, to platforms all of whose grants are in one of the states ``over``.
    """
    deadline, target = col(Grant.wind_down_until_s), col(Connection.target_id)
    ended = (Grant.capability == str(Capability.MACHINE), col(Grant.state) == GrantState.REVOKED, deadline <= now_s)
    other = aliased(Grant)
    holding = select(other.id).where(col(other.platform_id) == target, col(other.state).not_in(over)).exists()
    ours = (col(Machine.platform_id) == target, col(Machine.custody) == Custody.MADE.value)
    left = select(Machine.id).where(*ours, col(Machine.state) != MachineState.GONE)
    later = select(AccountSession.id).where(
        col(AccountSession.connection_id) == col(Connection.id),
        col(AccountSession.ended_at_s).is_(None),
        col(AccountSession.opened_at_s) >= deadline,
    )
    statement = select(Connection).join(Grant, col(Grant.platform_id) == target).where(*ended)
    standing = statement.where(col(Connection.state) == ConnectionState.ESTABLISHED, left.exists())
    return tx.exec(standing.where(not_(holding), not_(later.exists())).order_by(col(Connection.id))).all()


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
