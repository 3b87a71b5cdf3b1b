"""A private RabbitMQ broker: its own node, data folder and Erlang port mapper, stopped or killed by its own pids."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.sshd import free_port
from tests.support.waiting import wait_until

_SCRIPTS = Path("/usr/lib/rabbitmq/lib")
_PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Where one broker lives: AMQP on ``port``, other nodes' on ``nodes_port``, the port mapper on ``epmd_port``."""

    folder: Path
    port: int
    nodes_port: int
    epmd_port: int

    def server(self) -> tuple[list[str], Mapping[str, str]]:
        """Return the command that runs the broker, and its environment."""
        plugins = self.folder / "plugins"
        plugins.write_text("[].")
        settings = {
            "NODENAME": f"node{self.port}@localhost",
            "NODE_PORT": str(self.port),
            "NODE_IP_ADDRESS": "127.0.0.1",
            "DIST_PORT": str(self.nodes_port),
            "MNESIA_BASE": str(self._made("data")),
            "LOG_BASE": str(self._made("log")),
            "PID_FILE": str(self.folder / "pid"),
            "ENABLED_PLUGINS_FILE": str(plugins),
            # Whatever this machine's administrator configured is another node's.
            "CONF_ENV_FILE": "/dev/null",
            "CONFIG_FILE": str(self.folder / "unconfigured"),
            "SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
        }
        (scripts,) = _SCRIPTS.glob("rabbitmq_server-*/sbin")
        environment = {f"RABBITMQ_{name}": value for name, value in settings.items()}
        return [str(scripts / "rabbitmq-server")], environment | self._mapper()

    def epmd(self) -> list[str]:
        """Return the command that runs the port mapper: the one that Erlang would start outlives everybody."""
        return ["epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"]

    def _mapper(self) -> dict[str, str]:
        return {"ERL_EPMD_PORT": str(self.epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1"}

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


class RabbitmqServer:
    """A broker that can be killed and started again on the same port and data."""

    def __init__(self, node: Node) -> None:
        """Take where it lives; use ``running`` instead."""
        self._node = node
        self._programs: list[subprocess.Popen[bytes]] = []
        self._broker: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL of its default virtual host, for its default user, who needs no password to be said."""
        return f"amqp://guest@127.0.0.1:{self._node.port}/"

    @property
    def port(self) -> int:
        """Return where it takes connections, on loopback."""
        return self._node.port

    @property
    def is_up(self) -> bool:
        """Return whether its process runs."""
        return self._broker is not None and self._broker.poll() is None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        if not self._programs:
            self._programs.append(self._run("epmd", self._node.epmd(), {}))
        command, environment = self._node.server()
        self._broker = self._run("broker", command, environment)
        wait_until(self._answers, "the broker takes connections", patience_s=_PATIENCE_S)

    def kill(self) -> None:
        """Kill it as a power cut would, and wait until it is gone."""
        if self._broker is not None:
            # What was started is a script, and Erlang under it: a session of their own.
            os.killpg(self._broker.pid, signal.SIGKILL)
            self._broker.wait(_PATIENCE_S)
            self._broker = None

    def stop(self) -> None:
        """End it and its port mapper: nothing of a test's broker has to be kept."""
        self.kill()
        for program in self._programs:
            program.kill()
            program.wait(_PATIENCE_S)

    def _run(self, name: str, command: list[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        # The cookie by which nodes know each other is made at home.
        told = {**os.environ, "HOME": str(self._node.folder), **environment}
        with (self._node.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=told, cwd=self._node.folder, start_new_session=True
            )

    def _answers(self) -> bool:
        assert self._broker is not None
        if self._broker.poll() is not None:
            raise RuntimeError((self._node.folder / "broker.log").read_text())
        return asyncio.run(_greets(self._node.port))


async def _greets(port: int) -> bool:
    """Return whether the broker starts its half of the protocol: its port is open long before it does."""
    try:
        async with asyncio.timeout(5.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                writer.write(b"AMQP\x00\x00\x09\x01")
                return bool(await reader.read(1))
    except (OSError, TimeoutError):
        return False


@contextmanager
def running() -> Iterator[RabbitmqServer]:
    """Run a broker of its own until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="crossway-mq-"))
    node = Node(folder=folder, port=free_port(), nodes_port=free_port(), epmd_port=free_port())
    server = RabbitmqServer(node)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
