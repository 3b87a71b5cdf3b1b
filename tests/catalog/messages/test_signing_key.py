"""Signing keys in files: created private, loaded unchanged, refused when others could read them."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from catalog.errors import InvalidValue
from catalog.messages.signing_key import load_or_create_key


def test_a_missing_key_is_created_once_and_private(tmp_path: Path) -> None:
    """The second load gives the same key; the file is 0600 and alone in its directory."""
    path = tmp_path / "platform.key"
    first = load_or_create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_key(path).private_bytes_raw() == first.private_bytes_raw()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or others is refused, with the command that mends it."""
    path = tmp_path / "platform.key"
    load_or_create_key(path)
    path.chmod(mode)
    with pytest.raises(InvalidValue, match="can be read or written by others") as caught:
        load_or_create_key(path)
    assert caught.value.fix == f"run: chmod 600 {path}"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            id="another kind of key",
        ),
        pytest.param(
            Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"p")
            ),
            id="encrypted",
        ),
    ],
)
def test_a_file_without_a_usable_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    """A broken file is never replaced: a new key would silently be another identity."""
    path = tmp_path / "platform.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InvalidValue, match="does not hold an unencrypted Ed25519"):
        load_or_create_key(path)
    assert path.read_bytes() == content


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The error names the file and tells to create its directory."""
    with pytest.raises(InvalidValue, match=r"absent/platform\.key cannot be created") as caught:
        load_or_create_key(tmp_path / "absent" / "platform.key")
    assert "directory" in str(caught.value.fix)


def test_processes_that_create_at_once_get_the_same_key(tmp_path: Path) -> None:
    """Four processes race for one missing file; all end with the key that is in it."""
    path = tmp_path / "platform.key"
    program = (
        "import sys, pathlib; from catalog.messages.signing_key import load_or_create_key as load;"
        "sys.stdin.readline(); print(load(pathlib.Path(sys.argv[1])).private_bytes_raw().hex())"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    keys = {racer.communicate()[0].strip() for racer in racers}
    assert keys == {load_or_create_key(path).private_bytes_raw().hex()}
