"""How the tests type commands."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.app import app

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
