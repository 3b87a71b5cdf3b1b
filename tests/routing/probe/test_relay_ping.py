"""ping on a relay: run only with an address, believed only when it reads like ping, not asked for again in vain."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.probe.plan import ProbePolicy
from routing.probe.relay_ping import PingUnreadable, RelayPing, ping_command, read_ping
from routing.probe.wire import Samples
from tests.routing.world import MakeWorld
from tests.support.lab import Lab, require_lab

_POLICY = ProbePolicy(samples=3, interval_ms=10, timeout_ms=1500)
_HOST = "10.0.0.9"
_GOOD = """\
PING 10.0.0.9 (10.0.0.9) 56(84) bytes of data.
64 bytes from 10.0.0.9: icmp_seq=1 ttl=63 time=40.1 ms
64 bytes from 10.0.0.9: icmp_seq=3 ttl=63 time=101 ms

--- 10.0.0.9 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 402ms
rtt min/avg/max/mdev = 40.100/70.550/101.000/30.450 ms
"""
_BUSYBOX = """\
PING 10.0.0.9 (10.0.0.9): 56 data bytes
64 bytes from 10.0.0.9: seq=0 ttl=63 time=40.125 ms
64 bytes from 10.0.0.9: seq=2 ttl=63 time=41.250 ms

--- 10.0.0.9 ping statistics ---
3 packets transmitted, 2 packets received, 33% packet loss
round-trip min/avg/max = 40.125/40.687/41.250 ms
"""
_DUPLICATED = _GOOD.replace("\n\n", "\n64 bytes from 10.0.0.9: icmp_seq=3 ttl=63 time=102 ms (DUP!)\n\n").replace(
    "2 received,", "2 received, +1 duplicates,"
)
_UNREACHABLE = """\
PING 10.0.0.9 (10.0.0.9) 56(84) bytes of data.
From 10.0.0.1 icmp_seq=1 Destination Host Unreachable

--- 10.0.0.9 ping statistics ---
3 packets transmitted, 0 received, +1 errors, 100% packet loss, time 410ms
"""


@pytest.mark.parametrize(
    ("said", "samples"),
    [
        pytest.param(_GOOD, (40.1, None, 101.0), id="iputils"),
        pytest.param(_GOOD.replace("\n", "\r\n"), (40.1, None, 101.0), id="line ends of a terminal"),
        pytest.param(_BUSYBOX, (40.125, None, 41.25), id="busybox counts from 0"),
        pytest.param(_DUPLICATED, (40.1, None, 101.0), id="a duplicate is no sample"),
        pytest.param(_UNREACHABLE, (None, None, None), id="errors are losses"),
        pytest.param(_GOOD.replace("101 ms", "1501 ms"), (40.1, None, None), id="too late is lost"),
    ],
)
def test_what_ping_says_is_read(said: str, samples: Samples) -> None:
    """Each reply is put in the place of its number; what is missing, or took longer than 1,500 ms, is lost."""
    assert read_ping(said, _HOST, samples=3, timeout_ms=1500) == samples


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("", id="nothing"),
        pytest.param("This account is currently not available.\n", id="no shell"),
        pytest.param("sh: ping: not found\n", id="no ping"),
        pytest.param(_GOOD[:150], id="cut off"),
        pytest.param(_GOOD.replace("from 10.0.0.9", "from 10.0.0.8"), id="another host"),
        pytest.param(_GOOD.replace("from 10.0.0.9", "from ::::::"), id="no address"),
        pytest.param(_GOOD.replace("icmp_seq=3", "icmp_seq=4"), id="a number never sent"),
        pytest.param(_GOOD.replace("icmp_seq=1", "icmp_seq=0"), id="a number before the first"),
        pytest.param(_GOOD.replace("icmp_seq=3", "icmp_seq=1"), id="one number twice"),
        pytest.param(_GOOD.replace("3 packets", "4 packets"), id="another number was sent"),
        pytest.param(_GOOD.replace("2 received", "3 received"), id="the total disagrees"),
        pytest.param(_GOOD.replace("40.1 ms", "-40.1 ms"), id="a negative time"),
        pytest.param(_GOOD.replace("40.1 ms", "nan ms"), id="no time"),
        pytest.param(_GOOD.replace("40.1 ms", "1e9 ms"), id="a time in other words"),
    ],
)
def test_what_ping_would_not_say_is_refused(said: str) -> None:
    """One thing that does not fit, and nothing of it counts: not as samples, and not as losses."""
    with pytest.raises(PingUnreadable):
        read_ping(said, _HOST, samples=3, timeout_ms=1500)


@given(st.text(max_size=300))
def test_no_text_whatever_breaks_the_reading(said: str) -> None:
    """Garbage is refused by name or is a list of three; nothing else leaves."""
    try:
        assert len(read_ping(said, _HOST, samples=3, timeout_ms=1500)) == 3
    except PingUnreadable:
        return


@given(st.one_of(st.text(max_size=40), st.ip_addresses().map(str)))
def test_only_an_address_reaches_the_shell(host: str) -> None:
    """The command is fixed but for an IP address in its canonical form; with anything else there is none."""
    command = ping_command(host, _POLICY)
    if command is not None:
        assert command.removeprefix("env LC_ALL=C ping -n -c 3 -i 0.2 -W 2 ") == str(ipaddress.ip_address(host))


@pytest.mark.parametrize(
    "host", ["relay.example", "10.0.0.9; reboot", "$(reboot)", "10.0.0.9\n", "-f", "", "fe80::1%eth0; reboot"]
)
def test_what_a_shell_would_read_is_never_sent(host: str) -> None:
    """Names, options and anything with a shell's characters make no command."""
    assert ping_command(host, _POLICY) is None


@pytest.mark.parametrize("samples", [0, 201])
def test_samples_have_a_limit(samples: int) -> None:
    """What ping would say of more than 200 does not fit into what is read."""
    assert ping_command(_HOST, ProbePolicy(samples=samples)) is None


def test_a_locked_down_relay_pings_nobody(world: MakeWorld) -> None:
    """A relay that only forwards makes no samples, and the connection to it lives on."""
    here = world(1)

    async def run() -> list[object]:
        async with here.pool() as pool:
            connection = (await pool.lease(("r1",), here.topology())).connection
            pings = RelayPing()
            found = [await pings.probe(connection, "127.0.0.1", _POLICY) for _ in range(2)]
            return [found, connection.is_closed()]

    assert asyncio.run(run()) == [[None, None], False]


def _over_lab(
    *, may_exec: bool, loss_ratio: float, work: Callable[[Lab, asyncssh.SSHClientConnection], Awaitable[object]]
) -> object:
    """Run ``work`` with a connection to a relay that is 5 ms away and has a cloud 25 ms, one way, behind it."""
    with Lab(seed=3) as lab:
        lab.build({("gateway", "relay"): 5, ("relay", "cloud"): 25})
        lab.set_link("relay", "cloud", loss_ratio=loss_ratio)
        relay = lab.start_sshd("relay", may_exec=may_exec)

        async def run() -> object:
            async with asyncssh.connect(
                lab.ip("relay"),
                relay.port,
                username=relay.user,
                known_hosts=str(lab.known_hosts(relay)),
                client_keys=[str(lab.client_key_file)],
                config=None,
                agent_path=None,
            ) as connection:
                return await work(lab, connection)

        with lab.enter("gateway"):
            return asyncio.run(run())


def test_the_link_beyond_is_measured_by_the_relay() -> None:
    """The cloud is 50 ms from the relay and 60 from here: all samples are back, and none is below 50."""
    require_lab()

    async def work(lab: Lab, connection: asyncssh.SSHClientConnection) -> Samples | None:
        return await RelayPing().probe(connection, lab.ip("cloud"), _POLICY)

    samples = _over_lab(may_exec=True, loss_ratio=0.0, work=work)
    assert isinstance(samples, tuple)
    assert len(samples) == 3
    assert all(isinstance(ms, float) and ms >= 50 for ms in samples)


def test_loss_beyond_is_loss() -> None:
    """A link that loses everything makes three lost samples, not a relay that cannot ping."""
    require_lab()

    async def work(lab: Lab, connection: asyncssh.SSHClientConnection) -> Samples | None:
        return await RelayPing().probe(connection, lab.ip("cloud"), _POLICY)

    assert _over_lab(may_exec=True, loss_ratio=1.0, work=work) == (None, None, None)


def test_a_refusal_is_remembered() -> None:
    """The second question to a relay that refused the first sends no packet at all."""
    require_lab()

    async def work(lab: Lab, connection: asyncssh.SSHClientConnection) -> object:
        pings = RelayPing()
        sent = lab.count_packets("gateway", f"ip daddr {lab.ip('relay')} tcp flags & (psh) == psh")
        first = await pings.probe(connection, lab.ip("cloud"), _POLICY)
        asked = sent.packets()
        second = await pings.probe(connection, lab.ip("cloud"), _POLICY)
        return [first, second, asked > 0, sent.packets() - asked]

    assert _over_lab(may_exec=False, loss_ratio=0.0, work=work) == [None, None, True, 0]
