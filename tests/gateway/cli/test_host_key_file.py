"""A host key is read from what ssh-keygen and ssh-keyscan write, and from nothing else."""

from pathlib import Path

import asyncssh
import pytest

from gateway.cli.exits import CliError
from gateway.cli.host_key_file import host_key_in

KEY = asyncssh.generate_private_key("ssh-ed25519")
LINE = KEY.export_public_key().decode().strip()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LINE, id="as ssh-keygen writes it"),
        pytest.param(f"[192.0.2.1]:22 {LINE}", id="with its host"),
        pytest.param(f"# 192.0.2.1:22 SSH-2.0\n192.0.2.1 {LINE}\n\n", id="as ssh-keyscan writes it"),
    ],
)
def test_one_key_is_read_with_or_without_its_host(tmp_path: Path, text: str) -> None:
    """The host that ssh-keyscan puts first is left out, as are comments."""
    (tmp_path / "key").write_text(text)
    assert host_key_in(tmp_path / "key") == LINE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(KEY.export_private_key().decode(), "is a private key", id="a private key"),
        pytest.param("# README\n\nSome text about keys.\n", "holds 0 host keys", id="no key"),
        pytest.param(f"{LINE}\n{LINE}\n", "holds 2 host keys", id="two keys"),
    ],
)
def test_anything_else_is_named(tmp_path: Path, text: str, told: str) -> None:
    """The error says what the file is, not how many lines it has."""
    (tmp_path / "key").write_text(text)
    with pytest.raises(CliError, match=told):
        host_key_in(tmp_path / "key")
