"""Key-encryption keys in a file that only the gateway's user can read: one key a line, the newest last.

A line is ``<id> <base64 of 32 bytes>``. Add a key with ``FileKeys.rotate``; remove an old line only after every
credential was sealed again. Keep a copy apart from the database's backups: either alone is worthless.
"""

import base64
import binascii
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Self

from catalog.errors import InvalidValue, SealBroken

_KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class FileKeys:
    """A KeyProvider over one file, read once; thread-safe."""

    def __init__(self, path: Path) -> None:
        """Read the keys. Raises InvalidValue when the file is missing, readable by others or not as it should be."""
        self._path = path
        self._keys = _read(path)

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Return the keys at ``path``, after making a file with one fresh key when there is none."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, {"k1": secrets.token_bytes(_KEY_BYTES)}, replace=False)
        return cls(path)

    def current(self) -> tuple[str, bytes]:
        """Return the id and the bytes of the newest key."""
        return next(reversed(self._keys.items()))

    def by_id(self, key_id: str) -> bytes:
        """Return the bytes of ``key_id``. Raises SealBroken when the file has no such key."""
        try:
            return self._keys[key_id]
        except KeyError:
            raise SealBroken(
                "the key that a credential was sealed with is not in the key file",
                field="key_id",
                fix=f"put the key '{key_id}' back into the key file",
            ) from None

    def rotate(self) -> str:
        """Add a fresh key, durable on return, and return its id: new seals use it, old ones still open."""
        key_id = f"k{len(self._keys) + 1}"
        while key_id in self._keys:
            key_id += "a"
        keys = {**self._keys, key_id: secrets.token_bytes(_KEY_BYTES)}
        _write(self._path, keys, replace=True)
        self._keys = keys
        return key_id

    def __repr__(self) -> str:
        return f"FileKeys({str(self._path)!r}, {len(self._keys)} keys)"


def _read(path: Path) -> dict[str, bytes]:
    try:
        # O_NOFOLLOW and fstat: what is checked is what is read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidValue("the key file cannot be opened", field="keys.path", detail=str(error)) from error
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
            raise InvalidValue(
                "the key file must be a plain file that only the gateway's own user can read",
                field="keys.path",
                fix=f"chown and chmod 600 {path}",
            )
        lines = file.read().splitlines()
    keys = dict(_parse(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#"))
    if not keys or len(keys) < sum(bool(line) and not line.startswith("#") for line in lines):
        raise InvalidValue("the key file holds no key, or one id twice", field="keys.path")
    return keys


def _parse(number: int, line: str) -> tuple[str, bytes]:
    key_id, _, encoded = line.partition(" ")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _ID.fullmatch(key_id) or len(key) != _KEY_BYTES:
        # The line itself stays out of the text: it may be a key with a typing error.
        raise InvalidValue(f"line {number} of the key file is not '<id> <base64 of 32 bytes>'", field="keys.path")
    return key_id, key


def _write(path: Path, keys: dict[str, bytes], *, replace: bool) -> None:
    """Write all keys, durable on return: first beside ``path``, so that a crash leaves the old file or the new one."""
    text = "".join(f"{key_id} {base64.b64encode(key).decode()}\n" for key_id, key in keys.items())
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if replace:
        beside.replace(path)
    else:
        # Unlike a rename, a link never replaces a key file that another process made meanwhile.
        os.link(beside, path)
        beside.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
