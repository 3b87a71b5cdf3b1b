"""The engine: one process that carries every frame of the WAN between pairs of TAP devices.

A frame read from one device is lost, held for its delay, or dropped because the link is cut, and then
written to the other device. epoll tells what came, a heap orders what is due, a timerfd wakes on time.
Standard library only. It ends when the owner's end of the control channel closes.
"""

import contextlib
import dataclasses
import gc
import heapq
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.demo.wan.channel import answer
from gateway.demo.wan.kernel import Timer
from gateway.demo.wan.link import Fate, LinkSettings

# An idle virtual CPU takes 50-100 us to wake: the engine wakes this early and spins for the rest.
_SPIN_S = 80e-6
_FRAMES_AT_ONCE = 32  # then other links and due frames get their turn
_LARGEST_FRAME_BYTES = 65536


@dataclass(slots=True)
class LinkStats:
    """What became of the frames of one direction since it was made; all exact counts."""

    passed: int = 0
    lost: int = 0  # drawn by loss_ratio
    cut: int = 0  # swallowed while the link was cut
    dropped: int = 0  # the queue of a slow line, or of the far device, was full
    passed_bytes: int = 0


class _Direction:
    """One direction of one link: frames in at ``source``, out at ``sink``."""

    __slots__ = ("fate", "sink", "source", "stats")

    def __init__(self, source: int, sink: int, fate: Fate) -> None:
        self.source, self.sink, self.fate = source, sink, fate
        self.stats = LinkStats()


class Engine:
    """Carries frames and obeys the control channel, in one thread."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._links: dict[str, tuple[_Direction, _Direction]] = {}
        self._by_source: dict[int, _Direction] = {}
        self._held: list[tuple[float, int, _Direction, bytes]] = []
        self._sequence = 0
        self._timer = Timer()
        self._armed_s = 0.0
        self._epoll = select.epoll()
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        self._epoll.register(control.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Carry frames until the owner goes away."""
        timeout_s: float | None = None
        while True:
            for fd, _ in self._epoll.poll(timeout_s):
                direction = self._by_source.get(fd)
                if direction is not None:
                    self._take_in(direction)
                elif fd == self._timer.fd:
                    with contextlib.suppress(BlockingIOError):
                        os.read(fd, 8)
                    self._armed_s = 0.0
                elif not answer(self._control, self._obey):
                    return
            self._let_out()
            timeout_s = self._until_next()

    def _take_in(self, direction: _Direction) -> None:
        fate, stats = direction.fate, direction.stats
        for _ in range(_FRAMES_AT_ONCE):
            try:
                frame = os.read(direction.source, _LARGEST_FRAME_BYTES)
            except OSError:  # nothing more, or the interface is still down
                return
            if not fate.settings.up:
                stats.cut += 1
            elif fate.is_lost():
                stats.lost += 1
            elif (due_s := fate.due_s(time.monotonic(), len(frame))) is None:
                stats.dropped += 1
            else:
                self._sequence += 1
                heapq.heappush(self._held, (due_s, self._sequence, direction, frame))

    def _let_out(self) -> None:
        now_s = time.monotonic()
        while self._held and self._held[0][0] <= now_s:
            _, _, direction, frame = heapq.heappop(self._held)
            stats = direction.stats
            if not direction.fate.settings.up:  # cut while in flight
                stats.cut += 1
                continue
            try:
                os.write(direction.sink, frame)
            except OSError:
                stats.dropped += 1
            else:
                stats.passed += 1
                stats.passed_bytes += len(frame)

    def _until_next(self) -> float | None:
        """Return epoll's timeout: 0 to spin for a frame that is nearly due, None to sleep until woken."""
        if not self._held:
            return None
        wake_s = self._held[0][0] - _SPIN_S
        if wake_s <= time.monotonic():
            return 0.0
        if wake_s != self._armed_s:
            self._timer.arm(wake_s)
            self._armed_s = wake_s
        return None

    def _obey(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> tuple[Any, Sequence[int]]:
        match request["op"]:
            case "link":
                self._add(request, descriptors)
                return None, ()
            case "set":
                for direction, settings in zip(self._links[request["link"]], request["settings"], strict=True):
                    direction.fate.settings = LinkSettings(**settings)
                return None, ()
            case _:  # "stats"
                return [dataclasses.asdict(each.stats) for each in self._links[request["link"]]], ()

    def _add(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        fates = [
            # Each direction draws for itself, so traffic elsewhere does not change what is lost here.
            Fate(LinkSettings(**settings), random.Random(f"{request['seed']} {request['link']} {way}"))  # noqa: S311
            for way, settings in enumerate(request["settings"])
        ]
        one, other = descriptors
        self._links[request["link"]] = pair = (_Direction(one, other, fates[0]), _Direction(other, one, fates[1]))
        for direction in pair:
            self._by_source[direction.source] = direction
            self._epoll.register(direction.source, select.EPOLLIN)


def main() -> None:
    """Run as a helper: the argument is the descriptor of the control channel."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.settimeout(0)  # never wait here: frames are due
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Keep time even when every core is busy, where we may.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    engine = Engine(control)
    gc.collect()
    gc.disable()  # frames make no cycles; a collection would hold some of them up
    engine.run()
