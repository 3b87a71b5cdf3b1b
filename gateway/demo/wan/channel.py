"""Start a helper process and talk to it: JSON requests and replies over a socket pair, descriptors beside them.

The helper sees end-of-file when its owner goes away, however that happens: that is how everything here
dies with its owner, SIGKILL included. Standard library only: both ends use it.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.demo.wan.link import WanError

_ROOT = str(Path(__file__).resolve().parents[3])
_LARGEST_MESSAGE_BYTES = 65536
_MOST_DESCRIPTORS = 4
_ANSWER_TIMEOUT_S = 15.0
_END_TIMEOUT_S = 10.0

Handler = Callable[[Mapping[str, Any], Sequence[int]], tuple[Any, Sequence[int]]]


def python_argv(module: str, *arguments: str) -> list[str]:
    """Return the command that calls ``main`` of one of our modules in a bare Python, wherever it is started."""
    # No site packages and no environment: a helper starts in 20 ms and is not led astray by PYTHONPATH.
    start = f"import sys; sys.path.insert(0, {_ROOT!r}); from {module} import main; main()"
    return [sys.executable, "-I", "-S", "-c", start, *arguments]


class Helper:
    """The owner's end: a process of ours that answers requests. Thread-safe."""

    def __init__(self, module: str, *arguments: str) -> None:
        """Start ``main`` of ``module``; its first argument is the descriptor of its end of the channel."""
        self._name = module.rpartition(".")[2]
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_ANSWER_TIMEOUT_S)
        with theirs:
            # A session of its own: Ctrl-C at the terminal must reach the owner only, which then closes in order.
            self._process = subprocess.Popen(
                python_argv(module, str(theirs.fileno()), *arguments),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the helper process."""
        return self._process.pid

    def ask(self, op: str, descriptors: Sequence[int] = (), **fields: object) -> Any:
        """Have ``op`` done and return its value. Raises WanError with the helper's reason, or when it is gone."""
        value, received = self._exchange(op, descriptors, fields)
        for fd in received:
            os.close(fd)
        return value

    def ask_descriptors(self, op: str, **fields: object) -> list[int]:
        """Have ``op`` done and return the descriptors it sends, now the caller's. Raises WanError as ``ask``."""
        return self._exchange(op, (), fields)[1]

    def close(self) -> None:
        """Let the helper see end-of-file and wait until it has cleaned up and ended. May be called again."""
        self._control.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _exchange(self, op: str, descriptors: Sequence[int], fields: Mapping[str, object]) -> tuple[Any, list[int]]:
        request = json.dumps({"op": op, **fields}).encode()
        with self._lock:
            try:
                socket.send_fds(self._control, [request], list(descriptors))
                data, received, _, _ = socket.recv_fds(self._control, _LARGEST_MESSAGE_BYTES, _MOST_DESCRIPTORS)
            except OSError as error:
                # After a missed answer the two ends would talk past each other, so the channel is given up.
                self._control.close()
                raise WanError(f"the {self._name} process does not answer: {error}") from error
        if not data:
            raise WanError(f"the {self._name} process has ended")
        reply = json.loads(data)
        if "error" in reply:
            raise WanError(str(reply["error"]))
        return reply["value"], received


def answer(control: socket.socket, handle: Handler) -> bool:
    """Take one request, reply with the value and descriptors of ``handle``; return False at end-of-file.

    An OSError or WanError of ``handle`` becomes the reply. Received descriptors belong to ``handle``.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(control, _LARGEST_MESSAGE_BYTES, _MOST_DESCRIPTORS)
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        return False
    if not data:
        return False
    reply: dict[str, Any]
    sent: Sequence[int] = ()
    try:
        value, sent = handle(json.loads(data), descriptors)
        reply = {"value": value}
    except (OSError, WanError) as error:
        reply = {"error": str(error)}
    with contextlib.suppress(OSError):  # an owner that went away meanwhile is noticed at the next read
        socket.send_fds(control, [json.dumps(reply).encode()], list(sent))
    return True
