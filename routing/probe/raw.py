"""Probe many targets over one raw socket: paced sending, kernel time stamps, loss by deadline.

The engine of ``icmp`` and ``syn``, which say what a packet looks like (``Wire``). A probe is a few list entries,
never a task or a timer: one timer sends what is due and reads what has come, in batches. Kernel stamps make
the batches harmless: an answer is as old as when it arrived, not as when it was read.
"""

import asyncio
import errno
import heapq
import itertools
import secrets
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from routing.probe.batches import AT_ONCE, BatchReader
from routing.probe.pacing import Pacer
from routing.probe.stamps import StampClock, real_ns
from routing.probe.wire import Aim, Pace, Samples, Wire

_SERIALS = 1 << 16
# No number is used again while its probe is out: the pacer lets no more leave than this within a timeout.
_SERIAL_LIMIT = 60_000
# One wake-up serves this long: what is due within it leaves together, what arrives within it is read together. At 5,000
# packets/s that is 15 of 90 bytes, as much as one full packet. epoll rounds it up to 3 ms.
_TICK_S = 0.0025
# With a send this near, the wake-up for it reads what has come too; waking for each answer costs more than it does.
_NEAR_S = 0.005
_FEW_OUT = 4
_BATCHES_AT_ONCE = 8  # then the rest of the event loop gets its turn
_BATCHES_AT_DEADLINE = 100  # more than a full buffer; the kernel accounts some 800 bytes for a small packet
_WORDS = {16: "H", 32: "I", 64: "Q"}  # how struct names integers of so many bits
_SOURCE = slice(12, 16)  # of the IPv4 header (RFC 791, 3.1)
_REFUSALS = ("late", "duplicate", "foreign", "impossible")
# At 5,000 packets/s this outlasts half a second in which the loop is held up; the kernel may grant less.
_RECEIVE_BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; beyond the system's limit, with CAP_NET_ADMIN
# The kernel has no room just now; every other error of a send says that no way leads to the target.
_NO_ROOM = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCounts:
    """What became of the packets of one prober since it was opened.

    Refused answers: ``late`` came after their deadline (or after their sweep was cancelled), ``duplicate`` after their
    twin, ``foreign`` belong to no probe of ours (wrong id, token or source), ``impossible`` were stamped before
    their probe was sent. ``unsent`` probes found no way. ``overrun`` packets were dropped by our own full socket.
    """

    sent: int = 0
    returned: int = 0
    late: int = 0
    duplicate: int = 0
    foreign: int = 0
    impossible: int = 0
    unsent: int = 0
    overrun: int = 0


@dataclass(slots=True, eq=False)
class _Sweep:
    """One call: probe i goes to target i % width. What is not settled at the deadline is lost."""

    aims: list[Aim | None]
    tokens: Sequence[int]
    interval_s: float
    timeout_ns: int
    done: asyncio.Future[None]
    total: int
    next: int = 0
    unsettled: int = 0
    sent_ns: list[int] = field(default_factory=list)
    rtt_ns: list[int] = field(default_factory=list)  # 0: not returned
    last_sent_s: list[float] = field(default_factory=list)  # per target, loop time
    no_room_since_s: float | None = None
    deadline: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.unsettled = self.total
        self.sent_ns = [0] * self.total
        self.rtt_ns = [0] * self.total
        self.last_sent_s = [0.0] * len(self.aims)

    def ready_s(self, now_s: float) -> float:
        """Return when the next probe may leave: an interval after the one before it to the same target."""
        width = len(self.aims)
        return now_s if self.next < width else max(now_s, self.last_sent_s[self.next % width] + self.interval_s)

    def samples(self) -> tuple[Samples, ...]:
        width = len(self.aims)
        taken = [ns / 1e6 if ns else None for ns in self.rtt_ns]
        return tuple(tuple(taken[place::width]) for place in range(width))


class RawProber(Generic[T]):
    """A raw socket on the running event loop that probes any number of targets at once, at ``rate_pps`` in all.

    Use as a context manager, once. ``opened`` is a socket such as ``wire.open()`` returns, from before the right to
    open one was dropped; it stays the caller's. Without it entry raises PermissionError where raw sockets are refused.
    """

    def __init__(self, wire: Wire[T], *, rate_pps: float, opened: socket.socket | None = None) -> None:
        self._wire = wire
        self._rate_pps = rate_pps
        self._pacer = Pacer(rate_pps)
        self._opened = opened
        # By serial, whose probe it was last. Two lists, not one of pairs: the garbage collector would walk each pair.
        self._sweep_of: list[_Sweep | None] = [None] * _SERIALS
        self._index_of = [0] * _SERIALS
        self._serial = secrets.randbelow(_SERIALS)
        self._queue: list[tuple[float, int, _Sweep]] = []
        self._turn = itertools.count()
        self._active: set[_Sweep] = set()
        self._out = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reading = False
        self._counts = dict.fromkeys(("sent", "unsent", "returned", *_REFUSALS), 0)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._socket = self._wire.open() if self._opened is None else self._opened
        self._socket.setblocking(False)  # noqa: FBT003  the library's own signature
        _enlarge(self._socket)
        self._reader = BatchReader(self._socket)
        self._clock = StampClock()
        self._set_reading(on=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._set_reading(on=False)
        if self._timer is not None:
            self._timer.cancel()
        for sweep in tuple(self._active):
            self._forget(sweep)
            if not sweep.done.done():
                sweep.done.set_exception(RuntimeError("the prober was closed under a sweep"))
        if self._opened is None:
            self._wire.close()

    def statistics(self) -> ProbeCounts:
        """Return what became of every packet so far."""
        return ProbeCounts(**self._counts, overrun=self._reader.overrun)

    async def probe(self, target: T, policy: Pace) -> Samples:
        """Return the round trip in ms of each of ``policy.samples`` probes of ``target``; None: lost. See ``sweep``."""
        (samples,) = await self.sweep(
            (target,), samples=policy.samples, interval_ms=policy.interval_ms, timeout_ms=policy.timeout_ms
        )
        return samples

    async def sweep(
        self, targets: Sequence[T], *, samples: int, interval_ms: float, timeout_ms: float
    ) -> tuple[Samples, ...]:
        """Return, for each of ``targets``, the round trips in ms of ``samples`` probes; None is one that was lost.

        A target gets its probes ``interval_ms`` apart or, when the prober's rate allows no more, farther. Lost is what
        was not back ``timeout_ms`` after it was sent, what no way led for, and nothing else. Takes the sending and
        at most one timeout. Sweeps may overlap; they take turns, packet by packet. Raises ValueError when rate times
        timeout is more than 60,000.
        """
        if not targets or samples < 1:
            return ((),) * len(targets)
        timeout_ms = min(timeout_ms, self._wire.longest_ms)
        if self._rate_pps * timeout_ms / 1000 > _SERIAL_LIMIT:
            raise ValueError(
                f"{timeout_ms} ms at {self._rate_pps} packets/s are more probes in flight than have numbers"
            )
        total = len(targets) * samples
        sweep = _Sweep(
            aims=[self._aimed(target) for target in targets],
            tokens=self._fresh_tokens(total),
            interval_s=interval_ms / 1000,
            timeout_ns=int(timeout_ms * 1e6),
            done=self._loop.create_future(),
            total=total,
        )
        self._active.add(sweep)
        heapq.heappush(self._queue, (self._loop.time(), next(self._turn), sweep))
        try:
            self._tick()
            await sweep.done
        finally:
            self._forget(sweep)
        return sweep.samples()

    def _aimed(self, target: T) -> Aim | None:
        try:
            return self._wire.aim(target)
        except OSError:
            return None

    def _fresh_tokens(self, count: int) -> Sequence[int]:
        """Return what answers must repeat: who has not seen a probe cannot answer it, nor answer for somebody else."""
        bits = self._wire.token_bits
        return struct.unpack(f"={count}{_WORDS[bits]}", secrets.token_bytes(count * bits // 8))

    def _forget(self, sweep: _Sweep) -> None:
        """Take ``sweep`` out of everything but the lists by serial, where its answers are known as late."""
        if sweep in self._active:
            self._active.remove(sweep)
            self._out -= sum(1 for sent, rtt in zip(sweep.sent_ns, sweep.rtt_ns, strict=True) if sent and not rtt)
        if sweep.deadline is not None:
            sweep.deadline.cancel()

    # Sending.

    def _tick(self) -> None:
        """Read what has come, send what is due, and say when to wake next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        read = self._read()
        now_s = self._loop.time()
        while self._queue and self._send_due(now_s):
            pass
        self._sleep(now_s, read)

    def _send_due(self, now_s: float) -> bool:
        """Send what is due of the sweep whose turn it is; return whether another one may have something due."""
        _, _, sweep = self._queue[0]
        if sweep not in self._active:
            heapq.heappop(self._queue)
            return True
        alone = len(self._queue) == 1
        ready_s = sweep.ready_s(now_s)
        # Asked in this order: a place on the schedule that is taken must be used.
        while ready_s <= now_s and self._pacer.take(now_s):
            if not self._send_next(sweep, now_s):
                break
            if sweep.next == sweep.total:
                heapq.heappop(self._queue)
                self._all_sent(sweep, now_s)
                return True
            ready_s = sweep.ready_s(now_s)
            if not alone:
                heapq.heapreplace(self._queue, (ready_s, next(self._turn), sweep))
                return True
        heapq.heapreplace(self._queue, (ready_s, next(self._turn), sweep))
        return False

    def _send_next(self, sweep: _Sweep, now_s: float) -> bool:
        """Send the next probe of ``sweep``; return False when the kernel has no room and it must be tried again."""
        index = sweep.next
        place = index % len(sweep.aims)
        aim = sweep.aims[place]
        sweep.last_sent_s[place] = now_s
        if aim is not None:
            packet = aim.packet(self._serial, sweep.tokens[index])
            sent_ns = real_ns()
            try:
                self._socket.sendto(packet, (aim.host, 0))
            except OSError as error:
                if error.errno in _NO_ROOM and self._may_retry(sweep, now_s):
                    return False
                aim = None
        sweep.no_room_since_s = None
        sweep.next += 1
        if aim is None:
            self._counts["unsent"] += 1
            sweep.unsettled -= 1
            return True
        sweep.sent_ns[index] = sent_ns
        self._sweep_of[self._serial], self._index_of[self._serial] = sweep, index
        self._serial = (self._serial + 1) % _SERIALS
        self._counts["sent"] += 1
        self._out += 1
        return True

    def _may_retry(self, sweep: _Sweep, now_s: float) -> bool:
        """Return whether the kernel's queue has not been full for longer than an answer may take."""
        if sweep.no_room_since_s is None:
            sweep.no_room_since_s = now_s
        return now_s - sweep.no_room_since_s < sweep.timeout_ns / 1e9

    def _all_sent(self, sweep: _Sweep, now_s: float) -> None:
        if not sweep.unsettled:
            _finish(sweep)
        else:
            sweep.deadline = self._loop.call_at(now_s + sweep.timeout_ns / 1e9, self._expire, sweep)

    def _expire(self, sweep: _Sweep) -> None:
        # What arrived in time may still be unread: at most a full buffer.
        self._read(_BATCHES_AT_DEADLINE)
        _finish(sweep)

    def _sleep(self, now_s: float, read: int) -> None:
        """Arm the next wake-up. While wake-ups come thick, they do the reading, and answers wake nobody."""
        due_s = max(self._queue[0][0], self._pacer.next_s, now_s + _TICK_S) if self._queue else None
        thick = read > 0 and self._out > _FEW_OUT
        if thick:
            due_s = now_s + _TICK_S
        self._set_reading(on=due_s is None or due_s - now_s > _NEAR_S)
        if due_s is not None:
            self._timer = self._loop.call_at(due_s, self._tick)

    # Receiving.

    def _set_reading(self, *, on: bool) -> None:
        if on and not self._reading:
            self._loop.add_reader(self._socket, self._tick)
        elif self._reading and not on:
            self._loop.remove_reader(self._socket)
        self._reading = on

    def _read(self, batches: int = _BATCHES_AT_ONCE) -> int:
        """Take in what has come, at most so many batches; return how much that was."""
        step_ns = self._clock.step_ns()
        if step_ns:
            self._clock_was_set(step_ns)
        total = 0
        for _ in range(batches):
            read = self._read_batch(exact=not step_ns)
            total += read
            if read < AT_ONCE:
                break
        return total

    def _read_batch(self, *, exact: bool) -> int:
        count = 0
        for datagram, stamp_ns in self._reader.read():
            count += 1
            # Stamps from around the moment the clock was set could be from before or after; now is after.
            self._counts[self._take_in(datagram, stamp_ns if exact and stamp_ns is not None else real_ns())] += 1
        return count

    def _take_in(self, datagram: bytes, stamp_ns: int) -> str:
        """Match an answer to its probe and return which of the counts it belongs to."""
        found = self._wire.answer(datagram)
        if found is None:
            return "foreign"
        serial, token = found
        sweep, index = self._sweep_of[serial], self._index_of[serial]
        if sweep is None:
            return "foreign"
        aim = sweep.aims[index % len(sweep.aims)]
        if aim is None or token != sweep.tokens[index] or datagram[_SOURCE] != aim.address:
            return "foreign"
        return self._judged(sweep, index, stamp_ns - sweep.sent_ns[index])

    def _judged(self, sweep: _Sweep, index: int, took_ns: int) -> str:
        """Take the answer to a probe as its sample, or return why not."""
        if sweep.rtt_ns[index]:
            return "duplicate"
        if took_ns <= 0:
            return "impossible"
        if took_ns > sweep.timeout_ns or sweep not in self._active:
            return "late"
        sweep.rtt_ns[index] = took_ns
        self._out -= 1
        sweep.unsettled -= 1
        if not sweep.unsettled:
            _finish(sweep)
        return "returned"

    def _clock_was_set(self, step_ns: int) -> None:
        """Move the times of sending to what the clock would have said."""
        for sweep in self._active:
            sweep.sent_ns = [sent_ns + step_ns if sent_ns else 0 for sent_ns in sweep.sent_ns]


def _finish(sweep: _Sweep) -> None:
    if not sweep.done.done():
        sweep.done.set_result(None)


def _enlarge(raw: socket.socket) -> None:
    try:
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
    except PermissionError:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
