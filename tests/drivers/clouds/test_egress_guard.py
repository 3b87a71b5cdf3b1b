"""Nothing inside a driver call reaches the network but our own dial."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import requests

from catalog.clouds import CloudAccount
from catalog.errors import CloudError, DialRefused
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint
from catalog.secrets import Secret
from drivers.clouds import egress_guard
from drivers.clouds.libcloud_bridge import Bridge
from drivers.clouds.policy import CallPolicy
from tests.support.dialers import LoopbackDialer


def swallowed() -> None:
    """Try the network as some drivers do: hiding whatever comes of it."""
    try:
        requests.get("http://127.0.0.1:1", timeout=1)
    except BaseException:  # noqa: BLE001 - what the guard must survive
        return


def unix() -> None:
    """Connect to a local socket, such as an SSH agent's."""
    with socket.socket(socket.AF_UNIX) as local:
        local.connect("/nonexistent")


def datagram() -> None:
    """Send one packet without a connection."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", 9))


WAYS_OUT = [
    pytest.param(lambda: requests.get("http://127.0.0.1:1", timeout=1), id="requests"),
    pytest.param(lambda: socket.create_connection(("127.0.0.1", 1), timeout=1), id="socket"),
    pytest.param(lambda: socket.getaddrinfo("localhost", 80), id="name look-up"),
    pytest.param(lambda: socket.gethostbyname("localhost"), id="old name look-up"),
    pytest.param(swallowed, id="in a try block"),
    pytest.param(unix, id="unix socket"),
    pytest.param(datagram, id="datagram"),
    pytest.param(lambda: subprocess.run([sys.executable, "-V"], check=True), id="program"),
]


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_every_way_out_of_a_driver_call_is_refused(way_out: Callable[[], object]) -> None:
    """Code that a driver runs past libcloud's connections gets DialRefused, and so does the caller."""
    endpoint = ApprovedEndpoint(url="http://cloud.example", dial=Address(host="127.0.0.1", port=1))
    account = CloudAccount(
        platform=PlatformId("p"), provider="any", region="r", endpoint=endpoint, account="name", secret=Secret("secret")
    )

    async def run() -> None:
        bridge = Bridge(account, LoopbackDialer(), CallPolicy(deadline_s=20))
        try:
            await bridge.call(way_out)
        finally:
            await bridge.close()

    with pytest.raises(DialRefused):
        asyncio.run(run())


def test_the_guard_is_the_threads_alone() -> None:
    """While one thread is guarded, others connect as ever: the tunnel's event loop is one of them."""
    egress_guard.install()
    inside, done = threading.Event(), threading.Event()
    refusals: list[CloudError] = []

    def guarded() -> None:
        with egress_guard.guarded(refusals.append):
            inside.set()
            done.wait(20)

    thread = threading.Thread(target=guarded)
    thread.start()
    inside.wait(20)
    assert socket.getaddrinfo("127.0.0.1", 80)
    done.set()
    thread.join(20)


def test_the_guard_is_lifted_for_the_dial_and_comes_back() -> None:
    """Lifting is for the block alone, and nesting restores what was."""
    egress_guard.install()
    refusals: list[CloudError] = []
    with egress_guard.guarded(refusals.append):
        with egress_guard.lifted():
            assert socket.getaddrinfo("127.0.0.1", 80)
        with pytest.raises(DialRefused):
            socket.getaddrinfo("127.0.0.1", 80)
    assert socket.getaddrinfo("127.0.0.1", 80)
    assert len(refusals) == 1
