"""Passive samples: the kernel's figures are read where they stand, and keepalives time the links of a chain."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from routing.probe.passive import TcpSample, keepalive_links_ms, keepalive_ms, tcp_info
from routing.topology import Address
from tests.routing.world import MakeWorld, delaying_proxy, echo_server


class _Told:
    """A socket whose TCP_INFO is ``told``."""

    def __init__(self, told: bytes) -> None:
        self._told = told

    def getsockopt(self, _level: int, _option: int, length: int, /) -> bytes:
        return self._told[:length]


def _told(**words: int) -> _Told:
    """Return a socket that tells 240 bytes, with 32-bit ``words`` at the byte offsets that their names end in."""
    info = bytearray(240)
    for name, value in words.items():
        struct.pack_into("=I", info, int(name.rpartition("_")[2]), value)
    return _Told(bytes(info))


def _sample(*, total_retrans: int, data_segs_out: int) -> TcpSample:
    return TcpSample(
        rtt_ms=1.0,
        rttvar_ms=1.0,
        min_rtt_ms=1.0,
        age_ms=0,
        total_retrans=total_retrans,
        segs_out=data_segs_out,
        data_segs_out=data_segs_out,
    )


@contextlib.contextmanager
def _connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
        server.accept()[0] as far,
    ):
        yield near, far


def test_each_figure_is_read_from_its_place() -> None:
    """Offsets by linux/tcp.h; times there are in microseconds but for the age: 40,123 us are 40.123 ms."""
    told = _told(
        last_ack_recv_56=17, rtt_68=40_123, rttvar_72=2_500, retrans_100=3, segs_136=90, min_rtt_148=39_000, data_156=70
    )
    assert tcp_info(told) == TcpSample(
        rtt_ms=40.123,
        rttvar_ms=2.5,
        min_rtt_ms=39.0,
        age_ms=17,
        total_retrans=3,
        segs_out=90,
        data_segs_out=70,
    )


def test_what_was_not_measured_is_none() -> None:
    """Before the first acknowledgement the kernel has no round trip, and says 2**32 - 1 for the least one."""
    found = tcp_info(_told(min_rtt_148=0xFFFFFFFF))
    assert (found.rtt_ms, found.rttvar_ms, found.min_rtt_ms) == (None, None, None)


def test_a_live_connection_is_measured() -> None:
    """Over loopback the round trip is positive, and ten writes, each read before the next, are ten data segments."""
    with _connected() as (near, far):
        before = tcp_info(near)
        for _ in range(10):
            near.sendall(b"x")
            far.recv(1)
        after = tcp_info(near)
    assert after.rtt_ms is not None
    assert after.min_rtt_ms is not None
    assert 0 < after.min_rtt_ms <= 1000
    assert after.data_segs_out - before.data_segs_out == 10
    assert after.segs_out >= after.data_segs_out
    assert after.repeated_ratio(before) == 0.0


@pytest.mark.parametrize("told", [_Told(b""), _Told(bytes(104))], ids=["nothing", "a kernel before 4.6"])
def test_a_kernel_that_tells_less_is_an_error(told: _Told) -> None:
    """Too few bytes are refused rather than read as zeros."""
    with pytest.raises(OSError, match="TCP_INFO"):
        tcp_info(told)


def test_other_sockets_are_an_error() -> None:
    """A datagram socket, and one that is closed, have no such figures."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match=r"."):
        tcp_info(other)
    with pytest.raises(OSError, match=r"."):
        tcp_info(other)


@pytest.mark.parametrize(
    ("repeated", "sent", "ratio"),
    [
        pytest.param(2, 100, 0.02, id="2 of 100"),
        pytest.param(0, 100, 0.0, id="none"),
        pytest.param(0, 0, None, id="nothing was sent"),
        pytest.param(3, 2, 1.0, id="a repeated SYN is no data"),
        pytest.param(-5, 100, None, id="another connection, or a count that wrapped"),
    ],
)
def test_repeats_bound_the_loss(repeated: int, sent: int, ratio: float | None) -> None:
    """Repeats since an earlier sample, over data segments since then: a share, or None where there is none."""
    earlier = _sample(total_retrans=10, data_segs_out=1000)
    later = _sample(total_retrans=10 + repeated, data_segs_out=1000 + sent)
    assert later.repeated_ratio(earlier) == ratio


def test_a_keepalive_takes_a_round_trip(world: MakeWorld) -> None:
    """Through a proxy that delays 60 ms each way, a keepalive takes 120 ms or more, and the kernel cannot see that."""
    here = world(1)

    async def run() -> tuple[float | None, TcpSample]:
        async with delaying_proxy(Address(*here.sshds[0].address), 0.06) as near:
            here.sshds[0].port = near.port
            async with here.pool() as pool:
                connection = (await pool.lease(("r1",), here.topology())).connection
                took_ms = await keepalive_ms(connection, timeout_s=20)
                return took_ms, tcp_info(connection.get_extra_info("socket"))

    took_ms, kernel = asyncio.run(run())
    assert took_ms is not None
    assert took_ms >= 119  # timers may fire a clock tick early
    assert kernel.rtt_ms is not None


def test_the_links_of_a_chain_are_told_apart(world: MakeWorld) -> None:
    """With 60 ms each way before the first relay and none beyond it, the first link has the 120 ms, the second less."""
    here = world(2)

    async def run() -> tuple[float | None, ...]:
        async with delaying_proxy(Address(*here.sshds[0].address), 0.06) as near:
            here.sshds[0].port = near.port
            async with here.pool() as pool:
                lease = await pool.lease(("r1", "r2"), here.topology())
                chain = [hop.connection for hop in lease.hops]
                return await keepalive_links_ms(chain, samples=3, spacing_s=0.1, timeout_s=20)

    first_ms, second_ms = asyncio.run(run())
    assert first_ms is not None
    assert second_ms is not None
    assert first_ms >= 119
    assert 0 <= second_ms < 119


def test_silence_and_an_end_are_no_samples(world: MakeWorld) -> None:
    """A frozen relay gives none in time, and so does a connection that is closed; links behind are unknown too."""
    here = world(1)

    async def run() -> list[object]:
        async with here.pool() as pool:
            connection = (await pool.lease(("r1",), here.topology())).connection
            here.sshds[0].freeze()
            frozen = await keepalive_ms(connection, timeout_s=0.2)
            links = await keepalive_links_ms([connection, connection], samples=1, spacing_s=0.1, timeout_s=0.2)
            connection.abort()
            await connection.wait_closed()
            return [frozen, links, await keepalive_ms(connection, timeout_s=0.2)]

    assert asyncio.run(run()) == [None, (None, None), None]


def test_a_tunnel_shows_its_connections(world: MakeWorld) -> None:
    """Each relay of a tunnel can be measured by a keepalive over the tunnel's own connections, the nearest first."""
    here = world(2)

    async def run() -> tuple[int, list[float | None]]:
        async with echo_server() as address:
            tunnel = await here.build(address)
            try:
                nearest_port = tunnel.connections[0].get_extra_info("peername")[1]
                return nearest_port, [await keepalive_ms(each, timeout_s=20) for each in tunnel.connections]
            finally:
                await tunnel.close()

    nearest_port, measured = asyncio.run(run())
    assert nearest_port == here.sshds[0].port
    assert len(measured) == 2
    assert all(took_ms is not None and took_ms > 0 for took_ms in measured)


def test_a_direct_route_has_no_links_to_listen_to() -> None:
    """Without relays there is no connection to ask, and no answer."""
    assert asyncio.run(keepalive_links_ms((), samples=2, spacing_s=0.1, timeout_s=1)) == ()
