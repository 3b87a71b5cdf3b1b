"""A command run in our place: its environment, its exit status, and the signals that are passed on to it."""

import signal
import subprocess
import sys

import pytest

from gateway.cli import child
from gateway.cli.exits import CliError

RUNNER = "import os, sys\nfrom gateway.cli import child\nsys.exit(child.run(sys.argv[1:], os.environ))"


@pytest.mark.parametrize(
    ("program", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
)
def test_the_command_s_exit_status_is_ours(program: str, status: int) -> None:
    """Also that of a command that a signal ended: 128 and the signal's number, as shells have it."""
    assert child.run(["/bin/sh", "-c", program], {}) == status


def test_the_command_gets_exactly_its_environment() -> None:
    """Nothing of this process's own gets through (LC_CTYPE is Python's own addition)."""
    told = "import os, sys; os.environ.pop('LC_CTYPE', None); sys.exit(dict(os.environ) != {'A': '1'})"
    assert child.run([sys.executable, "-c", told], {"A": "1"}) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_goes_on_to_the_command(number: signal.Signals) -> None:
    """The command traps it and ends as it likes; its status comes back, and nobody leaves it behind."""
    trap = f"import os, signal; signal.signal({int(number)}, lambda *_: os._exit(40)); print('up', flush=True)"
    started = subprocess.Popen(
        [sys.executable, "-c", RUNNER, sys.executable, "-c", f"{trap}; signal.pause()"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"
    started.send_signal(number)
    assert started.wait(timeout=30) == 40
    started.stdout.close()


def test_signals_are_our_own_again_afterwards() -> None:
    """The handlers of before are back, also when the command could not be started."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(CliError, match="there is no program"):
        child.run(["/no/such/program"], {})
    assert signal.getsignal(signal.SIGINT) is before


def test_what_cannot_be_run_says_so() -> None:
    """A directory is no program."""
    with pytest.raises(CliError, match="cannot be run"):
        child.run(["/tmp"], {})
