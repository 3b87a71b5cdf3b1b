"""``crossway order create --wait``, ``wait``, ``events`` and ``explain``: what is seen while an order is served.

The API and the database are real; the reports that the provisioner would send are settled as they come in.
"""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from catalog.messages.contracts import MachineCreated, MachineFailed, MachineProgress, Message
from catalog.model.ids import MachineId, MessageId, OrderId, PlatformId, new_id
from catalog.model.machine import Machine
from catalog.orders.policy import RetryPolicy
from catalog.orders.settle import settle
from catalog.pool import manage
from catalog.pool.apply import apply
from catalog.store import rows
from catalog.store.database import Tx
from tests.gateway.cli.conftest import Run
from tests.support.served_api import ServedApi

ORDER = ("order", "create", "platform", "--size", "small", "--image", "debian-12", "--wait", "--timeout", "60")
ENDS_S = 60


def report(api: ServedApi, order: str, kind: str, *, after_s: float = 1.0, **facts: Any) -> None:
    """Settle what the provisioner reports of the order's machine, ``after_s`` later."""
    api.world.clock.advance(after_s)

    def work(tx: Tx) -> None:
        now_s = api.world.clock.now_s()
        (machine,) = rows.where(tx, Machine, order_id=OrderId(order))
        told: dict[str, Any] = {
            "id": MessageId(new_id("message", now_s)),
            "created_at_s": now_s,
            "machine": MachineId(machine.id),
            "platform": PlatformId(machine.platform_id),
            "attempt": machine.attempt,
            **facts,
        }
        message: Message
        match kind:
            case "created":
                message = MachineCreated(**told, cloud_id="vm-1")
            case "failed":
                message = MachineFailed(**told, code="cloud-refused", reason="the image is gone")
            case step:
                message = MachineProgress(**told, step=step)
        settle(tx, message, now_s, RetryPolicy())

    api.write(work)


@contextmanager
def crossway(api: ServedApi, *words: str, stderr: int = subprocess.PIPE) -> Iterator["subprocess.Popen[str]"]:
    """Run the command line as a process of its own, as the tenant, and see to its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CROSSWAY")}
    told = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens["tenant"], "CROSSWAY_OUTPUT": "json"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**kept, **told, "TERM": "xterm", "COLUMNS": "120"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_with(process: "subprocess.Popen[str]", words: str) -> str:
    """Return the next line on stderr that holds ``words``."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"ended without saying {words!r}")


def accepted(process: "subprocess.Popen[str]") -> str:
    """Return the id of the order that is waited for, once its first step is shown."""
    order = line_with(process, "waiting for order_").split()[-1]
    line_with(process, "accepted")
    return order


def test_every_step_is_shown_while_it_passes_and_data_is_only_on_stdout(api: ServedApi) -> None:
    """A line a step on stderr, each once, with the time since the first; stdout holds the fulfilled order alone."""
    with crossway(api, *ORDER) as process:
        order = accepted(process)
        for step, seen in (
            ("provision.create.begin", "+1.0 s  its cloud is asked for the machine (attempt 1)"),
            ("provision.created", "+2.0 s  its cloud starts the machine (attempt 1)"),
        ):
            report(api, order, step)
            assert seen in line_with(process, "its cloud")
        report(api, order, "created")
        stdout, rest = process.communicate(timeout=ENDS_S)
    assert rest.count("+3.0 s  the machine is yours") == 1
    assert "its cloud" not in rest
    assert (process.returncode, json.loads(stdout)["state"]) == (0, "fulfilled")


def test_a_failure_is_shown_and_told_by_the_exit_code(api: ServedApi) -> None:
    """Exit code 1, with the reason."""
    with crossway(api, *ORDER) as process:
        report(api, accepted(process), "failed", retryable=False)
        stdout, rest = process.communicate(timeout=ENDS_S)
    assert (process.returncode, json.loads(stdout)["state"]) == (1, "failed")
    assert "error: the order is failed: no machine could be created in 1 attempt: the image is gone" in rest


def test_an_interrupt_ends_the_waiting_and_not_the_order(api: ServedApi, run: Run) -> None:
    """Ctrl-C: exit code 130, how to come back, and the order goes on; ``order wait`` takes it up and ends with it."""
    with crossway(api, *ORDER) as process:
        order = accepted(process)
        process.send_signal(signal.SIGINT)
        stdout, rest = process.communicate(timeout=ENDS_S)
    assert (process.returncode, stdout) == (130, "")
    assert f"crossway order wait {order}" in rest
    assert f"crossway order events {order}" in rest
    assert "Traceback" not in rest
    assert run("order", "show", order, role="tenant")["state"] == "creating"
    with crossway(api, "order", "wait", order) as process:
        assert accepted(process) == order
        report(api, order, "created")
        assert process.wait(timeout=ENDS_S) == 0


def test_on_a_terminal_there_is_a_bar(api: ServedApi) -> None:
    """The steps are lines there too, and a bar says how far the order is; the end leaves no bar behind."""
    near, far = pty.openpty()
    with crossway(api, *ORDER, stderr=far) as process:
        os.close(far)
        shown = until(near, "2/6")
        report(api, shown.partition("waiting for ")[2].split()[0], "created")
        shown += until(near, "the machine is yours")
        assert process.wait(timeout=ENDS_S) == 0
    os.close(near)
    assert "accepted" in shown
    assert "━" in shown


def until(terminal: int, words: str) -> str:
    """Return what is written to the terminal up to where it holds ``words``."""
    shown = b""
    while words.encode() not in shown:
        shown += os.read(terminal, 4096)
    return shown.decode(errors="replace")


def test_the_history_is_told_in_order_with_times(run: Run, api: ServedApi) -> None:
    """Also after its end: an attempt that failed, the pause, the next one, the machine."""
    run = run.by("tenant", "order")
    order = run("create", "platform", "--size", "small", "--image", "debian-12")["id"]
    report(api, order, "provision.create.begin", after_s=2.5)
    report(api, order, "failed", retryable=True)
    told = run("events", order)
    assert [(each["step"], each["outcome"], each["after_s"]) for each in told] == [
        ("order.placed", "done", 0.0),
        ("order.dispatched", "done", 0.0),
        ("provision.create.begin", "done", 2.5),
        ("order.settled", "failed", 3.5),
    ]
    table = run.text("events", order)
    assert "its cloud is asked for the machine" in table
    assert "cloud-refused: the image is gone" in table
    run("events", order, role="rival", code=3)


def test_what_an_order_waits_for_is_explained_at_every_stage(run: Run, api: ServedApi) -> None:
    """Named or chosen, cold or from which pool, and what it waits for: the cloud, its next attempt, nothing more."""
    run = run.by("tenant", "order")
    order = run("create", "platform", "--size", "small", "--image", "debian-12")["id"]

    def waits() -> str:
        return str(run("explain", order)["waits_for"]["what"])

    assert waits() == "its platform to be asked for a machine"
    report(api, order, "provision.create.begin")
    assert waits() == "the cloud's answer to the creation"
    report(api, order, "provision.created")
    assert waits() == "the cloud to start the machine"
    assert run("show", order)["step"] == "provision.created"
    report(api, order, "failed", retryable=True)
    assert waits() == "attempt 2, because of the last: the image is gone"
    assert "platform: platform, named by the order\nserved from: a machine of its own\n" in run.text("explain", order)
    run("cancel", order)
    assert (run("explain", order)["waits_for"], run("show", order)["step"]) == (None, "")


def test_an_order_that_a_pool_served_names_it(run: Run, api: ServedApi) -> None:
    """The machine was idle in the pool: the order names the pool, and waits for nothing."""

    def fill(tx: Tx) -> None:
        now_s = api.world.clock.now_s()
        pool = manage.create_pool(
            tx, name="ready", offer="platform", size="small", image="debian-12", idle_target=1, now_s=now_s
        )
        apply(tx, pool.id, now_s)
        (machine,) = rows.where(tx, Machine, pool_id=pool.id)
        created = MachineCreated(
            id=MessageId("message_pool"), created_at_s=now_s, machine=MachineId(machine.id),
            platform=PlatformId(machine.platform_id), attempt=1, cloud_id="vm-9",
        )  # fmt: skip
        settle(tx, created, now_s, RetryPolicy())

    api.write(fill)
    run = run.by("tenant", "order")
    order = run("create", "platform", "--size", "small", "--image", "debian-12")
    told = run("explain", order["id"])
    assert (order["state"], told["served_from"], told["pool"], told["waits_for"]) == (
        "fulfilled",
        "pool",
        "ready",
        None,
    )
    assert "served from: the pool ready\nfulfilled" in run.text("explain", order["id"])
