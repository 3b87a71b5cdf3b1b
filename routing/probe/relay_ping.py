"""Probe from a relay to the next hop by running ``ping`` there, where the relay lets us run anything.

A locked-down relay lets nobody; that is found out once for each connection. What comes back is the word of another
machine: it is read to a limit and counts only if it is, line for line, what ping would say.
"""

import asyncio
import ipaddress
import math
import re
import weakref

import asyncssh

from routing.probe.wire import Pace, Samples

# What a user other than root may ask of every ping since 2002; some allow less, and root may go below.
_SHORTEST_INTERVAL_S = 0.2
# The log-in shell and ping itself start, and the command's end comes back.
_START_AND_END_S = 3.0
_OUTPUT_CHARACTERS_LIMIT = 64 * 1024
_SAMPLES_LIMIT = 200  # their lines fit in that

# iputils counts from 1 and says icmp_seq, busybox counts from 0 and says seq.
_REPLY = re.compile(
    r"\d{1,5} bytes from (?P<host>[0-9a-fA-F.:]{2,45}): (?P<kind>icmp_seq|seq)=(?P<sequence>\d{1,5}) ttl=\d{1,3}"
    r" time=(?P<ms>\d{1,6}(?:\.\d{1,3})?) ms(?P<again> \(DUP!\))?"
)
_TOTAL = re.compile(
    r"(?P<sent>\d{1,5}) packets transmitted, (?P<back>\d{1,5}) (?:packets )?received(?:, \+\d{1,5} \w+)*,"
    r" \d{1,3}(?:\.\d{1,6})?% packet loss(?:, time \d{1,9} ?ms)?"
)


class PingUnreadable(Exception):
    """What was said in ping's place is not what ping says."""


class RelayPing:
    """Runs ping on relays, and remembers by connection which of them do not let it."""

    def __init__(self) -> None:
        self._refusing: weakref.WeakSet[asyncssh.SSHClientConnection] = weakref.WeakSet()

    async def probe(self, connection: asyncssh.SSHClientConnection, host: str, pace: Pace) -> Samples | None:
        """Return the round trip in ms from the relay at the end of ``connection`` to the IP address ``host``.

        None, instead of samples, when ping cannot be run there or ``host`` is no address: measure in another
        way. A refusal is remembered. Intervals are 200 ms or longer. May be repeated.
        """
        command = ping_command(host, pace)
        if command is None or connection in self._refusing:
            return None
        limit_s = _START_AND_END_S + pace.samples * _interval_s(pace) + 3 * pace.timeout_ms / 1000
        try:
            async with asyncio.timeout(limit_s):
                said = await _said(connection, command)
            return read_ping(said, host, samples=pace.samples, timeout_ms=pace.timeout_ms)
        except (asyncssh.ChannelOpenError, PingUnreadable):
            self._refusing.add(connection)
            return None
        except (asyncssh.Error, OSError, TimeoutError):
            return None


def ping_command(host: str, pace: Pace) -> str | None:
    """Return the command line that pings ``host``; None when that is no plain IP address, or samples are too many."""
    try:
        # A name could be anything a shell understands; an address is digits, dots and colons.
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if "%" in host or not 1 <= pace.samples <= _SAMPLES_LIMIT:
        return None
    wait_s = max(1, math.ceil(pace.timeout_ms / 1000))
    # env, not an assignment: the log-in shell may be any shell.
    return f"env LC_ALL=C ping -n -c {pace.samples} -i {_interval_s(pace):g} -W {wait_s} {address}"


def read_ping(said: str, host: str, *, samples: int, timeout_ms: float) -> Samples:
    """Return what ping said of each of its ``samples``, in ms; None is one that was lost, or took too long.

    Raises PingUnreadable unless the whole is what ping says: replies from ``host`` alone, each number in range and
    once, and a total that agrees with them.
    """
    found: dict[int, float] = {}
    total = None
    for line in said.splitlines():
        total = _TOTAL.fullmatch(line.strip()) or total
        reply = _REPLY.fullmatch(line.strip())
        if reply is None or reply["again"]:
            continue
        first = 1 if reply["kind"] == "icmp_seq" else 0
        place = int(reply["sequence"]) - first
        if not _same_address(reply["host"], host) or not 0 <= place < samples:
            raise PingUnreadable
        if found.setdefault(place, float(reply["ms"])) != float(reply["ms"]):
            raise PingUnreadable
    if total is None or (int(total["sent"]), int(total["back"])) != (samples, len(found)):
        raise PingUnreadable
    taken = (found.get(place) for place in range(samples))
    return tuple(ms if ms is not None and ms <= timeout_ms else None for ms in taken)


def _same_address(said: str, asked: str) -> bool:
    try:
        return ipaddress.ip_address(said) == ipaddress.ip_address(asked)
    except ValueError:
        return False


def _interval_s(pace: Pace) -> float:
    return max(_SHORTEST_INTERVAL_S, pace.interval_ms / 1000)


async def _said(connection: asyncssh.SSHClientConnection, command: str) -> str:
    """Return what ``command`` wrote on standard output, at most the limit; standard error is thrown away."""
    async with connection.create_process(
        command, stdin=asyncssh.DEVNULL, stderr=asyncssh.DEVNULL, encoding="ascii", errors="replace"
    ) as process:
        pieces: list[str] = []
        room = _OUTPUT_CHARACTERS_LIMIT
        while room and (piece := await process.stdout.read(room)):
            pieces.append(piece)
            room -= len(piece)
        process.channel.abort()
    return "".join(pieces)
