"""S1's three sessions: account with the gateway, with the transport network, with the target platform.

They are opened together when the tunnel is up, linked to one another, and every business call through the
tunnel is counted in all three; so one can be converted into the next, and read back later.
"""

from catalog.connections import count_call, end_sessions, open_sessions
from catalog.model.connection import AccountSession, Connection, Leg
from catalog.model.ids import ConnectionId
from catalog.model.platform import Platform
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id, first, update
from gateway.network import Snapshot
from routing.candidates import Route


def transport_account(route: Route, snapshot: Snapshot) -> str:
    """Return the accounts on the way, one per relay, as ``user@relay>user@relay``; ``direct`` without relays."""
    users = {relay.name: relay.user for relay in snapshot.topology.relays}
    return ">".join(f"{users[hop]}@{hop}" for hop in route.hops) or "direct"


class Sessions:
    """Opens, counts in and ends the sessions of connections."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take where they are recorded."""
        self._database = database
        self._clock = clock

    async def open(self, connection_id: ConnectionId, route: Route, snapshot: Snapshot) -> tuple[AccountSession, ...]:
        """Record the three sessions of a connection whose tunnel is up; sessions left open before are ended."""
        now_s = self._clock.now_s()

        def work(tx: Tx) -> tuple[AccountSession, ...]:
            connection = by_id(tx, Connection, connection_id)
            requester = by_id(tx, Platform, connection.requester_id)
            target = by_id(tx, Platform, connection.target_id)
            return open_sessions(
                tx,
                connection,
                gateway_account=f"{requester.name}/{requester.account}",
                transport_account=transport_account(route, snapshot),
                target_account=f"{target.name}/{target.account}",
                now_s=now_s,
            )

        return await self._database.write(work)

    async def move(self, connection_id: ConnectionId, route: Route, snapshot: Snapshot) -> None:
        """Note in the open transport session which relays the connection goes over now."""
        account, now_s = transport_account(route, snapshot), self._clock.now_s()

        def work(tx: Tx) -> None:
            transport = first(tx, AccountSession, connection_id=connection_id, leg=Leg.TRANSPORT, ended_at_s=None)
            if transport is not None:
                update(tx, transport, {"account": account}, now_s)

        await self._database.write(work)

    async def count(self, connection_id: ConnectionId) -> None:
        """Count one business call against all three sessions."""
        await self._database.write(lambda tx: count_call(tx, connection_id))

    async def end(self, connection_id: ConnectionId) -> None:
        """End whatever is open; harmless when nothing is."""
        now_s = self._clock.now_s()
        await self._database.write(lambda tx: end_sessions(tx, connection_id, now_s))
