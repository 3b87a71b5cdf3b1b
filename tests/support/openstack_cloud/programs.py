"""The programs of a private OpenStack: started, looked after and stopped, each by the id of the process we started."""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 240.0  # for any one step: two busy cores make it several times what it is on idle ones
_STOPPING_S: Final = 20.0
# Debian's Python and programs, whatever the caller's PATH has first.
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


class Programs:
    """The programs of one cloud, each in a process group of its own, logging to a file of its name."""

    def __init__(self, logs: Path, home: Path) -> None:
        self._logs = logs
        self._environment = {"PATH": _PATH, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        self._commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], **environment: str) -> None:
        """Start a program under ``name``."""
        self._commands[name] = command, environment
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._environment, **environment},
                start_new_session=True,
            )

    def start_again(self, name: str) -> None:
        """Start a program that has ended as it was started before."""
        assert self._running[name].poll() is not None, f"{name} still runs"
        command, environment = self._commands[name]
        self.start(name, command, **environment)

    def run(self, name: str, command: Sequence[str], **environment: str) -> None:
        """Run a program to its end, which must be a good one."""
        self.start(name, command, **environment)
        try:
            code = self._running[name].wait(PATIENCE_S)
        finally:
            self.stop(name, signal.SIGKILL)
        assert code == 0, f"{name} ended with {code}: {self.said(name)}"
        del self._running[name]

    def stop(self, name: str, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End the program and all that it started. May be repeated."""
        process = self._running[name]
        for each in (with_signal, signal.SIGKILL):
            # The group outlives its first process where that died and its children did not.
            try:
                os.killpg(process.pid, each)
            except ProcessLookupError:
                break
            try:
                process.wait(_STOPPING_S)
            except subprocess.TimeoutExpired:
                continue
        process.wait()

    def stop_all(self, last: Sequence[str]) -> None:
        """End every program: those of ``last`` after the others, in that order."""
        names = [name for name in self._running if name not in last]
        for name in names:
            # All at once; then wait for each.
            if self._running[name].poll() is None:
                os.killpg(self._running[name].pid, signal.SIGTERM)
        for name in [*names, *(name for name in last if name in self._running)]:
            self.stop(name)

    def dead(self) -> list[str]:
        """Return the programs that have ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def said(self, name: str) -> str:
        """Return the end of what the program has logged."""
        return (self._logs / f"{name}.log").read_text(errors="replace")[-3000:]

    def wait_listening(self, name: str, port: int) -> None:
        """Wait until the program accepts connections."""

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        self.wait(listens, name, f"{name} listens on {port}")

    def wait(self, holds: Callable[[], bool], name: str, what: str) -> None:
        """Wait until ``holds()``; fail with what ``name`` said when that never comes, or the program has ended."""
        ends_s = time.monotonic() + PATIENCE_S
        while not holds():
            alive = name not in self._running or self._running[name].poll() is None
            assert alive, f"{name} has ended: {self.said(name)}"
            assert time.monotonic() < ends_s, f"never came true: {what}: {self.said(name)}"
            select.select([], [], [], 0.2)
