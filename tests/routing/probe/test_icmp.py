"""ICMP probes: packets are right, replies are matched, silence is loss."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.probe.icmp import EchoSocket, echo_template, raw_sockets_allowed, with_sequence
from routing.probe.plan import ProbePolicy

# In a network namespace of its own the script is root over an idle loopback interface, whoever runs the tests.
_NAMESPACE = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--net"]
_SCRIPT = """
import asyncio, json, pathlib, subprocess
from routing.probe.icmp import EchoSocket
from routing.probe.plan import ProbePolicy

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
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
    print(json.dumps([heard, unheard, again, nowhere]))

asyncio.run(main())
"""


def _sum_of_words(packet: bytes) -> int:
    total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, len(packet), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(identifier=st.integers(0, 0xFFFF), sequence=st.integers(0, 0xFFFF))
def test_every_packet_has_a_right_checksum(identifier: int, sequence: int) -> None:
    """Patching keeps the one's complement sum of all words at 0xFFFF (RFC 792), with the fields where they belong."""
    packet = with_sequence(echo_template(identifier), sequence)
    assert len(packet) % 2 == 0
    assert _sum_of_words(packet) == 0xFFFF
    assert packet[:2] == b"\x08\x00"
    assert packet[4:8] == identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big")


def test_echoes_come_back_and_silence_is_loss() -> None:
    """A live host answers all four; one that ignores echoes loses all four; where no way leads, all four are lost."""
    ran = subprocess.run(
        [*_NAMESPACE, sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    heard, unheard, again, nowhere = json.loads(ran.stdout)
    assert all(ms is not None and 0 < ms <= 300 for ms in heard)
    assert unheard == [None] * 4
    assert None not in again
    assert nowhere == [None] * 4


@pytest.mark.skipif(os.getuid() != 0, reason="raw sockets on this machine's loopback need root")
def test_nobody_elses_replies_count() -> None:
    """Replies to another prober's echoes, with the same sequence numbers from the same host, are not taken for ours.

    One prober's packets are spoilt (wrong checksum), so the kernel answers none of them; the other's come back.
    """
    policy = ProbePolicy(samples=20, interval_ms=1, timeout_ms=2000)

    async def run() -> None:
        with EchoSocket() as spoilt, EchoSocket() as sound:
            spoilt._template = spoilt._template[:-1] + b"!"
            async with asyncio.TaskGroup() as group:
                unheard = group.create_task(spoilt.probe("127.0.0.1", policy))
                heard = [group.create_task(sound.probe(f"127.0.0.{host}", policy)) for host in range(1, 6)]
        assert unheard.result() == (None,) * 20
        assert all(None not in each.result() and len(each.result()) == 20 for each in heard)

    asyncio.run(run())


def test_without_the_right_raw_sockets_are_refused_quietly() -> None:
    """An unprivileged process learns by a plain False that it may not send ICMP itself."""
    script = (
        "import os; from routing.probe.icmp import raw_sockets_allowed\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(raw_sockets_allowed())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "False\n"
    assert raw_sockets_allowed() == (os.getuid() == 0)
