"""The WAN of proxies: SSH banners after two round trips, live changes, cuts, and bytes that arrive as sent."""

import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalog.ports import Address
from gateway.demo.relays import RelaySshd
from gateway.demo.wan.link import WanError
from gateway.demo.wan.ports import Wan
from gateway.demo.wan.proxies import DelayProxies
from tests.support.lab import PYTHON

ROOT = Path(__file__).resolve().parents[3]
# A real sshd forks and re-executes itself before its banner: 25 ms idle, much more on a busy machine. The
# proxies are never early, so the lower bound is sharp; the upper one only tells 2 round trips from 3.
CLIENT_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Kzu0r0yT9m0yYJ8oHjVxv0E1n9l3p2m8m3Wc0aXyz"


@pytest.fixture(name="proxies")
def two_hosts() -> Iterator[DelayProxies]:
    """Make hosts a and b with a link of 100 ms there and 100 ms back."""
    with DelayProxies(seed=3) as proxies:
        proxies.add_host("a")
        proxies.add_host("b")
        proxies.add_link("a", "b", delay_ms=100)
        yield proxies


@pytest.fixture(name="relay")
def relay_at_b(proxies: DelayProxies, tmp_path: Path) -> Iterator[Address]:
    """Start a real sshd at b and give the address that a dials."""
    relay = RelaySshd.start(proxies, "b", directory=tmp_path / "relay", client_key=CLIENT_KEY)
    yield relay.address_from("a")
    relay.stop()


def least_banner_ms(address: Address) -> float:
    """Return the least time from connect to banner of five tries."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        with socket.create_connection((address.host, address.port), 10) as client:
            assert client.recv(99).startswith(b"SSH-2.0-")
        times.append((time.perf_counter() - began) * 1e3)
    return min(times)


def test_the_proxies_are_a_wan(proxies: DelayProxies) -> None:
    """The proxies fit the protocol that the demo uses (checked by mypy here)."""
    wan: Wan = proxies
    assert not wan.one_address_per_host


def test_an_ssh_banner_takes_two_round_trips_and_follows_the_link(proxies: DelayProxies, relay: Address) -> None:
    """200 ms of RTT: 400 to the banner. With 10 ms one way only, 110 of RTT: 220. With 10 both ways: 40."""
    assert 400 <= least_banner_ms(relay) < 600
    proxies.set_link("a", "b", oneway=True, delay_ms=10)
    assert 220 <= least_banner_ms(relay) < 330
    proxies.set_link("a", "b", delay_ms=10)
    assert 40 <= least_banner_ms(relay) < 220


def test_a_cut_holds_everything_until_healed(proxies: DelayProxies, relay: Address) -> None:
    """Into a cut link one connects (it is a proxy) and hears nothing; once healed the banner arrives."""
    proxies.set_link("a", "b", delay_ms=1)
    proxies.cut("a", "b")
    with socket.create_connection((relay.host, relay.port), 10) as client:
        # The absence of an answer can only be waited for; without the cut it takes some 30 ms.
        assert not select.select([client], [], [], 0.5)[0]
        proxies.heal("a", "b")
        assert client.recv(99).startswith(b"SSH-2.0-")


def serve_once(handle: Callable[[socket.socket], None]) -> tuple[int, threading.Thread]:
    """Serve one connection in a thread; return the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            handle(client)

    thread = threading.Thread(target=serve)
    thread.start()
    return listener.getsockname()[1], thread


def test_bytes_arrive_as_sent_whatever_the_link(proxies: DelayProxies) -> None:
    """3 MiB there, then 3 MiB back after the sender's end of stream, over jitter and loss: not a byte differs."""
    proxies.set_link("a", "b", delay_ms=2, jitter_ms=2, loss_ratio=0.02)
    sent = os.urandom(3 << 20)
    received = bytearray()

    def swallow_then_return(client: socket.socket) -> None:
        while chunk := client.recv(1 << 16):
            received.extend(chunk)
        client.sendall(received[::-1])

    port, thread = serve_once(swallow_then_return)
    address = proxies.address_from("a", "b", port)
    with socket.create_connection((address.host, address.port), 30) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        returned = b"".join(iter(lambda: client.recv(1 << 16), b""))
    thread.join()

    assert bytes(received) == sent
    assert returned == sent[::-1]


def test_loss_is_the_delay_of_a_retransmission(proxies: DelayProxies) -> None:
    """With everything lost once, a request of one chunk and its answer are 200 ms late each."""
    proxies.set_link("a", "b", delay_ms=1, loss_ratio=1.0)
    port, thread = serve_once(lambda client: client.sendall(client.recv(99)))
    address = proxies.address_from("a", "b", port)
    began = time.perf_counter()
    with socket.create_connection((address.host, address.port), 30) as client:
        client.sendall(b"x")
        assert client.recv(99) == b"x"
    assert time.perf_counter() - began >= 0.4
    thread.join()


def test_a_dead_port_ends_the_connection(proxies: DelayProxies) -> None:
    """Where nobody listens, the client's connection is ended, not left hanging."""
    proxies.set_link("a", "b", delay_ms=1)
    address = proxies.address_from("a", "b", proxies.free_port(22))
    with socket.create_connection((address.host, address.port), 30) as client:
        try:
            assert client.recv(99) == b""
        except ConnectionResetError:
            return


def test_each_way_and_port_has_a_proxy_of_its_own(proxies: DelayProxies) -> None:
    """Asking again gives the same address; the other direction and another port give others; home needs none."""
    there = proxies.address_from("a", "b", 1001)
    assert proxies.address_from("a", "b", 1001) == there
    assert len({there, proxies.address_from("b", "a", 1001), proxies.address_from("a", "b", 1002)}) == 3
    assert proxies.address_from("b", "b", 1001) == Address(host="127.0.0.1", port=1001)


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        pytest.param(lambda wan: wan.add_host("a"), "already is a host a", id="name taken"),
        pytest.param(lambda wan: wan.add_link("a", "b"), "cannot be linked", id="linked twice"),
        pytest.param(lambda wan: wan.add_link("a", "c"), "no host c", id="unknown host"),
        pytest.param(lambda wan: wan.set_link("a", "b", loss_ratio=2), "loss_ratio", id="bad value"),
        pytest.param(lambda wan: wan.cut("b", "c"), "no host c", id="cut of nothing"),
        pytest.param(lambda wan: wan.popen("a", ["no-such-program"]), "cannot be started", id="no such program"),
        pytest.param(lambda wan: wan.start(), "already started", id="started twice"),
    ],
)
def test_mistakes_are_named(proxies: DelayProxies, mistake: Callable[[DelayProxies], None], complaint: str) -> None:
    """Each wrong request is refused in words."""
    with pytest.raises(WanError, match=complaint):
        mistake(proxies)


OWNER = """
import signal
from gateway.demo.wan.proxies import DelayProxies
proxies = DelayProxies()
proxies.start()
proxies.add_host("a")
program = proxies.popen("a", ["sleep", "1000"])
print(program.pid, proxies._helper.pid, flush=True)
signal.pause()
"""


def test_a_killed_owner_leaves_nothing() -> None:
    """After SIGKILL of the owner the proxy process ends, and the programs started in the WAN with it."""
    with subprocess.Popen([PYTHON, "-c", OWNER], stdout=subprocess.PIPE, cwd=ROOT) as owner:
        assert owner.stdout is not None
        watched = [os.pidfd_open(int(pid)) for pid in owner.stdout.readline().split()]
        owner.send_signal(signal.SIGKILL)
    for pidfd in watched:
        assert select.select([pidfd], [], [], 20)[0]  # readable once its process has ended
        os.close(pidfd)
