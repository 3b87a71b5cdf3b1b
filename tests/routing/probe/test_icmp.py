"""ICMP probes: packets are right, replies are matched, silence is loss."""

import asyncio
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.probe.icmp import EchoSocket, EchoWire, echo_template
from routing.probe.plan import ProbePolicy
from tests.routing.answering import reply_to, run_alone, sum_of_words

_SCRIPT = """
import pathlib
from routing.probe.icmp import EchoSocket
from routing.probe.plan import ProbePolicy

ignore = pathlib.Path("/proc/sys/net/ipv4/icmp_echo_ignore_all")
policy = ProbePolicy(samples=4, interval_ms=1, timeout_ms=300)

async def main():
    with EchoSocket() as echo:
        heard = await echo.probe("127.0.0.1", policy)
        ignore.write_text("1")
        unheard = await echo.probe("127.0.0.1", policy)
        ignore.write_text("0")
        again = await echo.probe("127.0.0.1", policy)
        nowhere = await echo.probe("192.0.2.1", policy)
        nameless = await echo.probe("relay.example", policy)
    return [heard, unheard, again, nowhere, nameless]

said = asyncio.run(main())
"""
_IP_HEADER = b"\x45" + bytes(11) + socket.inet_aton("127.0.0.1") + bytes(4)


_TOKENS = st.integers(0, 2**64 - 1)


@given(sequence=st.integers(0, 0xFFFF), token=_TOKENS)
def test_every_packet_has_a_right_checksum(sequence: int, token: int) -> None:
    """The one's complement sum of all words is 0xFFFF (RFC 792), with the fields where they belong."""
    packet = EchoWire().aim("127.0.0.1").packet(sequence, token)
    assert len(packet) == 56
    assert sum_of_words(packet) == 0xFFFF
    assert packet[:2] == b"\x08\x00"
    assert struct.unpack_from("!HQ", packet, 6) == (sequence, token)
    assert packet[24:] == b"crossway link probe, please echo"


@given(identifier=st.integers(0, 0xFFFF))
def test_the_template_is_what_scapy_makes_of_it(identifier: int) -> None:
    """It is a whole echo request of number 0, whose checksum is right."""
    template = echo_template(identifier)
    assert sum_of_words(template) == 0xFFFF
    assert template[4:8] == struct.pack("!HH", identifier, 0)


@given(sequence=st.integers(0, 0xFFFF), token=_TOKENS)
def test_a_reply_gives_back_sequence_and_token(sequence: int, token: int) -> None:
    """What a host echoes is read as what was sent, and only by whose identifier it carries."""
    wire = EchoWire()
    packet = wire.aim("127.0.0.1").packet(sequence, token)
    assert wire.answer(_IP_HEADER + reply_to(packet)) == (sequence, token)
    assert wire.answer(_IP_HEADER + reply_to(packet, identifier=1)) is None
    assert wire.answer(_IP_HEADER + packet) is None  # a request is no reply


@given(st.binary(max_size=120))
def test_garbage_is_no_answer(datagram: bytes) -> None:
    """No bytes whatever make reading fail; an answer's number has 16 bits."""
    found = EchoWire().answer(datagram)
    assert found is None or found[0] <= 0xFFFF


def test_echoes_come_back_and_silence_is_loss() -> None:
    """A live host answers all; one that ignores echoes, one without a way, and what is no address lose all four."""
    heard, unheard, again, nowhere, nameless = run_alone(_SCRIPT)
    assert all(ms is not None and 0 < ms <= 300 for ms in heard)
    assert unheard == [None] * 4
    assert None not in again
    assert nowhere == nameless == [None] * 4


@pytest.mark.skipif(os.getuid() != 0, reason="raw sockets on this machine's loopback need root")
def test_nobody_elses_replies_count() -> None:
    """Two probers at once on the same hosts each get their own replies only, and count the other's as foreign.

    20 echoes to each of 5 hosts: each socket also hears the 100 replies that are the other's.
    """
    policy = ProbePolicy(samples=20, interval_ms=1, timeout_ms=2000)

    async def run() -> None:
        with EchoSocket() as one, EchoSocket() as other:
            async with asyncio.TaskGroup() as group:
                probes = [
                    group.create_task(each.probe(f"127.0.0.{host}", policy))
                    for each in (one, other)
                    for host in range(1, 6)
                ]
            assert all(None not in probe.result() and len(probe.result()) == 20 for probe in probes)
            for each in (one, other):
                assert each.statistics().returned == 100
                assert each.statistics().duplicate == 0

    asyncio.run(run())
