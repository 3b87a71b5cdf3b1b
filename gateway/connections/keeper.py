"""Keep every connection: establish it, watch its tunnel, move it to a clearly better route, rebuild it when lost.

One task per open connection, all in one TaskGroup; what a connection shall do next is read from its row, so a restart
resumes where the rows say.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from catalog.connections import end_sessions, move, unfinished
from catalog.errors import CatalogError
from catalog.model.connection import Connection, ConnectionEvent, ConnectionState, StepRecord
from catalog.model.ids import ConnectionId
from catalog.ports import Clock
from catalog.store.database import Database, StoreUnavailable, Tx
from catalog.store.rows import by_id, first, where
from gateway.background.runner import contained
from gateway.connections.establish import Establisher
from gateway.connections.steps import CONNECT_STEPS, KNOWN_ERRORS
from gateway.connections.succession import Succession
from gateway.connections.tunnels import LiveConnection
from gateway.errors import InternalError
from routing.tunnel.tunnel import Tunnel

log = logging.getLogger(__name__)

_S, _E = ConnectionState, ConnectionEvent

# Which event takes a row that a dead process left, or that waits to be worked on, to ROUTING. A failed one stays so
# until somebody asks again.
_BEGIN = {
    _S.REQUESTED: _E.BEGIN,
    _S.TUNNELLING: _E.RETRY,
    _S.HANDSHAKING: _E.RETRY,
    _S.LOST: _E.RETRY,
}
_WORKABLE = (*_BEGIN, _S.ROUTING, _S.ESTABLISHED)
# 2 ** 20 times any first pause is longer than any longest one, and still a float.
_DOUBLINGS_LIMIT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPolicy:
    """When to look again. A first request is tried ``first_attempts`` times; one that once stood, for ever."""

    review_period_s: float = 15.0
    poll_period_s: float = 2.0  # a wake that was lost costs at most this long
    drain_s: float = 10.0
    prove_s: float = 15.0  # how often a standby is proven again
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
        self._succession = Succession(establisher=establisher, prove_s=policy.prove_s)
        self._kept: dict[ConnectionId, asyncio.Event] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at all rows now: something was requested, consented to, closed, or asked to move."""
        self._woken.set()
        for changed in self._kept.values():
            changed.set()

    def let_go(self, connection_id: ConnectionId) -> None:
        """Look at the row of this one connection now: it is over, and its tunnel is to be closed."""
        if (changed := self._kept.get(connection_id)) is not None:
            changed.set()

    async def recover(self) -> None:
        """Say of every connection that a former process held that it is lost: its tunnel died with that process.

        To be called before anybody is answered, so that nothing is called established that is not.
        """
        now_s = self._clock.now_s()

        def work(tx: Tx) -> None:
            for connection in where(tx, Connection, state=_S.ESTABLISHED):
                move(tx, connection.id, _E.LOSE, now_s, code="tunnel-lost", reason="the gateway was restarted")
                end_sessions(tx, connection.id, now_s)

        await self._database.write(work)

    async def run(self) -> None:
        """Keep connections until cancelled; on the way out every tunnel is closed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._woken.clear()
                    for connection_id in await self._unkept():
                        self._kept[connection_id] = asyncio.Event()
                        tasks.create_task(self._keep(connection_id, tasks), name=f"keep {connection_id}")
                    await _set_within(self._woken, self._policy.poll_period_s)
        finally:
            self._kept.clear()

    async def _unkept(self) -> list[ConnectionId]:
        try:
            found = await self._database.read(unfinished)
        except CatalogError as error:
            # The tunnels stand whatever becomes of the disk: look again at the next poll.
            log.warning("connections cannot be read", extra={"code": error.code})
            return []
        return [each.id for each in found if each.id not in self._kept and each.state in _WORKABLE]

    async def _keep(self, connection_id: ConnectionId, tasks: asyncio.TaskGroup) -> None:
        """Keep one connection. Whatever goes wrong here ends this one's keeping only; the next poll takes it up."""
        try:
            await contained(lambda: self._keep_on(connection_id, tasks), KNOWN_ERRORS)
        except KNOWN_ERRORS as error:
            log.warning("connection let go of", extra={"connection": connection_id, "code": error.code})
        finally:
            self._kept.pop(connection_id, None)

    async def _keep_on(self, connection_id: ConnectionId, tasks: asyncio.TaskGroup) -> None:
        attempts, stood = 0, await self._stood_before(connection_id)
        try:
            while (begun := await self._begin(connection_id)) is not None:
                attempts += 1
                try:
                    live = await contained(lambda: self._establisher.run(connection_id), KNOWN_ERRORS)
                except KNOWN_ERRORS as error:
                    # A mistake of ours says nothing about the connection, so it may pass like a network's.
                    passing = error.retryable or isinstance(error, InternalError)
                    again = passing and (stood or attempts < self._policy.first_attempts)
                    after = await self._failed(error, begun, again=again)
                    if again:
                        await self._pause(after, attempts)
                    continue
                attempts, stood = 0, True
                await self._let_go(await self._hold(live, tasks))
        finally:
            # Whichever tunnel is in use now: the one that was established, or one that a review moved to.
            if (held := self._establisher.live.get(connection_id)) is not None:
                await self._let_go(held)

    async def _stood_before(self, connection_id: ConnectionId) -> bool:
        """Tell whether a former process had established the connection: then no outage is too long to wait for."""

        def work(tx: Tx) -> bool:
            lost = by_id(tx, Connection, connection_id).state is _S.LOST
            return lost or first(tx, StepRecord, subject_id=connection_id, step=CONNECT_STEPS[-1]) is not None

        return await self._database.read(work)

    async def _begin(self, connection_id: ConnectionId) -> Connection | None:
        """Take the row to ROUTING and return it. None when there is nothing to do: closed, or given up."""
        now_s = self._clock.now_s()

        def work(tx: Tx) -> Connection | None:
            connection = by_id(tx, Connection, connection_id)
            if connection.state is _S.ESTABLISHED:
                # Whoever held it could not say that its tunnel is gone.
                connection = move(tx, connection_id, _E.LOSE, now_s, code="tunnel-lost", reason="its keeper ended")
            if connection.state in _BEGIN:
                connection = move(tx, connection_id, _BEGIN[connection.state], now_s)
            return connection if connection.state is _S.ROUTING else None

        return await self._database.write(work)

    async def _failed(self, error: Exception, begun: Connection, *, again: bool) -> Connection:
        """Record the failure, and at once whether it goes on; return the row.

        A row that was closed, or asked to begin again, in the meantime is left as it is: that is why it failed.
        """
        code, reason = str(getattr(error, "code", "")), str(error)
        now_s = self._clock.now_s()

        def work(tx: Tx) -> Connection:
            connection = by_id(tx, Connection, begun.id)
            if connection.state is _S.CLOSED or connection.attempts != begun.attempts:
                return connection
            if connection.state is _S.ESTABLISHED:
                connection = move(tx, begun.id, _E.LOSE, now_s)
            connection = move(tx, begun.id, _E.FAIL, now_s, code=code, reason=reason)
            if again:
                # Before the pause, not after it: a restart in between must find that it is to go on.
                connection = move(tx, begun.id, _E.RETRY, now_s, code=code, reason=reason)
            return connection

        after = await self._database.write(work)
        log.warning("connection failed", extra={"connection": begun.id, "code": code})
        return after

    async def _pause(self, after: Connection, attempts: int) -> None:
        """Wait before the next attempt; not longer than until the row is closed or asked to go on."""
        doublings = min(attempts - 1, _DOUBLINGS_LIMIT)
        longest_s = min(self._policy.pause_longest_s, self._policy.pause_first_s * 2**doublings)
        changed = self._kept[after.id]
        with contextlib.suppress(TimeoutError):
            # Jitter keeps a hundred connections from coming back in the same instant. Not a secret: plain random.
            async with asyncio.timeout(longest_s * random.uniform(0.75, 1.25)):  # noqa: S311
                while True:
                    # Wakes are for all connections: only a change of this one's row is worth an early attempt.
                    changed.clear()
                    if (await self._row(after.id)).version != after.version:
                        return
                    await changed.wait()

    async def _hold(self, live: LiveConnection, tasks: asyncio.TaskGroup) -> LiveConnection:
        """Return, with the tunnel then in use, when it is lost with no standby, or the connection is over."""
        planned = asyncio.Event()
        async with asyncio.TaskGroup() as beside:
            standing_by = beside.create_task(self._succession.keep(live.connection, planned))
            try:
                return await self._hold_on(live, tasks, planned)
            finally:
                standing_by.cancel()

    async def _hold_on(self, live: LiveConnection, tasks: asyncio.TaskGroup, planned: asyncio.Event) -> LiveConnection:
        """Do the holding; ``planned`` is set whenever another standby may be planned."""
        changed = self._kept[live.connection]
        review_at_s = self._clock.now_s() + self._policy.review_period_s
        while True:
            told = changed.is_set()
            # Before the row is read: what is said after that is heard in the next turn.
            changed.clear()
            if await self._is_over(live.connection):
                return live
            if live.tunnel.is_lost:
                if not _has_standby(live):
                    return live
                live = await self._succession.take_over(live)
                # By fresh measurements: the standby may be far from the best of what is left.
                changed.set()
            elif told or self._clock.now_s() >= review_at_s:
                live = await self._reviewed_unless_over(live, tasks)
                planned.set()
                review_at_s = self._clock.now_s() + self._policy.review_period_s
            else:
                wait_s = max(0.05, min(review_at_s - self._clock.now_s(), self._policy.review_period_s))
                await _first_of(live.tunnel, changed, wait_s)

    async def _reviewed_unless_over(self, live: LiveConnection, tasks: asyncio.TaskGroup) -> LiveConnection:
        """Review, but break off when the connection is closed or its tunnel lost: neither waits for probes."""
        async with asyncio.TaskGroup() as beside:
            reviewing = beside.create_task(self._reviewed(live, tasks))

            async def break_off(over: Callable[[LiveConnection], Awaitable[bool]]) -> None:
                if await over(live):
                    reviewing.cancel()

            watching = [beside.create_task(break_off(over)) for over in (self._may_take_over, self._was_ended)]
            reviewing.add_done_callback(lambda _task: [each.cancel() for each in watching])
        return live if reviewing.cancelled() else reviewing.result()

    async def _may_take_over(self, live: LiveConnection) -> bool:
        """Wait until the tunnel is lost; tell whether a standby is there. Without one the review may yet find a way."""
        await live.tunnel.wait_lost()
        return _has_standby(live)

    async def _was_ended(self, live: LiveConnection) -> bool:
        """Wait until the row says that the connection is over. Whatever else is said is left for the next turn."""
        changed, heard = self._kept[live.connection], False
        try:
            while not await self._is_over(live.connection):
                await changed.wait()
                changed.clear()
                heard = True
        finally:
            if heard:
                changed.set()
        return True

    async def _reviewed(self, live: LiveConnection, tasks: asyncio.TaskGroup) -> LiveConnection:
        """Measure again and move to a clearly better route; the new tunnel is up before the old one drains."""
        try:
            network, choice = await contained(lambda: self._establisher.review(live), KNOWN_ERRORS)
            if choice.preferred == live.route:
                return live
            moved = await contained(lambda: self._establisher.rebuild(live, network, choice), KNOWN_ERRORS)
        except KNOWN_ERRORS as error:
            # No reason to give up a tunnel that stands.
            log.warning("route review failed", extra={"connection": live.connection, "code": error.code})
            return live
        log.info("route moved", extra={"connection": live.connection, "before": live.route.id, "now": moved.route.id})
        # Beside the holding: the new tunnel may be lost, or the connection closed, while the old one drains.
        tasks.create_task(self._drain(live), name=f"drain {live.connection}")
        return moved

    async def _drain(self, old: LiveConnection) -> None:
        """Close the tunnel when its last socket has, when it has had ``drain_s``, or when the connection ends."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._policy.drain_s):
                    while old.tunnel.channels_open and not old.tunnel.is_lost and self._is_live(old.connection):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)  # sockets close by themselves; nobody could set an event for the last
        finally:
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

    def _is_live(self, connection_id: ConnectionId) -> bool:
        return self._establisher.live.get(connection_id) is not None

    async def _is_over(self, connection_id: ConnectionId) -> bool:
        try:
            return (await self._row(connection_id)).state is not _S.ESTABLISHED
        except StoreUnavailable:
            return False  # as far as anybody knows; a tunnel that stands is not given up for a full disk

    async def _row(self, connection_id: ConnectionId) -> Connection:
        return await self._database.read(lambda tx: by_id(tx, Connection, connection_id))


def _has_standby(live: LiveConnection) -> bool:
    return live.standby is not None and not live.standby.tunnel.is_lost


async def _set_within(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


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
