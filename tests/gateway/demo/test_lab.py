"""The lab that other tests stand on: its sshd is real, its counters exact, its refusals plain."""

import subprocess
from collections.abc import Iterator

import pytest

from gateway.demo.wan.link import WanError
from tests.support.lab import PYTHON, Lab, require_lab

HELLO = """
import socketserver
class Hello(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"hello " + self.client_address[0].encode())
with socketserver.TCPServer(("0.0.0.0", 8080), Hello) as server:
    print("ready", flush=True)
    server.serve_forever()
"""
DIAL = "import socket, sys; print(socket.create_connection((sys.argv[1], 8080), 5).recv(99).decode())"


@pytest.fixture(name="lab")
def lab_of_three() -> Iterator[Lab]:
    """Make gateway - relay - cloud: the gateway has no link to the cloud, where a server says hello on port 8080."""
    require_lab()
    with Lab() as lab:
        lab.build({("gateway", "relay"): 2, ("relay", "cloud"): 3})
        with lab.popen("cloud", [PYTHON, "-c", HELLO], stdout=subprocess.PIPE) as cloud:
            assert cloud.stdout is not None
            assert cloud.stdout.readline() == b"ready\n"
            yield lab
            cloud.kill()


def test_a_real_ssh_client_gets_through_and_nothing_leaves_outside_the_tunnel(lab: Lab) -> None:
    """``ssh -W`` through the relay gets the cloud's answer, which saw the relay's address.

    The counter of packets straight to the cloud stays at 0 while the one of packets to the relay moves.
    """
    relay = lab.start_sshd("relay")
    straight = lab.count_packets("gateway", f"ip daddr {lab.ip('cloud')}")
    tunnelled = lab.count_packets("gateway", f"ip daddr {lab.ip('relay')} tcp dport 22")
    ssh = [
        *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={lab.known_hosts(relay)}"),
        *("-i", str(lab.client_key_file), "-W", f"{lab.ip('cloud')}:8080", f"{relay.user}@{lab.ip('relay')}"),
    ]

    said = lab.run("gateway", ssh)

    assert said.stdout == f"hello {lab.ip('relay')}", said.stderr
    assert straight.packets() == 0
    assert tunnelled.packets() > 0


def test_a_counter_is_exact_and_would_see_a_leak(lab: Lab) -> None:
    """Three pings are three packets out at the relay and three in at the cloud: a leak of one would show."""
    out = lab.count_packets("relay", f"ip daddr {lab.ip('cloud')} icmp type echo-request")
    arrived = lab.count_packets("cloud", "icmp type echo-request", hook="input")

    assert lab.ping("relay", "cloud", count=3).received == 3

    assert (out.packets(), arrived.packets()) == (3, 3)


def test_python_code_runs_in_a_host(lab: Lab) -> None:
    """Code run in the relay dials from the relay's address."""
    assert lab.python("relay", DIAL, lab.ip("cloud")) == f"hello {lab.ip('relay')}\n"


def test_failing_code_and_bad_matches_are_errors_that_say_why(lab: Lab) -> None:
    """An exception in the code and nft's complaint both reach the test that caused them."""
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.python("relay", "1 / 0")
    with pytest.raises(WanError, match="does not take 'ip nonsense'"):
        lab.count_packets("relay", "ip nonsense")
