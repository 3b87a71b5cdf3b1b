"""Programs that make and take traffic, for benchmarks: a target that says and hears bytes, and a client of it.

Both are processes of their own, so that what they cost is nobody else's. The client is given an address to
dial or an open socket, so that it works the same through a forwarded port and through a tunnel of ours.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from routing.topology import Address

Direction = Literal["up", "down"]

_TARGET = r"""
import socket, sys, threading
blob = bytes(262144)
def serve(client):
    try:
        what = client.recv(1)
        if what == b"d":
            while True:
                client.sendall(blob)
        if what == b"u":
            # One byte for each 256 KiB that arrived, so that the client counts what really got here.
            room, got = bytearray(262144), 0
            while count := client.recv_into(room):
                got += count
                client.sendall(bytes(got >> 18))
                got &= 262143
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + bytes(200)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while what:
            while not what.endswith(b"\r\n\r\n"):
                more = client.recv(4096)
                if not more:
                    return
                what += more
            client.sendall(answer)
            what = client.recv(4096)
    except OSError:
        pass
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[1], 0))
listener.listen(64)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

# Prints the bytes that passed after the first ``warm_s`` seconds, and the seconds after them.
_CLIENT = r"""
import selectors, socket, sys, time
direction, warm_s, measure_s = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
ends = []
for where in sys.argv[4:]:
    host, _, port = where.rpartition(":")
    ends.append(socket.create_connection((host, int(port))) if host else socket.socket(fileno=int(port)))
choose, room, blob = selectors.DefaultSelector(), bytearray(262144), bytes(262144)
for end in ends:
    end.setblocking(True)
    end.sendall(direction[0].encode())
    end.setblocking(False)
    choose.register(end, selectors.EVENT_READ | (selectors.EVENT_WRITE if direction == "up" else 0))
begin = time.monotonic()
passed, warm_at = 0, None
while (now := time.monotonic()) < begin + warm_s + measure_s:
    if warm_at is None and now >= begin + warm_s:
        warm_at, passed = now, 0
    for key, events in choose.select(0.1):
        if events & selectors.EVENT_READ:
            count = key.fileobj.recv_into(room)
            passed += count if direction == "down" else count << 18
        if events & selectors.EVENT_WRITE:
            key.fileobj.send(blob)
print(passed, time.monotonic() - warm_at)
"""


# Prints how long each GET took, in milliseconds.
_ASKER = r"""
import socket, sys, time
where, count = sys.argv[1], int(sys.argv[2])
host, _, port = where.rpartition(":")
end = socket.create_connection((host, int(port))) if host else socket.socket(fileno=int(port))
end.setblocking(True)
if host:
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
question = b"GET / HTTP/1.1\r\nHost: cloud.example\r\n\r\n"
for _ in range(count):
    began, got = time.perf_counter(), 0
    end.sendall(question)
    while got < 240:
        got += len(end.recv(4096))
    print((time.perf_counter() - began) * 1e3)
"""


@dataclass(frozen=True, slots=True)
class Passed:
    """What a client saw pass."""

    size_bytes: int
    took_s: float

    @property
    def gbit(self) -> float:
        """How much it was."""
        return self.size_bytes * 8e-9

    @property
    def rate_mbps(self) -> float:
        """How fast it was."""
        return self.size_bytes * 8e-6 / self.took_s


@contextlib.contextmanager
def target(host: str) -> Iterator[Address]:
    """Run a target at ``host``, in the namespace of the calling thread: it floods, hears, or answers HTTP."""
    process = subprocess.Popen([sys.executable, "-c", _TARGET, host], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Address(host, int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


async def transfer(
    direction: Direction, ends: Sequence[Address | socket.socket], *, warm_s: float, measure_s: float
) -> Passed:
    """Move bytes over ``ends`` at once, as fast as they go. Sockets stay the caller's."""
    places = [_place(end) for end in ends]
    size, took = (await _said(ends, _CLIENT, direction, str(warm_s), str(measure_s), *places)).split()
    return Passed(int(size), float(took))


async def ask(end: Address | socket.socket, count: int) -> list[float]:
    """Return how many milliseconds each of ``count`` GETs of 200 bytes took, one after the other on one connection."""
    return [float(line) for line in (await _said([end], _ASKER, _place(end), str(count))).split()]


def _place(end: Address | socket.socket) -> str:
    return f":{end.fileno()}" if isinstance(end, socket.socket) else f"{end.host}:{end.port}"


async def _said(ends: Sequence[Address | socket.socket], program: str, *arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        *arguments,
        stdout=subprocess.PIPE,
        pass_fds=[end.fileno() for end in ends if isinstance(end, socket.socket)],
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said
