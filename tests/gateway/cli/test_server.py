"""gateway.cli.server: the commands that are servers, run as real processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.cli.conftest import Crossway
from tests.support.platform_links import write_config

START_S = 60


def crossway_process(*words: str) -> list[str]:
    """Return the argument vector of ``crossway WORDS…``."""
    return [sys.executable, "-m", "gateway", *words]


def clean_environment() -> dict[str, str]:
    """Return our environment without anything that Crossway would read."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CROSSWAY")}


def finished(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``crossway WORDS…`` to its end."""
    return subprocess.run(
        crossway_process(*words), capture_output=True, text=True, timeout=START_S, env=clean_environment(), check=False
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a settings file whose state and socket are below ``tmp_path``."""
    path = tmp_path / "crossway.toml"
    path.write_text(f'[gateway]\nstate_dir = "{tmp_path / "state"}"\n[api]\nlisten = "unix:{tmp_path / "api.sock"}"\n')
    return path


def test_serve_runs_until_told_to_stop(config: Path, tmp_path: Path, crossway: Crossway) -> None:
    """The gateway says where it listens, answers commands with the token it made, and ends with 0 on SIGTERM."""
    arguments = crossway_process("serve", "--config", str(config))
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=clean_environment()
    ) as server:
        assert server.stdout is not None
        listening = json.loads(server.stdout.readline())["listening"]
        token = next((tmp_path / "state").glob("*token*"))
        status = crossway("status", "-o", "json", "--server", listening, "--token-file", str(token))
        server.send_signal(signal.SIGTERM)
        assert server.wait(START_S) == 0

    assert status.exit_code == 0, status.stderr
    assert json.loads(status.stdout)["role"] == "admin"
    gone = crossway("status", "--server", listening)
    assert gone.exit_code == 8


def test_migrate_and_check(config: Path) -> None:
    """A database is made and found; settings that are wrong exit 2 and say which."""
    assert finished("migrate", "--config", str(config)).returncode == 0
    checked = finished("check", "--config", str(config))
    assert (checked.returncode, checked.stderr) == (0, "")

    config.write_text("colour = 1\n")
    wrong = finished("check", "--config", str(config))
    assert wrong.returncode == 2
    assert "colour" in wrong.stderr


def test_the_connectors_owner_asks_and_answers(tmp_path: Path) -> None:
    """The owner gets a public key for the enrolment, sees that nothing waits, and cannot answer what nobody asked."""
    config = write_config(tmp_path, '[policy.machine]\ndecision = "ask"\n')
    key = finished("connector", "key", "--config", str(config))
    assert (key.returncode, len(key.stdout.strip())) == (0, 44)

    pending = finished("connector", "pending", "--config", str(config))
    assert (pending.returncode, pending.stdout) == (0, "")

    nobody = finished("connector", "answer", "--config", str(config), "-1", "machine", "grant")
    assert nobody.returncode == 2  # "-1" reads as an option unless it follows "--"
    nobody = finished("connector", "answer", "--config", str(config), "--", "-1", "machine", "grant")
    assert nobody.returncode == 1
    assert "crossway connector:" in nobody.stderr
