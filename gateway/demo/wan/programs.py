"""Programs started in a WAN, so that all can be ended with it."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.demo.wan.ports import Stream

_TERM_PATIENCE_S = 3.0


class Programs:
    """The programs of one WAN, each leading a session of its own."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        argv: Sequence[str],
        *,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start ``argv`` and remember it. Raises OSError when it cannot be started."""
        # A session of its own: Ctrl-C reaches the demo only, which then ends its programs in order.
        process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Ask all to end, kill those that do not within 3 s, children included, and reap them."""
        alive = [process for process in self._started if process.poll() is None]
        for process in alive:
            process.terminate()
        deadline_s = time.monotonic() + _TERM_PATIENCE_S
        for process in alive:
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._started.clear()
