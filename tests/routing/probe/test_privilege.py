"""Privileges given up are gone for good, for this process and for what it starts; open raw sockets go on working."""

import json
import os
import subprocess
import sys

import pytest

from tests.routing.answering import run_alone

_DROP = """
import socket, sys, threading
from routing.probe.icmp import EchoSocket, open_icmp_socket
from tests.routing.rights import raw_sockets_allowed
from routing.probe.privilege import give_up_privileges
from routing.probe.syn import SynSocket, open_syn_socket
from routing.topology import Address

icmp, syn = open_icmp_socket(), open_syn_socket()
before = raw_sockets_allowed()
left = give_up_privileges(keep)
again = give_up_privileges(keep)

async def main():
    pace = {"samples": 2, "interval_ms": 1, "timeout_ms": 2000}
    with EchoSocket(opened=icmp) as echo, SynSocket(opened=syn) as syns:
        return await echo.sweep(["127.0.0.1"], **pace) + await syns.sweep([Address("127.0.0.1", 9)], **pace)

probed = asyncio.run(main())
later = []
thread = threading.Thread(target=lambda: later.append(raw_sockets_allowed()))
thread.start()
thread.join()
child = subprocess.run(
    [sys.executable, "-c", "from tests.routing.rights import raw_sockets_allowed; print(raw_sockets_allowed())"],
    capture_output=True, text=True, check=True,
).stdout
try:
    socket.create_server(("127.0.0.1", 80)).close()
    low_port = True
except PermissionError:
    low_port = False
said = {
    "before": before, "probed": probed, "after": [raw_sockets_allowed(), later[0], child.strip()],
    "left": sorted(left.held), "bounded": left.bounded, "same": left == again, "low port": low_port,
}
"""


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        pytest.param([], [], id="nothing is kept"),
        pytest.param(["net_bind_service"], ["net_bind_service"], id="low ports are kept"),
    ],
)
def test_sockets_work_and_no_new_one_can_be_had(keep: list[str], left: list[str]) -> None:
    """Root opens both raw sockets, gives up the rest, and still probes; it, its threads and its children open none.

    What was kept works: port 80 can be bound, or not. Doing it twice changes nothing.
    """
    said = run_alone(_DROP, keep=keep)
    assert said["before"]
    assert all(None not in samples for samples in said["probed"])
    assert said["after"] == [False, False, "False"]
    assert said["left"] == left
    assert said["bounded"]
    assert said["same"]
    assert said["low port"] == bool(keep)


def test_threads_that_run_already_are_told_of() -> None:
    """One thread started before keeps what it had, and is counted."""
    said = run_alone(
        "import threading\n"
        "from tests.routing.rights import raw_sockets_allowed\n"
        "from routing.probe.privilege import give_up_privileges\n"
        "go_on, kept = threading.Event(), []\n"
        "early = threading.Thread(target=lambda: (go_on.wait(30), kept.append(raw_sockets_allowed())))\n"
        "early.start()\n"
        "left = give_up_privileges()\n"
        "go_on.set()\n"
        "early.join()\n"
        "said = [left.other_threads, kept, raw_sockets_allowed()]"
    )
    assert said == [1, [True], False]


def test_without_privileges_nothing_changes() -> None:
    """A plain process gives up nothing, keeps nothing it did not have, and goes on."""
    script = (
        "import json, os\n"
        "from routing.probe.privilege import give_up_privileges\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "left = give_up_privileges(['net_raw'])\n"
        "print(json.dumps([sorted(left.held), left.other_threads, os.getuid() != 0]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, env=os.environ
    )
    assert json.loads(done.stdout) == [[], 0, True]


def test_only_what_a_gateway_may_need_can_be_kept() -> None:
    """Another capability's name is a mistake, found before anything is given up."""
    said = run_alone(
        "from tests.routing.rights import raw_sockets_allowed\n"
        "from routing.probe.privilege import give_up_privileges\n"
        "try:\n    give_up_privileges(['sys_admin'])\nexcept KeyError:\n    said = raw_sockets_allowed()"
    )
    assert said is True
