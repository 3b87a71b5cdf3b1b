"""The WAN of namespaces does what it was told: delay, loss, cuts, isolation, live, and counts it exactly."""

import socket
import subprocess
from collections.abc import Iterator

import pytest

from gateway.demo.wan.link import WanError
from gateway.demo.wan.ports import Wan
from tests.support.lab import PYTHON, Lab, require_lab

# The engine is a Python process on a machine that may be busy: a packet is never early, and late by some
# 0.2 ms each way as a rule. The least of several pings is therefore compared; 15 ms allow for a loaded machine.
LATE_MS = 15


@pytest.fixture(name="lab", scope="module")
def shared_lab() -> Iterator[Lab]:
    """One lab for all tests here; each makes the links it changes."""
    require_lab()
    with Lab(seed=5) as lab:
        yield lab


def pair(lab: Lab, name: str, **settings: float) -> tuple[str, str]:
    """Add two linked hosts named after the test."""
    a, b = f"{name}-a", f"{name}-b"
    lab.add_host(a)
    lab.add_host(b)
    lab.add_link(a, b, **settings)  # type: ignore[arg-type]
    return a, b


def least_rtt_ms(lab: Lab, a: str, b: str) -> float:
    """Return the least RTT of ten pings."""
    rtt = lab.ping(a, b).rtt_min_ms
    assert rtt is not None
    return rtt


def test_a_world_is_a_wan(lab: Lab) -> None:
    """The world fits the protocol that the demo uses (checked by mypy here)."""
    wan: Wan = lab
    assert wan.one_address_per_host


def test_delay_is_the_sum_of_both_ways_and_changes_live(lab: Lab) -> None:
    """20 ms there and 30 back are 50; then 40 there are 70; then 5 both ways are 10."""
    a, b = "delay-a", "delay-b"
    lab.add_host(a)
    lab.add_host(b)
    lab.add_link(a, b, delay_ms=20, back={"delay_ms": 30})
    assert 50 <= least_rtt_ms(lab, a, b) < 50 + LATE_MS

    lab.set_link(a, b, oneway=True, delay_ms=40)
    assert 70 <= least_rtt_ms(lab, b, a) < 70 + LATE_MS

    lab.set_link(b, a, delay_ms=5)
    assert 10 <= least_rtt_ms(lab, a, b) < 10 + LATE_MS
    assert (lab.link(a, b).delay_ms, lab.link(b, a).delay_ms) == (5, 5)


def test_every_lost_packet_is_counted_and_no_other_is_lost(lab: Lab) -> None:
    """300 pings with 20 % loss one way: ping misses exactly as many replies as the engine says it lost."""
    a, b = pair(lab, "loss")
    lab.set_link(b, a, oneway=True, loss_ratio=0.2)

    ping = lab.ping(b, a, count=300, interval_s=0.002)

    assert lab.stats(b, a).lost == ping.sent - ping.received
    assert 30 <= ping.sent - ping.received <= 90  # 60 +- 7 is expected; the seed is fixed, the draws are not
    assert lab.stats(b, a).passed == lab.stats(a, b).passed == ping.received
    assert lab.stats(a, b).lost == 0


def test_a_cut_swallows_everything_until_healed(lab: Lab) -> None:
    """Three pings into a cut link: none comes back, three are counted; afterwards all pass again."""
    a, b = pair(lab, "cut")
    lab.cut(a, b)
    assert lab.ping(a, b, count=3).received == 0
    assert lab.stats(a, b).cut == 3

    lab.heal(a, b)
    assert lab.ping(a, b, count=3).received == 3


def test_a_cut_swallows_what_is_in_flight(lab: Lab) -> None:
    """A packet under way for 2.5 s is caught by a cut after 1 s; one that enters then is swallowed at once.

    The waits are ping's own: 1 s, then 2 s, so the first packet's time has come and the second's has not.
    """
    a, b = pair(lab, "flight", delay_ms=2500)
    lab.run(a, ["ping", "-c1", "-W1", lab.ip(b)])
    assert lab.stats(a, b).cut == 0
    lab.cut(a, b)
    lab.run(a, ["ping", "-c1", "-W2", lab.ip(b)])

    assert lab.stats(a, b).cut == 2
    assert lab.stats(a, b).passed == 0


def test_a_cut_host_is_silent_on_every_link(lab: Lab) -> None:
    """With its host cut, two neighbours get nothing from it, while they still reach each other."""
    for host in ("hub", "east", "west"):
        lab.add_host(host)
    for a, b in (("hub", "east"), ("west", "hub"), ("east", "west")):
        lab.add_link(a, b)
    lab.cut_host("hub")
    assert lab.ping("east", "hub", count=1).received == 0
    assert lab.ping("west", "hub", count=1).received == 0
    assert lab.ping("east", "west", count=1).received == 1

    lab.heal_host("hub")
    assert lab.ping("west", "hub", count=1).received == 1


def test_no_host_is_transit(lab: Lab) -> None:
    """Even with a route set by hand, the host in the middle passes nothing on; only a program on it could."""
    near, middle = pair(lab, "near")
    lab.add_host("far")
    lab.add_link(middle, "far")
    assert "unreachable" in lab.run(near, ["ping", "-c1", "-W1", lab.ip("far")]).stderr.lower()

    for host in (near, "far"):
        lab.run(host, ["ip", "route", "add", "default", "via", lab.ip(middle), "dev", f"to-{middle}", "onlink"])
    assert lab.ping(near, "far", count=1).received == 0
    assert lab.stats(middle, "far").passed == 0


def test_a_slow_line_carries_its_rate_and_drops_the_rest(lab: Lab) -> None:
    """100 pings of 1,042 bytes at once into 1 Mbit/s: 8.3 ms each, so 100 ms of queue hold 13 of them."""
    a, b = pair(lab, "slow")
    lab.set_link(a, b, oneway=True, rate_mbit_s=1, queue_ms=100)

    done = lab.run(a, ["ping", "-n", "-q", "-c", "100", "-l", "100", "-s", "1000", "-W", "2", lab.ip(b)])

    assert " 100 packets transmitted" in f" {done.stdout}".replace("\n", " ")
    assert lab.stats(a, b).dropped + lab.stats(a, b).passed == 100
    assert 13 <= lab.stats(a, b).passed <= 40  # more than 13 when ping is slow to send


def test_descriptors_pass_into_a_host(lab: Lab) -> None:
    """A socket made out here and inherited by a program in a host still listens out here."""
    lab.add_host("inheritor")
    code = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.accept()[0].sendall(b'inside')"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        with lab.popen("inheritor", [PYTHON, "-c", code, str(fd)], pass_fds=[fd]) as program:
            with socket.create_connection(listener.getsockname()) as client:
                assert client.recv(99) == b"inside"
            assert program.wait(10) == 0


def test_a_thread_may_enter_a_host(lab: Lab) -> None:
    """A socket made in the block belongs to the host, one made after it does not."""
    lab.add_host("entered")
    with lab.enter("entered"), socket.create_server((lab.ip("entered"), 0)) as inside:
        assert inside.getsockname()[0] == lab.ip("entered")
    with pytest.raises(OSError, match="Cannot assign"):
        socket.create_server((lab.ip("entered"), 0))


def test_a_program_is_its_own_process_with_default_signals(lab: Lab) -> None:
    """The id that popen returns is the program's, and SIGPIPE, which Python ignores, kills it as usual.

    A program that does not exist ends with the shell's status for that, 127.
    """
    lab.add_host("programs")
    with lab.popen("programs", ["sh", "-c", "echo $$; kill -PIPE $$"], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert int(program.stdout.read()) == program.pid
        assert program.wait(10) == -13
    missing = lab.run("programs", ["no-such-program"])
    assert missing.returncode == 127
    assert "no-such-program" in missing.stderr


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        pytest.param(lambda lab: lab.add_host("Bad Name"), "a host is named", id="host name"),
        pytest.param(lambda lab: lab.add_host("taken"), "already is a host taken", id="name taken"),
        pytest.param(lambda lab: lab.add_link("taken", "taken"), "cannot be linked", id="link to itself"),
        pytest.param(lambda lab: lab.add_link("taken", "nobody"), "no host nobody", id="unknown host"),
        pytest.param(lambda lab: lab.add_link("other", "taken", delay_ms=-5), "delay_ms", id="bad link"),
        pytest.param(lambda lab: lab.set_link("taken", "other", delay_ms=5), "no link between", id="no link"),
        pytest.param(lambda lab: lab.stats("taken", "other"), "no link between", id="stats of no link"),
        pytest.param(lambda lab: lab.address_from("taken", "other", 22), "no link between", id="address"),
        pytest.param(lambda lab: lab.popen("taken", []), "no program", id="no program"),
        pytest.param(
            lambda lab: lab.popen("taken", ["true"], capabilities=["sys_admin"]), "unknown capability", id="capability"
        ),
        pytest.param(lambda lab: lab.start(), "already started", id="started twice"),
    ],
)
def test_mistakes_are_named(lab: Lab, mistake: object, complaint: str) -> None:
    """Each wrong request is refused in words; nothing is half made."""
    for host in ("taken", "other"):
        if host not in lab._addresses:
            lab.add_host(host)
    with pytest.raises(WanError, match=complaint):
        mistake(lab)  # type: ignore[operator]


def test_a_closed_world_says_so() -> None:
    """Requests before start and after close are refused; closing again is harmless."""
    lab = Lab()
    with pytest.raises(WanError, match="not running"):
        lab.add_host("early")
    require_lab()
    lab.start()
    lab.close()
    lab.close()
    with pytest.raises(WanError, match="not running"):
        lab.add_host("late")
