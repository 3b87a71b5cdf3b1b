"""Run another program as if it had been typed in our place: same terminal, same signals, its own exit status."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from gateway.cli.exits import CliError

_KILLED = 128  # what shells add to a signal's number
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return the exit status of ``command``, run with exactly ``environment``; 128 and the signal's number if killed.

    Signals sent to this process meanwhile go on to the command. Raises CliError when it cannot be started.
    """
    waiting = _Relay()
    # Before the start, so that no signal finds the command running and this process without a handler.
    with waiting.listening():
        try:
            started = subprocess.Popen(list(command), env=dict(environment))  # noqa: S603  # what was asked for
        except FileNotFoundError as error:
            raise CliError(f"there is no program {command[0]!r}", fix="install it, or give its path") from error
        except (PermissionError, OSError) as error:
            raise CliError(f"{command[0]!r} cannot be run: {error.strerror}") from error
        waiting.pass_to(started)
        status = started.wait()
    return status if status >= 0 else _KILLED - status


class _Relay:
    """Passes signals on to a command; those that come before it has started are passed on then."""

    def __init__(self) -> None:
        self._early: list[int] = []
        self._command: subprocess.Popen[bytes] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._arrived) for number in _PASSED_ON}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def pass_to(self, command: "subprocess.Popen[bytes]") -> None:
        self._command = command
        while self._early:
            command.send_signal(self._early.pop(0))

    def _arrived(self, number: int, _frame: object) -> None:
        # Ctrl-C at a terminal reaches the whole foreground group, the command included; twice would be once too often.
        if number in {signal.SIGINT, signal.SIGQUIT} and sys.stdin is not None and sys.stdin.isatty():
            return
        if self._command is None:
            self._early.append(number)
        else:
            self._command.send_signal(number)
