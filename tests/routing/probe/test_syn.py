"""SYN probes: segments are right, open and closed ports both answer, nobody is connected, other traffic stays out."""

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.probe.syn import OpenedSyn, SynWire, port_filter
from routing.topology import Address
from tests.routing.answering import run_alone, sum_of_words

_IP_HEADER = b"\x45" + bytes(19)
_SYN, _RST, _ACK, _PSH = 0x02, 0x04, 0x10, 0x08


@contextlib.contextmanager
def _wire(ports: int = 8) -> Iterator[tuple[SynWire, tuple[int, ...]]]:
    """Yield a wire that holds real ports; its raw socket, which needs a privilege, is a stand-in that is never used."""
    with contextlib.ExitStack() as stack:
        holders = tuple(stack.enter_context(socket.socket()) for _ in range(ports))
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        opened = OpenedSyn(stack.enter_context(socket.socket()), holders)
        yield SynWire(opened), opened.ports


def _reply(port: int, acknowledged: int, flags: int) -> bytes:
    return _IP_HEADER + struct.pack("!HHIIBBHHH", 80, port, 5, acknowledged % 2**32, 0x50, flags, 0, 0, 0)


@given(
    last=st.integers(1, 254),
    port=st.integers(1, 0xFFFF),
    serial=st.integers(0, 0xFFFF),
    token=st.integers(0, 0xFFFF),
)
def test_every_segment_has_a_right_checksum(last: int, port: int, serial: int, token: int) -> None:
    """Segment and pseudo header (RFC 9293, 3.1) sum to 0xFFFF; it is a bare SYN to the port, from one of ours."""
    host = f"127.0.0.{last}"
    with _wire() as (wire, ports):
        segment = wire.aim(Address(host, port)).packet(serial, token)
    pseudo = socket.inet_aton("127.0.0.1") + socket.inet_aton(host) + struct.pack("!BBH", 0, 6, len(segment))
    assert sum_of_words(pseudo + segment) == 0xFFFF
    source, destination, sequence, acknowledged, _, flags = struct.unpack_from("!HHIIBB", segment)
    assert source in ports
    assert (destination, acknowledged, flags) == (port, 0, _SYN)
    assert sequence == serial << 16 | token


def test_samples_of_a_target_leave_from_different_ports() -> None:
    """Eight probes in a row use eight ports: a second SYN from the same one would be taken for a stray."""
    with _wire() as (wire, ports):
        aim = wire.aim(Address("127.0.0.1", 9))
        sources = [int.from_bytes(aim.packet(1000 * turn, turn)[:2], "big") for turn in range(8)]
    assert sorted(sources) == sorted(ports)


@pytest.mark.parametrize(
    ("flags", "answers"),
    [
        pytest.param(_SYN | _ACK, True, id="open"),
        pytest.param(_RST | _ACK, True, id="closed"),
        pytest.param(_RST, False, id="acknowledges nothing"),
        pytest.param(_ACK, False, id="of a connection"),
        pytest.param(_ACK | _PSH, False, id="data"),
        pytest.param(_SYN, False, id="somebody connects to us"),
    ],
)
def test_what_counts_as_an_answer(flags: int, answers: bool) -> None:  # noqa: FBT001  a table's column
    """SYN-ACK and RST that acknowledge our number plus one give back serial and token, to our ports only."""
    with _wire() as (wire, ports):
        sent = 0xFFFF << 16 | 0xFFFF  # whose successor is 0
        assert wire.answer(_reply(ports[3], sent + 1, flags)) == ((0xFFFF, 0xFFFF) if answers else None)
        assert wire.answer(_reply(1, sent + 1, flags)) is None


@given(st.binary(max_size=80))
def test_garbage_is_no_answer(datagram: bytes) -> None:
    """No bytes whatever make reading fail."""
    with _wire(1) as (wire, _):
        found = wire.answer(datagram)
    assert found is None or max(found) <= 0xFFFF


@given(ports=st.lists(st.integers(1, 0xFFFF), min_size=1, max_size=8, unique=True), port=st.integers(1, 0xFFFF))
def test_the_filter_passes_our_ports_only(ports: list[int], port: int) -> None:
    """Run by hand, the program ends at "whole" for one of the ports and at "nothing" for any other."""
    program = port_filter(ports)
    for arrived in (port, *ports):
        place = 2  # the first two lines load the port
        while program[place][0] == 0x15:
            _, jump_true, jump_false, value = program[place]
            place += 1 + (jump_true if arrived == value else jump_false)
        assert program[place] == (0x06, 0, 0, 0xFFFF if arrived in ports else 0)


_LOOPBACK = """
import dataclasses, socket
from routing.probe.syn import SynSocket
from routing.topology import Address

def busy(port):
    # Traffic of others: connections made, used and ended beside the probes.
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as client, other.accept()[0] as server:
            client.sendall(b"x")
            server.recv(1)

listener, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
listener.setblocking(False)
open_port, other_port = listener.getsockname()[1], other.getsockname()[1]
subprocess.run(["nft", "add table inet t; add chain inet t i { type filter hook input priority 0; };"
                " add rule inet t i tcp dport 7 drop"], check=True)
targets = [Address("127.0.0.1", open_port), Address("127.0.0.2", 9), Address("127.0.0.3", 7), Address("nobody", 1)]

async def main():
    with SynSocket() as syn:
        async with asyncio.TaskGroup() as group:
            probe = group.create_task(syn.sweep(targets, samples=10, interval_ms=1, timeout_ms=400))
            await asyncio.to_thread(busy, other_port)
        try:
            listener.accept()
            connected = True
        except BlockingIOError:
            connected = False
        return [probe.result(), dataclasses.asdict(syn.statistics()), connected]

said = asyncio.run(main())
"""


def test_open_and_closed_ports_answer_and_nobody_is_connected() -> None:
    """Ten samples each: both come back, a filtered port and a name are loss, and the listener has nobody to accept.

    Connections of others at the same time reach the prober not at all: nothing foreign is counted.
    """
    (open_port, closed, filtered, nameless), statistics, connected = run_alone(_LOOPBACK)
    assert None not in open_port
    assert None not in closed
    assert filtered == nameless == [None] * 10
    assert not connected
    assert (statistics["sent"], statistics["returned"], statistics["unsent"]) == (30, 20, 10)
    assert statistics["foreign"] == statistics["duplicate"] == 0
