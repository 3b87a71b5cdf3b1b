"""A side's Ed25519 signing key in a file of its own (PEM, PKCS #8, mode 0600); touches the file system only.

Used by the connector (the platform's key) and by the gateway alike.
"""

import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from catalog.errors import InvalidValue

_FILE_LIMIT_BYTES = 16 * 1024  # a PEM Ed25519 key has about 120


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in ``path``; a missing file is created with a fresh key, readable by its owner only.

    Two processes that create at once end with the same key. Raises InvalidValue, with the fix, when the file can
    be read by others, belongs to another user, holds no Ed25519 key, or cannot be created.
    """
    try:
        return _load(path)
    except FileNotFoundError:
        _create(path)
    return _load(path)


def load_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in ``path``. Raises InvalidValue as ``load_or_create_key``, and when there is no such file."""
    try:
        return _load(path)
    except FileNotFoundError as error:
        raise InvalidValue(f"there is no {path}", field="key_file", fix="make one: approver-key") from error


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        with path.open("rb") as file:
            refuse_wide_mode(path, os.fstat(file.fileno()))
            pem = file.read(_FILE_LIMIT_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror}", field="key_file") from error
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: the key is encrypted
        raise _not_a_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(path)
    return key


def refuse_wide_mode(path: Path, status: os.stat_result) -> None:
    """Raise InvalidValue, naming ``chmod 600``, when others than its owner may use ``path``, or another owns it."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise InvalidValue(
            f"{path} can be read or written by others (mode {mode:04o})", field=path.name, fix=f"run: chmod 600 {path}"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise InvalidValue(f"{path} belongs to another user (uid {status.st_uid})", field=path.name)


def _not_a_key(path: Path) -> InvalidValue:
    return InvalidValue(
        f"{path} does not hold an unencrypted Ed25519 private key in PEM",
        field="key_file",
        fix="name another file; a missing one is created",
    )


def _create(path: Path) -> None:
    """Write a fresh key beside ``path`` and link it there, so that a reader sees all of it or nothing."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            _link(draft, path)
        finally:
            draft.unlink()
    except OSError as error:
        raise InvalidValue(
            f"{path} cannot be created: {error.strerror}", field="key_file", fix="create its directory, writable for us"
        ) from error


def _link(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return  # another process was first; its key counts
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)  # the name must survive a power loss as the bytes do
    finally:
        os.close(directory)
