"""How the tests type commands."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.app import app
from tests.support.served_api import ServedApi, served_api

Crossway = Callable[..., Result]


@pytest.fixture
def crossway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crossway:
    """Return a function that runs ``crossway WORDS…`` in this process, with no context and no environment of ours."""
    for name in [name for name in os.environ if name.startswith("CROSSWAY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CROSSWAY_CONTEXTS", str(tmp_path / "contexts.toml"))
    # Wide enough that no help line is broken in the middle of a word.
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, stdin: str | None = None, **environment: str) -> Result:
        return CliRunner().invoke(app, list(words), input=stdin, env=environment, catch_exceptions=False)

    return run


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Types commands at one API, as ``role`` unless told otherwise; called, it returns the data that was printed."""

    crossway: Crossway
    api: ServedApi
    role: str = "admin"
    noun: tuple[str, ...] = ()  # typed before every command's words

    def by(self, role: str, *noun: str) -> "Run":
        """Return the same for another role, and for commands of one noun."""
        return replace(self, role=role, noun=noun)

    def result(self, *words: str, role: str | None = None, output: str = "table", stdin: str | None = None) -> Result:
        """Run a command and return how it ended, whatever it ended with."""
        token = self.api.tokens[role or self.role]
        environment = {"CROSSWAY_SERVER": self.api.server, "CROSSWAY_TOKEN": token, "CROSSWAY_OUTPUT": output}
        return self.crossway(*self.noun, *words, stdin=stdin, **environment)

    def text(self, *words: str, code: int = 0, role: str | None = None, output: str = "table") -> str:
        """Run a command that must end with ``code``; return what it printed for programs, then what for people."""
        result = self.result(*words, role=role, output=output)
        assert result.exit_code == code, result.stderr
        return result.stdout + result.stderr

    def __call__(self, *words: str, code: int = 0, role: str | None = None, stdin: str | None = None) -> Any:
        """Run a command that must end with ``code``; return its JSON, or where it printed none what it said."""
        result = self.result(*words, role=role, output="json", stdin=stdin)
        assert result.exit_code == code, result.stderr
        return json.loads(result.stdout) if result.stdout else result.stderr


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """Serve a freshly seeded API."""
    with served_api(tmp_path) as served:
        yield served


@pytest.fixture
def run(api: ServedApi, crossway: Crossway) -> Run:
    """Return what types commands at that API."""
    return Run(crossway=crossway, api=api)
