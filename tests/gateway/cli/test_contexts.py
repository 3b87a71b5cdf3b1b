"""gateway.cli.contexts: which gateways a user knows, kept from everybody else."""

import stat
from pathlib import Path

import pytest

from gateway.cli.contexts import Context, Contexts, checked_name, contexts_path, load, save
from gateway.cli.exits import CliError

BOTH = Contexts(
    known={
        "demo": Context(server="http://127.0.0.1:8780", token="cw_admin_x"),
        "b.2": Context(server='unix:/run/\u4e0a "q" \\ api.sock'),
    },
    current="demo",
)


def test_contexts_read_back_as_written(tmp_path: Path) -> None:
    """Names, servers with quotes and backslashes, tokens and the one in use survive the file."""
    path = tmp_path / "new" / "contexts.toml"
    save(path, BOTH)

    assert load(path) == BOTH
    assert load(path).in_use == BOTH.known["demo"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["contexts.toml"]


def test_no_file_is_no_contexts(tmp_path: Path) -> None:
    """A newcomer has no context, and none is in use."""
    assert load(tmp_path / "none.toml") == Contexts(known={})
    assert load(tmp_path / "none.toml").in_use is None


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Its tokens may be known already: the user is told, with the command that mends it."""
    path = tmp_path / "contexts.toml"
    save(path, BOTH)
    path.chmod(mode)
    with pytest.raises(CliError, match="others may read") as caught:
        load(path)

    assert caught.value.fix == f"chmod 600 {path}"


@pytest.mark.parametrize("text", ["current = ", "contexts = 3", "[contexts.demo]\ntoken = 'x'", "contexts = ['x']"])
def test_a_broken_file_is_told(tmp_path: Path, text: str) -> None:
    """A file that is no contexts file is an error that names it."""
    path = tmp_path / "contexts.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(CliError, match=str(path)):
        load(path)


def test_tokens_do_not_show() -> None:
    """A context's repr, as a traceback would print it, holds no token."""
    assert "cw_admin" not in repr(BOTH)


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    """The fix lists what could have been meant."""
    with pytest.raises(CliError) as caught:
        BOTH.named("prod")

    assert (caught.value.code, caught.value.fix) == (3, "known are: b.2, demo")
    with pytest.raises(CliError):
        checked_name("-x y")


def test_where_contexts_live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CROSSWAY_CONTEXTS goes before XDG_CONFIG_HOME, and that before ~/.config."""
    monkeypatch.setenv("CROSSWAY_CONTEXTS", "/a/b.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert contexts_path() == Path("/a/b.toml")

    monkeypatch.delenv("CROSSWAY_CONTEXTS")
    assert contexts_path() == Path("/xdg/crossway/contexts.toml")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert contexts_path() == tmp_path / ".config/crossway/contexts.toml"
