"""The process behind the proxy WAN: carries TCP connections between loopback ports, late, as set.

What a client sends is held for the link's one-way delay and jitter in order; a chunk drawn as lost is late
by a retransmission timeout, which is all that TCP lets a program see of a loss. A cut link holds everything
until it heals, as TCP would send it again. Standard library only. When the owner goes away, the programs it
entrusted to this process are killed.
"""

import asyncio
import contextlib
import os
import random
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

from gateway.demo.wan.channel import answer
from gateway.demo.wan.link import Fate, LinkSettings

RETRANSMISSION_TIMEOUT_S = 0.2  # Linux's least RTO, RFC 6298 with its own floor
_CONNECT_TIMEOUT_S = 10.0
_HELD_LIMIT_BYTES = 1 << 20  # per direction of a connection: then its sender has to wait
_BACKLOG = 512


class _Direction:
    """One direction of one link and the flows under way in it."""

    def __init__(self, settings: LinkSettings, rng: random.Random) -> None:
        self.settings = settings
        self.rng = rng
        self.flows: set[_Flow] = set()

    def change(self, settings: LinkSettings) -> None:
        self.settings = settings
        for flow in tuple(self.flows):
            flow.fate.settings = settings
            flow.let_out()


class _Flow:
    """One direction of one connection: bytes in arrival order, each with the time it may leave."""

    def __init__(self, direction: _Direction, opens_at_s: float) -> None:
        """``opens_at_s`` is when a real handshake would have let the sender send its first byte."""
        self.fate = Fate(direction.settings, direction.rng)
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None
        self.sink_is_full = False
        self.ended = False
        self._direction = direction
        self._opens_at_s = opens_at_s
        self._held: deque[tuple[float, bytes | None]] = deque()  # None: end of the stream
        self._held_bytes = 0
        self._loop = asyncio.get_running_loop()
        direction.flows.add(self)

    def take_in(self, chunk: bytes | None) -> None:
        """Hold ``chunk`` until its time; None is the end of the stream."""
        sent_s = max(self._loop.time(), self._opens_at_s)
        if chunk and self.fate.is_lost():
            sent_s += RETRANSMISSION_TIMEOUT_S
        due_s = self.fate.due_s(sent_s, len(chunk or b""))
        if due_s is None:  # a full queue drops the packet, and TCP sends it again
            due_s = sent_s + RETRANSMISSION_TIMEOUT_S
        self._held.append((due_s, chunk))
        self._held_bytes += len(chunk or b"")
        if self._held_bytes > _HELD_LIMIT_BYTES and self.source is not None:
            self.source.pause_reading()
        self._loop.call_at(due_s, self.let_out)

    def let_out(self) -> None:
        """Pass on what is due, as far as the link is up and the receiver takes it."""
        now_s = self._loop.time()
        while self._held and self._held[0][0] <= now_s and self.sink is not None and self._may_leave(self.sink):
            _, chunk = self._held.popleft()
            if chunk is None:
                self._end(self.sink)
                return
            self.sink.write(chunk)
            self._held_bytes -= len(chunk)
        if self._held_bytes <= _HELD_LIMIT_BYTES // 2 and self.source is not None and not self.source.is_closing():
            self.source.resume_reading()

    def give_up(self) -> None:
        """Forget what is held: there is nobody left to give it to."""
        self.ended = True
        self._held.clear()
        self._direction.flows.discard(self)

    def _may_leave(self, sink: asyncio.Transport) -> bool:
        return self._direction.settings.up and not self.sink_is_full and not sink.is_closing()

    def _end(self, sink: asyncio.Transport) -> None:
        self.give_up()
        if self.source is None or self.source.is_closing():
            sink.close()  # the sender is gone altogether, not only done with sending
        else:
            sink.write_eof()


class _End(asyncio.Protocol):
    """One of the two sockets of a connection: what it reads goes into ``outward``, ``inward`` writes to it."""

    def __init__(self, outward: _Flow, inward: _Flow) -> None:
        self._outward, self._inward = outward, inward
        self._said_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)  # sockets give nothing else
        self._outward.source = stream
        self._inward.sink = stream
        self._inward.let_out()

    def data_received(self, data: bytes) -> None:
        self._outward.take_in(data)

    def eof_received(self) -> bool:
        self._said_end = True
        self._outward.take_in(None)
        # The other direction may still have something to say; once it has ended too, so does the socket.
        return not self._inward.ended

    def connection_lost(self, _: Exception | None) -> None:
        self._inward.give_up()
        if not self._said_end:
            self._outward.take_in(None)
        elif self._outward.ended and self._outward.sink is not None:
            self._outward.sink.close()

    def pause_writing(self) -> None:
        self._inward.sink_is_full = True

    def resume_writing(self) -> None:
        self._inward.sink_is_full = False
        self._inward.let_out()


class Proxies:
    """Listens, carries and obeys the control channel, on one event loop."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._directions: dict[tuple[str, str], _Direction] = {}
        self._accepted: asyncio.Queue[tuple[socket.socket, tuple[str, str], int, float]] = asyncio.Queue(_BACKLOG)
        self._minded: dict[int, int] = {}  # leader of a process group -> its pidfd
        self._loop.add_reader(control, self._on_request)

    async def run(self) -> None:
        """Carry connections until the process ends (``_on_request`` ends it)."""
        async with asyncio.TaskGroup() as connections:
            while True:
                connections.create_task(self._carry(*await self._accepted.get()))

    async def _carry(self, client: socket.socket, way: tuple[str, str], port: int, began_s: float) -> None:
        there, back = self._directions[way], self._directions[way[1], way[0]]
        rtt_s = (there.settings.delay_ms + back.settings.delay_ms) / 1e3
        outward, inward = _Flow(there, began_s + rtt_s), _Flow(back, began_s)
        near, _ = await self._loop.connect_accepted_socket(lambda: _End(outward, inward), client)
        # On a wire the far end accepts when the third packet of the handshake arrives; what it then says
        # at once (an SSH banner) is here half a round trip later: 2 RTT after the client's connect.
        await asyncio.sleep(began_s + 1.5 * rtt_s - self._loop.time())
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._loop.create_connection(lambda: _End(inward, outward), "127.0.0.1", port)
        except (OSError, TimeoutError):
            outward.give_up()
            near.abort()

    def _on_request(self) -> None:
        if not answer(self._control, self._obey):
            self._end_minded()
            os._exit(0)  # nobody is left to tell; connections under way end with this process

    def _obey(self, request: Mapping[str, Any], _: Sequence[int]) -> tuple[Any, Sequence[int]]:
        match request["op"]:
            case "link":
                rng = random.Random(f"{request['seed']} {request['source']} {request['destination']}")  # noqa: S311
                settings = LinkSettings(**request["settings"])
                self._directions[request["source"], request["destination"]] = _Direction(settings, rng)
            case "set":
                direction = self._directions[request["source"], request["destination"]]
                direction.change(LinkSettings(**request["settings"]))
            case "listen":
                return self._listen((request["source"], request["destination"]), request["port"]), ()
            case _:  # "mind"
                self._minded[request["pid"]] = os.pidfd_open(request["pid"])
        return None, ()

    def _listen(self, way: tuple[str, str], port: int) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        listener.settimeout(0)
        self._loop.add_reader(listener, self._accept, listener, way, port)
        ours: int = listener.getsockname()[1]
        return ours

    def _accept(self, listener: socket.socket, way: tuple[str, str], port: int) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client, _ = listener.accept()
            client.settimeout(0)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._accepted.put_nowait((client, way, port, self._loop.time()))
            except asyncio.QueueFull:
                client.close()

    def _end_minded(self) -> None:
        for pid, pidfd in self._minded.items():
            # Readable means ended: then the number may be somebody else's by now.
            if not select.select([pidfd], [], [], 0)[0]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)


async def _run(control: socket.socket) -> None:
    await Proxies(control).run()


def main() -> None:
    """Run as a helper: the argument is the descriptor of the control channel."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.settimeout(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_run(control))
