"""Warm SSH connections to relays, shared by all that goes over them: tunnels and probes alike.

There is one connection per way to a relay (gateway > r1, gateway > r1 > r2), however many use it, so that a tunnel over
known relays costs one channel and no log-in. A way is told apart by what every relay on it is declared to be: where
it is dialled, as whom, and which host keys are pinned. A relay that was declared anew is therefore another one.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import asyncssh

from routing.errors import ConnectionsFull, HopRefused, HopTimedOut, RoutingError, TopologyInvalid
from routing.topology import Address, Node, Topology
from routing.tunnel.hops import BrokeOff, Hop, close_connections, connect_hop
from routing.tunnel.policy import PoolPolicy, TunnelCredentials, TunnelPolicy
from routing.tunnel.prompt import is_understood

log = logging.getLogger(__name__)

# Hears how every attempt to connect to a relay ended: the relay's name, and the error's code or "".
Told = Callable[[str, str], None]

# Begins what is to be done over a connection, which may be dialled from but not stand yet. Does not wait.
Beyond = Callable[[asyncssh.SSHClientConnection], None]

# A relay that breaks off once may be overloaded; one that does so every time does not like the prompt way.
_BREAKS_LIMIT = 3


@dataclass(frozen=True, slots=True)
class _Place:
    """One relay of a way, as declared."""

    name: str
    address: Address
    user: str
    host_key: str


_Way = tuple[_Place, ...]


class _Attempt:
    """An attempt to connect that others may wait for. ``failure`` stays None when it was given up."""

    def __init__(self) -> None:
        self.is_over = asyncio.Event()
        self.may_dial = asyncio.Event()  # set with is_over at the latest
        self.connection: asyncssh.SSHClientConnection | None = None
        self.failure: RoutingError | None = None
        self.beyond: Beyond | None = None

    def dialable(self, connection: asyncssh.SSHClientConnection) -> None:
        """Say that the next hop may be dialled from the end of ``connection``."""
        if connection is not self.connection and self.beyond is not None:
            self.beyond(connection)
        self.connection = connection
        self.may_dial.set()

    def end(self) -> None:
        """Say that the outcome is known."""
        self.may_dial.set()
        self.is_over.set()


@dataclass(slots=True, eq=False)
class _Warm:
    """The connection of one way: standing, being made, or neither yet."""

    way: _Way
    relay: Node
    hop: Hop | None = None
    attempt: _Attempt | None = None
    users: int = 0
    closing: asyncio.TimerHandle | None = field(default=None, repr=False)


class Lease:
    """The use of a connection, and of those it is nested in, until ``release``."""

    def __init__(self, pool: "HopPool", held: Sequence[_Warm], hops: tuple[Hop, ...]) -> None:
        self.hops = hops  # the nearest first
        self._pool = pool
        self._held = tuple(held)
        self._is_released = False

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        """The connection to the last relay; it stays the pool's."""
        return self.hops[-1].connection

    async def release(self) -> None:
        """Give the connections back; whoever else uses them keeps them. May be repeated."""
        if not self._is_released:
            self._is_released = True
            await self._pool.release(self._held)


class HopPool:
    """The connections of one gateway. Belongs to one event loop; leaving it as a context closes every connection."""

    def __init__(
        self, credentials: TunnelCredentials, policy: TunnelPolicy | None = None, limits: PoolPolicy | None = None
    ) -> None:
        self._credentials = credentials
        self._policy = policy or TunnelPolicy()
        self._limits = limits or PoolPolicy()
        self._warm: dict[_Way, _Warm] = {}
        # Those without a user, the longest unused first. A way is given back farthest first, so that none stands
        # before one that is nested in it.
        self._idle: dict[_Way, _Warm] = {}
        self._retired: set[_Warm] = set()  # these serve those who have them, and nobody else
        self._seen: Topology | None = None
        self.told: Told = _nobody
        # How often a relay broke off the prompt way in a row, and then took the other.
        self._broke_off: Counter[_Place] = Counter()
        self._is_prompt = is_understood() and credentials.client_key.get_algorithm() == "ssh-ed25519"
        if not self._is_prompt:
            log.warning("relays are logged in to the slow way", extra={"asyncssh": asyncssh.__version__})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __len__(self) -> int:
        """Return how many connections stand or are being made."""
        return len(self._warm) + len(self._retired)

    async def lease(
        self,
        via: tuple[str, ...],
        topology: Topology,
        *,
        patience_s: float | None = None,
        beyond: Beyond | None = None,
    ) -> Lease:
        """Return a lease on a live connection to the last relay of ``via`` (not empty), built or reused.

        If it has to be built here, ``beyond`` is called as soon as channels may be opened over it, perhaps in vain.
        Callers who ask at once share one attempt and its failure, which names the nearest hop that failed. Raises
        HostKeyMismatch, HopRefused, HopTimedOut (also after ``patience_s``, while others may wait longer),
        ConnectionsFull, and TopologyInvalid for an unknown relay.
        """
        self._retire_changed(topology)
        places = _places(via, topology, _by_name(topology))
        held: list[_Warm] = []
        try:
            self._hold(places, held)
            async with asyncio.timeout(patience_s):
                hops = await self._standing(held, beyond)
        except TimeoutError as error:
            late = next((warm.relay.name for warm in held if warm.hop is None), via[-1])
            await self.release(held)
            raise HopTimedOut("no connection in time", hop=late) from error
        except BaseException:
            await self.release(held)
            raise
        return Lease(self, held, hops)

    async def release(self, held: Sequence[_Warm]) -> None:
        """Take a user off each of ``held`` (for leases); what nobody uses now waits for the next, or is closed."""
        unused = []
        for warm in reversed(held):
            warm.users -= 1
            if not warm.users:
                unused.append(warm)
        kept = [warm for warm in unused if self._limits.idle_s and warm.hop and self._warm.get(warm.way) is warm]
        for warm in kept:
            self._idle[warm.way] = warm
            warm.closing = asyncio.get_running_loop().call_later(self._limits.idle_s, self._close_idle, warm)
        while len(self._idle) > self._limits.idle_limit:
            self._close_idle(next(iter(self._idle.values())))
        await self._close([warm for warm in unused if warm not in kept])

    async def close(self) -> None:
        """Close every connection, used or not, the farthest first. May be repeated."""
        everything = [*self._warm.values(), *self._retired]
        await self._close(sorted(everything, key=lambda warm: len(warm.way), reverse=True))

    def _hold(self, places: Sequence[tuple[_Way, Node]], held: list[_Warm]) -> None:
        """Add to ``held`` what each way has, made where nothing is known, as its user. Raises ConnectionsFull."""
        for way, relay in places:
            warm = self._warm.get(way)
            if warm is None:
                self._make_room()
                warm = self._warm[way] = _Warm(way, relay)
            self._in_use(warm)
            warm.users += 1
            held.append(warm)

    def _make_room(self) -> None:
        if len(self) < self._limits.connection_limit:
            return
        if not self._idle:
            raise ConnectionsFull(
                f"the gateway holds {self._limits.connection_limit} connections to relays, and all are in use"
            )
        self._close_idle(next(iter(self._idle.values())))

    def _in_use(self, warm: _Warm) -> None:
        if self._idle.get(warm.way) is warm:
            del self._idle[warm.way]
        if warm.closing is not None:
            warm.closing.cancel()
            warm.closing = None

    async def _standing(self, held: Sequence[_Warm], beyond: Beyond | None) -> tuple[Hop, ...]:
        """Return every hop of ``held``, connecting those that nobody else is connecting already."""
        while True:
            place = next((place for place, warm in enumerate(held) if warm.hop is None), None)
            if place is None:
                return tuple(warm.hop for warm in held if warm.hop is not None)
            attempt = held[place].attempt
            if attempt is None:
                await self._connect(held, place, beyond)
                continue
            await attempt.is_over.wait()
            if attempt.failure is not None:
                raise attempt.failure

    async def _connect(self, held: Sequence[_Warm], place: int, beyond: Beyond | None) -> None:
        """Connect ``held[place]`` and all behind it, each as soon as the one before may be dialled from.

        Raises the failure of the nearest hop that failed.
        """
        missing = held[place:]
        before = _Attempt()
        nearest = held[place - 1].hop if place else None
        if nearest is not None:
            before.dialable(nearest.connection)
        before.end()
        attempts = [_Attempt() for _ in missing]
        attempts[-1].beyond = beyond
        for warm, attempt in zip(missing, attempts, strict=True):
            warm.attempt = attempt
        try:
            async with asyncio.TaskGroup() as group:
                for warm, near, attempt in zip(missing, [before, *attempts], attempts, strict=False):
                    group.create_task(self._connect_one(warm, near, attempt))
        finally:
            for warm, attempt in zip(missing, attempts, strict=True):
                if warm.attempt is attempt:  # not that of who began anew when a relay before it was lost
                    warm.attempt = None
                attempt.end()
        failure = next((attempt.failure for attempt in attempts if attempt.failure is not None), None)
        if failure is not None and nearest is not None and nearest.watch.reason is not None:
            raise HopRefused("its connection ended meanwhile", hop=nearest.name) from failure
        if failure is not None:
            raise failure

    async def _connect_one(self, warm: _Warm, near: _Attempt, attempt: _Attempt) -> None:
        """Connect one hop from the end of ``near``, and leave the outcome in ``attempt``."""
        while warm.hop is None and attempt.failure is None:
            await near.may_dial.wait()
            through = near.connection
            try:
                if near.failure is None:
                    warm.hop = await self._hop(warm, through, attempt)
            except RoutingError as error:
                # The hop before may be why, and is then the one to be named; or it stands, but by another connection.
                await near.is_over.wait()
                if near.failure is not None or near.connection is through:
                    attempt.failure = error
                    if near.failure is None:
                        self.told(warm.relay.name, error.code)
            else:
                attempt.failure = near.failure
        if warm.hop is not None:
            self.told(warm.relay.name, "")
            warm.hop.watch.listen(lambda: self._ended(warm))
            attempt.dialable(warm.hop.connection)
        attempt.end()

    async def _hop(self, warm: _Warm, through: asyncssh.SSHClientConnection | None, attempt: _Attempt) -> Hop:
        """Connect the prompt way, and by asyncssh's own where that is not to be or the relay breaks off."""
        place = warm.way[-1]

        async def connect(on_log_in: Callable[[asyncssh.SSHClientConnection], None] | None = None) -> Hop:
            return await connect_hop(
                warm.relay,
                place.address,
                through=through,
                credentials=self._credentials,
                policy=self._policy,
                on_log_in=on_log_in,
            )

        if not self._is_prompt or self._broke_off[place] >= _BREAKS_LIMIT:
            return await connect()
        try:
            hop = await connect(attempt.dialable)
        except BrokeOff:
            hop = await connect()
            self._broke_off[place] += 1
        else:
            del self._broke_off[place]
        return hop

    def _ended(self, warm: _Warm) -> None:
        """Forget a connection that is gone; those who use it hear of it by themselves."""
        self._in_use(warm)
        self._retired.discard(warm)
        if self._warm.get(warm.way) is warm:
            del self._warm[warm.way]

    def _close_idle(self, warm: _Warm) -> None:
        """Close a connection that nobody uses."""
        self._ended(warm)
        if warm.hop is not None:
            warm.hop.connection.close()

    async def _close(self, doomed: Sequence[_Warm]) -> None:
        for warm in doomed:
            self._ended(warm)
        connections = [warm.hop.connection for warm in doomed if warm.hop is not None]
        await close_connections(connections, self._policy.close_timeout_s)

    def _retire_changed(self, topology: Topology) -> None:
        """Let no new lease have a connection to what ``topology`` declares otherwise."""
        if topology is self._seen:
            return
        self._seen = topology
        relays = _by_name(topology)
        changed = [warm for way, warm in self._warm.items() if not _is_declared(way, topology, relays)]
        for warm in sorted(changed, key=lambda warm: len(warm.way), reverse=True):
            if warm.users:
                del self._warm[warm.way]
                self._retired.add(warm)
            else:
                self._close_idle(warm)


def _nobody(_relay: str, _code: str) -> None:
    """Hear, and do nothing."""


def _by_name(topology: Topology) -> dict[str, Node]:
    return {relay.name: relay for relay in topology.relays}


def _places(via: Iterable[str], topology: Topology, relays: Mapping[str, Node]) -> list[tuple[_Way, Node]]:
    """Return the way to each relay of ``via``, with the relay. Raises TopologyInvalid."""
    found: list[tuple[_Way, Node]] = []
    way: _Way = ()
    source = topology.gateway
    for name in via:
        relay = relays.get(name)
        if relay is None:
            raise TopologyInvalid(f"there is no relay named {name}", node=name)
        way = (*way, _Place(name, topology.dial_address(source, relay), relay.user, relay.host_key))
        found.append((way, relay))
        source = relay
    return found


def _is_declared(way: _Way, topology: Topology, relays: Mapping[str, Node]) -> bool:
    try:
        now, _ = _places((place.name for place in way), topology, relays)[-1]
    except TopologyInvalid:
        return False
    return now == way
