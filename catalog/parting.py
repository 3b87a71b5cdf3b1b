"""The end of connections to a platform that grants nothing any more, and at which nothing of ours is left.

While machines or assets of ours are there, the connection stays, until the deadline of the wind-down of each: over it
they are read and destroyed. A deadline counts for what was made under its own grant.
"""

from collections.abc import Sequence

from catalog import connections
from catalog.model.connection import Connection, ConnectionEvent, ConnectionState
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import PlatformId
from catalog.store import connections as store
from catalog.store import rows
from catalog.store.database import Tx

NOTHING_GRANTED = "nothing-granted"
REASON = "all that the platform granted was taken back"
# An expired grant is renewed over the connection, and what is not answered is asked for again.
_OVER = frozenset({GrantState.PROPOSED, GrantState.DENIED, GrantState.REFUSED, GrantState.REVOKED})


def part_if_nothing_is_left(tx: Tx, platform_id: PlatformId, now_s: float) -> int:
    """End the established connections to the platform if nothing holds them any more; return how many were ended.

    They are FAILED with the reason, their sessions ended; asking again (reroute) asks the owner anew. A platform that
    never granted anything keeps its connection.
    """
    states = {grant.state for grant in rows.where(tx, Grant, platform_id=platform_id)}
    if GrantState.REVOKED not in states or not states <= _OVER:
        return 0
    deadlines = [grant.wind_down_until_s for grant in store.with_something_left(tx, platform_id)]
    if any(until_s is None or until_s > now_s for until_s in deadlines):
        return 0
    return _part(tx, rows.where(tx, Connection, target_id=platform_id, state=ConnectionState.ESTABLISHED), now_s)


def part_overdue(tx: Tx, now_s: float) -> int:
    """End the connections that what we made held beyond its wind-down; return how many were ended.

    One that was established after the deadline was made for something else, and is left alone.
    """
    return _part(tx, store.overdue(tx, now_s, over=_OVER), now_s)


def is_any_overdue(tx: Tx, now_s: float) -> bool:
    """Return whether ``part_overdue`` would end anything."""
    return bool(store.overdue(tx, now_s, over=_OVER))


def _part(tx: Tx, held: Sequence[Connection], now_s: float) -> int:
    for connection in held:
        connections.move(tx, connection.id, ConnectionEvent.LOSE, now_s)
        connections.move(tx, connection.id, ConnectionEvent.FAIL, now_s, code=NOTHING_GRANTED, reason=REASON)
    return len(held)
