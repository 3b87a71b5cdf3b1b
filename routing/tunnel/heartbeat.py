"""Beat over the SSH connections of a chain of relays, and tell what the answers mean.

A beat is a keepalive request, which every sshd answers, if only with a refusal (RFC 4254, 4): nothing runs at the far
side. Over the farthest connection it takes the whole way through every relay before it, so one heartbeat watches a
whole chain, and all tunnels that end at the same connection share it.
"""

import asyncio
from collections.abc import Callable, Sequence

import asyncssh

from routing.probe.passive import acknowledge_at_once
from routing.tunnel.liveness import Health, LivenessPolicy, Pulse
from routing.tunnel.packets import LeanConnection

_BEAT = b"keepalive@openssh.com"

Listener = Callable[[Health], None]


class Heartbeat:
    """The beating of a chain's farthest connection; it runs while anybody listens.

    While that is suspect, the nearer connections are asked too, so that in the end the nearest one that is silent is
    the one that is ended: those behind it end with it, and whoever else uses it hears of it.
    """

    def __init__(self, chain: Sequence[asyncssh.SSHClientConnection], policy: LivenessPolicy) -> None:
        """Take the chain's connections, the nearest first; nothing is sent yet."""
        self._nearer, self._farthest = tuple(chain[:-1]), chain[-1]
        self._policy = policy
        self._pulse = Pulse.beginning(0.0)
        self._health = Health.HEALTHY
        self._listeners: list[Listener] = []
        self._beating: asyncio.Task[None] | None = None
        self._answered: set[asyncssh.SSHClientConnection] = set()  # of the nearer ones, since the way is suspect

    @property
    def health(self) -> Health:
        """What is believed of the chain now."""
        return Health.DEAD if self._farthest.is_closed() else self._health

    def join(self, listener: Listener) -> None:
        """Call ``listener`` at every change of health from now on, in the event loop."""
        self._listeners.append(listener)
        if self._beating is None or self._beating.done():
            known_s = self._farthest.round_trip_s if isinstance(self._farthest, LeanConnection) else 0.0
            self._pulse = Pulse.beginning(asyncio.get_running_loop().time(), known_s)
            # A task of the connection, which its users outlive.
            self._beating = self._farthest.create_task(self._run())

    def leave(self, listener: Listener) -> None:
        """Stop calling ``listener``; the last one to leave stops the beating. May be repeated."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners and self._beating is not None:
            self._beating.cancel()
            self._beating = None  # it ends at its next turn only; whoever joins before that needs another

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while self.health is not Health.DEAD:
            now_s = loop.time()
            self._pulse = self._pulse.looked(now_s, due_s)
            if isinstance(self._farthest, LeanConnection):
                # Whatever came is a sign of life: a beat may wait behind an upload.
                self._pulse = self._pulse.heard(self._farthest.heard_at_s)
            if now_s >= self._next_beat_s():
                self._beat(now_s)
            self._judge()
            # Whoever begins to await something meanwhile is noticed in time for the beat that is then due.
            soon_s = now_s + self._pulse.interval_s(self._policy)
            due_s = min([self._next_beat_s(), soon_s, *self._turns_s()])
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        if self._health is not Health.DEAD:
            # Somebody else has ended the connection.
            self._health = Health.DEAD
            self._tell()

    def _next_beat_s(self) -> float:
        if isinstance(self._farthest, LeanConnection):
            return self._pulse.next_beat_s(self._policy, self._farthest.awaited_since_s)
        # A connection that does not say whether anything is awaited is taken to await something always.
        return self._pulse.next_beat_s(self._policy, self._pulse.heard_s)

    def _turns_s(self) -> list[float]:
        """Return when silence would change what is believed."""
        turns_s = (self._pulse.suspect_at_s(self._policy), self._pulse.dead_at_s(self._policy))
        return [at_s for at_s in turns_s if at_s is not None and at_s > self._pulse.looked_s]

    def _beat(self, now_s: float) -> None:
        self._pulse = self._pulse.asked(now_s)
        self._farthest.create_task(self._ask())
        if self._health is Health.SUSPECT:
            for connection in self._nearer:
                connection.create_task(self._ask_nearer(connection))

    async def _ask(self) -> None:
        if await _answers(self._farthest):
            self._pulse = self._pulse.answered(asyncio.get_running_loop().time())
            self._judge()

    async def _ask_nearer(self, connection: asyncssh.SSHClientConnection) -> None:
        if await _answers(connection):
            self._answered.add(connection)

    def _judge(self) -> None:
        """Tell of a change; of a dead chain, end what is silent."""
        before, self._health = self._health, self._pulse.health(self._policy)
        if self._health is before:
            return
        if self._health is Health.SUSPECT:
            self._answered.clear()
        elif self._health is Health.DEAD:
            silent = next((each for each in self._nearer if each not in self._answered), self._farthest)
            silent.connection_lost(asyncssh.ConnectionLost("no answer to heartbeats"))
        self._tell()

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener(self._health)


async def _answers(connection: asyncssh.SSHClientConnection) -> bool:
    """Wait for the answer to a beat; tell whether it came before the connection ended."""
    if connection.is_closed():
        return False
    acknowledge_at_once(connection)
    # asyncssh has no public way to ask; its own keepalive is this very call.
    await connection._make_global_request(_BEAT)  # noqa: SLF001
    # A connection that ends answers all its requests by itself; it has no transport before it is closed.
    return connection._transport is not None and not connection.is_closed()  # noqa: SLF001
