"""Samples that cost nothing: what the kernel knows of a live connection, and how long an SSH keepalive takes.

The kernel's figures cover the first hop only, where our own socket ends. A keepalive over a nested connection covers
the way to that relay; the difference of two neighbours is the link between them.
"""

import asyncio
import socket
import statistics
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncssh

# struct tcp_info of linux/tcp.h, at byte 56 tcpi_last_ack_recv, 68 tcpi_rtt, 72 tcpi_rttvar, 100 tcpi_total_retrans,
# 136 tcpi_segs_out, 148 tcpi_min_rtt, 156 tcpi_data_segs_out. Kernels after 4.6 only add to its end.
_TCP_INFO = struct.Struct("=56xI8xII24xI32xI8xI4xI")
_UNMEASURED = 0xFFFFFFFF  # of tcpi_min_rtt, before the first acknowledgement
_US = 1000  # in a millisecond
_KEEPALIVE = b"keepalive@openssh.com"


class TcpSocket(Protocol):
    """A connected TCP socket, or what asyncio shows of one (``get_extra_info("socket")``)."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes:
        """Return ``length`` bytes of an option's value."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSample:
    """What the kernel says of one connection; counts are since it was made.

    ``rtt_ms`` is smoothed and ``rttvar_ms`` its mean deviation (RFC 6298), None before the first acknowledgement,
    as is the least one, ``min_rtt_ms``. ``age_ms`` is how long ago the last acknowledgement came: on an idle
    connection the figures are as old as that. ``data_segs_out`` counts segments with data, repeats included.
    """

    rtt_ms: float | None
    rttvar_ms: float | None
    min_rtt_ms: float | None
    age_ms: int
    total_retrans: int
    segs_out: int
    data_segs_out: int

    def repeated_ratio(self, earlier: "TcpSample") -> float | None:
        """Return the share of data segments sent since ``earlier`` that were repeats; None when there were none.

        An upper bound on the loss of the way out: what was merely late, or whose acknowledgement was lost, is
        repeated too.
        """
        sent = self.data_segs_out - earlier.data_segs_out
        repeated = self.total_retrans - earlier.total_retrans
        # The counts wrap and a repeated SYN is no data: never report what cannot be.
        return min(1.0, repeated / sent) if sent > 0 and repeated >= 0 else None


def tcp_info(connection: TcpSocket) -> TcpSample:
    """Return what the kernel knows of ``connection`` now. Raises OSError when it is closed or no TCP socket."""
    raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    if len(raw) < _TCP_INFO.size:
        raise OSError(f"the kernel tells {len(raw)} bytes of TCP_INFO, not {_TCP_INFO.size}")
    age_ms, rtt, rttvar, total_retrans, segs_out, min_rtt, data_segs_out = _TCP_INFO.unpack(raw)
    return TcpSample(
        rtt_ms=rtt / _US if rtt else None,
        rttvar_ms=rttvar / _US if rtt else None,
        min_rtt_ms=min_rtt / _US if min_rtt not in {0, _UNMEASURED} else None,
        age_ms=age_ms,
        total_retrans=total_retrans,
        segs_out=segs_out,
        data_segs_out=data_segs_out,
    )


async def keepalive_ms(connection: asyncssh.SSHClientConnection, *, timeout_s: float) -> float | None:
    """Return the round trip in ms of an SSH keepalive over ``connection``, nested or not; None when none came back.

    It opens nothing at the far side, and every server answers it, if only with a refusal (RFC 4254, 4).
    """
    loop = asyncio.get_running_loop()
    if connection.is_closed():
        return None
    acknowledge_at_once(connection)
    started_s = loop.time()
    try:
        async with asyncio.timeout(timeout_s):
            # asyncssh has no public way to ask; its own keepalive is this very call.
            await connection._make_global_request(_KEEPALIVE)  # noqa: SLF001
    except (asyncssh.Error, OSError, TimeoutError):
        return None
    # A connection that ends answers all its open requests by itself.
    return None if connection.is_closed() else (loop.time() - started_s) * 1000


async def keepalive_links_ms(
    connections: Sequence[asyncssh.SSHClientConnection], *, samples: int, spacing_s: float, timeout_s: float
) -> tuple[float | None, ...]:
    """Return the round trip in ms of each link of a chain of nested ``connections``, the nearest first.

    Each is the difference of two medians over ``samples`` keepalives, ``spacing_s`` apart (100 ms or more, or delayed
    acknowledgements are measured with them). None where a relay, or the one before it, never answered.
    """
    taken: list[list[float]] = [[] for _ in connections]
    for turn in range(samples):
        if turn:
            await asyncio.sleep(spacing_s)
        # In turns, not one connection after the other: a change of the first link must not look like the second's.
        for place, connection in enumerate(connections):
            took_ms = await keepalive_ms(connection, timeout_s=timeout_s)
            if took_ms is not None:
                taken[place].append(took_ms)
    cumulative = [statistics.median(each) if each else None for each in taken]
    # None at all for a direct route, whose only link no relay's connection covers.
    nearer = [0.0, *cumulative][: len(cumulative)]
    return tuple(
        None if here is None or before is None else max(0.0, here - before)
        for here, before in zip(cumulative, nearer, strict=True)
    )


def acknowledge_at_once(connection: asyncssh.SSHClientConnection) -> None:
    """Have the kernel acknowledge the next reply on ``connection`` at once, where it ends at a socket of ours.

    Otherwise a delayed acknowledgement can hold up the far side's next small packet by 40 ms (its Nagle).
    """
    tcp = connection.get_extra_info("socket")
    if tcp is not None:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
