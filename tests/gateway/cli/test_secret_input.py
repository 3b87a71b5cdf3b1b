"""gateway.cli.secret_input: secrets come from files, stdin or a prompt, and go to files nobody else reads."""

import io
import stat
import sys
from pathlib import Path

import pytest

from gateway.cli.exits import CliError
from gateway.cli.secret_input import LIMIT_BYTES, checked_token, kept_secret, read_secret, read_token


def test_a_file_and_stdin_hold_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text comes without the newline that editors add."""
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin\n")))

    assert read_secret("secret", str(path), may_ask=False) == "s3cret"
    assert read_secret("secret", "-", may_ask=False) == "from stdin"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b" \n", "is empty", id="empty"),
        pytest.param(b"\xff\xfe", "is not text", id="binary"),
        pytest.param(b"x" * (LIMIT_BYTES + 1), "is longer than", id="endless"),
    ],
)
def test_what_cannot_be_a_secret_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    """The error says what is wrong with the file, and nothing of what is in it."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(CliError, match=told):
        read_secret("secret", str(path), may_ask=False)


def test_nobody_is_asked_without_a_terminal(tmp_path: Path) -> None:
    """Without a file, and without somebody to ask, the secret is missing; so is one in a file that is not there."""
    with pytest.raises(CliError, match="the secret is missing"):
        read_secret("secret", None, may_ask=True)
    with pytest.raises(CliError, match="No such file"):
        read_secret("secret", str(tmp_path / "none"), may_ask=False)


@pytest.mark.parametrize("text", ["two words", "line\nbreak", "Bearer\tx", "schlüssel"])
def test_a_token_cannot_smuggle_a_header(tmp_path: Path, text: str) -> None:
    """What has blanks, line breaks or other than ASCII is no token; the error does not repeat it."""
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(CliError) as caught:
        read_token(str(path))

    assert text not in str(caught.value)
    assert checked_token("cw_admin_x", "x") == "cw_admin_x"


def test_a_kept_secret_is_its_owners_alone(tmp_path: Path) -> None:
    """The file is new, mode 0600; a file that exists is never overwritten, and is refused before anything is asked."""
    path = tmp_path / "token"
    with kept_secret(path) as keep:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert keep is not None
        keep("cw_platform_x")

    assert read_token(str(path)) == "cw_platform_x"
    with pytest.raises(CliError, match="cannot create"), kept_secret(path):
        pytest.fail("whatever is issued in here could not be kept")
    assert read_token(str(path)) == "cw_platform_x"


def test_what_was_not_issued_leaves_no_file(tmp_path: Path) -> None:
    """When the gateway said no, the file that was made for its answer is gone again."""
    path = tmp_path / "token"
    with pytest.raises(CliError, match="refused"), kept_secret(path):
        raise CliError("refused")

    assert not path.exists()
