"""Keep every connection: establish it, watch its tunnel, move it to a clearly better route, rebuild it when lost.

One task per open connection, all in one TaskGroup; what a connection shall do next is read from its row, so a restart
resumes where the rows say.
"""

import asyncio
import logging
import random
from dataclasses import dataclass

from catalog.connections import end_sessions, move, unfinished
from catalog.model.connection import Connection, ConnectionEvent, ConnectionState
from catalog.model.ids import ConnectionId
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id
from gateway.connections.establish import Establisher
from gateway.connections.steps import KNOWN_ERRORS
from gateway.connections.tunnels import LiveConnection
from routing.errors import RoutingError
from routing.tunnel.tunnel import Tunnel

log = logging.getLogger(__name__)

_S, _E = ConnectionState, ConnectionEvent

# Which event takes a row that a dead process left, or that waits to be worked on, to ROUTING.
_BEGIN = {
    _S.REQUESTED: _E.BEGIN,
    _S.TUNNELLING: _E.RETRY,
    _S.HANDSHAKING: _E.RETRY,
    _S.LOST: _E.RETRY,
    _S.FAILED: _E.RETRY,
}
_WORKABLE = (*_BEGIN, _S.ROUTING, _S.ESTABLISHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPolicy:
    """When to look again. A first request is tried ``first_attempts`` times; one that once stood, for ever."""

    review_period_s: float = 15.0
    poll_period_s: float = 2.0  # a wake that was lost costs at most this long
    drain_s: float = 10.0
    first_attempts: int = 3
    pause_first_s: float = 1.0
    pause_longest_s: float = 30.0


class Keeper:
    """The service that owns all connections of this process."""

    def __init__(self, database: Database, clock: Clock, establisher: Establisher, policy: KeepPolicy) -> None:
        """Take what it works with; ``run`` does the work."""
        self._database = database
        self._clock = clock
        self._establisher = establisher
        self._policy = policy
        self._kept: dict[ConnectionId, asyncio.Event] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at all rows now: something was requested, consented to, closed, or asked to move."""
        self._woken.set()
        for changed in self._kept.values():
            changed.set()

    async def run(self) -> None:
        """Keep connections until cancelled; on the way out every tunnel is closed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._woken.clear()
                    for connection in await self._database.read(unfinished):
                        if connection.id not in self._kept and connection.state in _WORKABLE:
                            self._kept[connection.id] = asyncio.Event()
                            tasks.create_task(self._keep(connection.id), name=f"keep {connection.id}")
                    await _set_within(self._woken, self._policy.poll_period_s)
        finally:
            self._kept.clear()

    async def _keep(self, connection_id: ConnectionId) -> None:
        attempts, stood = 0, False
        live: LiveConnection | None = None
        try:
            while await self._begin(connection_id):
                attempts += 1
                try:
                    live = await self._establisher.run(connection_id)
                except KNOWN_ERRORS as error:
                    await self._failed(connection_id, error)
                    if not (error.retryable and (stood or attempts < self._policy.first_attempts)):
                        return
                    await self._pause(connection_id, attempts)
                    continue
                attempts, stood = 0, True
                live = await self._hold(live)
                await self._let_go(live)
                live = None
        finally:
            if live is not None:
                await self._establisher.live_closed(live)
            self._kept.pop(connection_id, None)

    async def _begin(self, connection_id: ConnectionId) -> bool:
        """Take the row to ROUTING. False when there is nothing to do: closed, or not yet consented to."""
        now_s = self._clock.now_s()

        def work(tx: Tx) -> bool:
            connection = by_id(tx, Connection, connection_id)
            if connection.state is _S.ESTABLISHED:
                # A former process held it; its tunnel died with it, and its sessions with the tunnel.
                connection = move(tx, connection_id, _E.LOSE, now_s, code="tunnel-lost", reason="the gateway restarted")
                end_sessions(tx, connection_id, now_s)
            if connection.state in _BEGIN:
                connection = move(tx, connection_id, _BEGIN[connection.state], now_s)
            return connection.state is _S.ROUTING

        return await self._database.write(work)

    async def _failed(self, connection_id: ConnectionId, error: Exception) -> None:
        code, reason = str(getattr(error, "code", "")), str(error)
        now_s = self._clock.now_s()

        def work(tx: Tx) -> None:
            if by_id(tx, Connection, connection_id).state is not _S.CLOSED:
                move(tx, connection_id, _E.FAIL, now_s, code=code, reason=reason)

        await self._database.write(work)
        log.warning("connection failed", extra={"connection": connection_id, "code": code})

    async def _pause(self, connection_id: ConnectionId, attempts: int) -> None:
        longest = min(self._policy.pause_longest_s, self._policy.pause_first_s * 2 ** (attempts - 1))
        # Jitter keeps a hundred connections from coming back in the same instant. Not a secret: plain random.
        await _set_within(self._kept[connection_id], longest * random.uniform(0.75, 1.25))  # noqa: S311

    async def _hold(self, live: LiveConnection) -> LiveConnection:
        """Return, with the tunnel then in use, when it is lost or the connection is closed."""
        changed = self._kept[live.connection]
        review_at_s = self._clock.now_s() + self._policy.review_period_s
        while True:
            changed.clear()
            wait_s = max(0.05, min(review_at_s - self._clock.now_s(), self._policy.review_period_s))
            await _first_of(live.tunnel, changed, wait_s)
            if live.tunnel.is_lost or await self._is_closed(live.connection):
                return live
            if changed.is_set() or self._clock.now_s() >= review_at_s:
                live = await self._reviewed(live)
                review_at_s = self._clock.now_s() + self._policy.review_period_s

    async def _reviewed(self, live: LiveConnection) -> LiveConnection:
        """Measure again and move to a clearly better route; the new tunnel is up before the old one drains."""
        try:
            network, choice = await self._establisher.review(live)
            if choice.preferred == live.route:
                return live
            moved = await self._establisher.rebuild(live, network, choice)
        except RoutingError as error:
            log.warning("route review failed", extra={"connection": live.connection, "code": error.code})
            return live
        log.info("route moved", extra={"connection": live.connection, "before": live.route.id, "now": moved.route.id})
        await self._drain(live)
        return moved

    async def _drain(self, old: LiveConnection) -> None:
        give_up_at_s = self._clock.now_s() + self._policy.drain_s
        while old.tunnel.channels_open and not old.tunnel.is_lost and self._clock.now_s() < give_up_at_s:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # sockets close by themselves; nobody could set an event for the last one
        await old.tunnel.close()

    async def _let_go(self, live: LiveConnection) -> None:
        reason = await live.tunnel.wait_lost() if live.tunnel.is_lost else "closed"
        await self._establisher.live_closed(live)
        now_s = self._clock.now_s()

        def work(tx: Tx) -> None:
            if by_id(tx, Connection, live.connection).state is _S.ESTABLISHED:
                move(tx, live.connection, _E.LOSE, now_s, code="tunnel-lost", reason=reason)

        await self._database.write(work)
        log.info("tunnel ended", extra={"connection": live.connection, "reason": reason})

    async def _is_closed(self, connection_id: ConnectionId) -> bool:
        connection = await self._database.read(lambda tx: by_id(tx, Connection, connection_id))
        return connection.state is _S.CLOSED


async def _set_within(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass


async def _first_of(tunnel: Tunnel, changed: asyncio.Event, timeout_s: float) -> None:
    """Return when the tunnel is lost, ``changed`` is set, or ``timeout_s`` is over."""
    either = asyncio.Event()

    async def lost() -> None:
        await tunnel.wait_lost()
        either.set()

    async def told() -> None:
        await changed.wait()
        either.set()

    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(lost()), tasks.create_task(told())]
        await _set_within(either, timeout_s)
        for task in waiting:
            task.cancel()
