"""Credentials at rest: an AES-256-GCM envelope per value, bound to its owner and name.

Every value is encrypted under a fresh data key, and the data key under a key-encryption key that lives outside the
database. Both layers authenticate ``["cred", 1, key id, owner, name]``: a row pasted to another owner, a mixture of
two rows or a flipped bit cannot be opened. Changing the key-encryption key rewraps data keys, never values.

What must only be recognised again is kept as a keyed fingerprint: a plain digest of a short secret can be guessed.
"""

import base64
import binascii
import hmac
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from catalog.errors import SealBroken

if TYPE_CHECKING:  # catalog.ports needs Secret at run time, so the import back can only be for the type
    from catalog.ports import KeyProvider

_NONCE = 12
_WRAPPED = _NONCE + 32 + 16  # nonce, data key, tag
_KEY_BITS = 256
# A key of its own per use: what is learnt of fingerprints says nothing about the key that wraps data keys.
_FINGERPRINTS = b"crossway fingerprint 1"


class Secret:
    """A string that does not show itself: repr, str, format and pickle never give it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret. Call it only where it is handed to the library that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedValue:
    """What may be stored: which key-encryption key it needs, and base64 of wrapped data key and ciphertext."""

    key_id: str
    sealed: str


class Sealer:
    """Seals and opens secrets with the keys of a KeyProvider. Thread-safe; keeps no secret itself."""

    def __init__(self, keys: "KeyProvider") -> None:
        """Take the keys from ``keys``, which is asked anew each time: a rotation needs no restart here."""
        self._keys = keys

    def seal(self, secret: Secret, *, owner: str, name: str) -> SealedValue:
        """Return ``secret`` sealed under the current key; only the same ``owner`` and ``name`` open it again."""
        key_id, key = self._keys.current()
        data_key = AESGCM.generate_key(_KEY_BITS)
        bound = _bound(key_id, owner, name)
        wrapped = _encrypt(key, data_key, b"key:" + bound)
        body = _encrypt(data_key, secret.reveal().encode(), b"value:" + _bound("", owner, name))
        return SealedValue(key_id=key_id, sealed=base64.b64encode(wrapped + body).decode())

    def open(self, value: SealedValue, *, owner: str, name: str) -> Secret:
        """Return the secret. Raises SealBroken for an unknown key, another owner or name, or altered bytes."""
        data_key, body = self._unwrap(value, owner, name)
        return Secret(_decrypt(data_key, body, b"value:" + _bound("", owner, name)).decode())

    def reseal(self, value: SealedValue, *, owner: str, name: str) -> SealedValue:
        """Return ``value`` under the current key, its own ciphertext untouched. Raises SealBroken."""
        data_key, body = self._unwrap(value, owner, name)
        key_id, key = self._keys.current()
        wrapped = _encrypt(key, data_key, b"key:" + _bound(key_id, owner, name))
        return SealedValue(key_id=key_id, sealed=base64.b64encode(wrapped + body).decode())

    def is_current(self, value: SealedValue) -> bool:
        """Return whether ``value`` needs no ``reseal``."""
        return value.key_id == self._keys.current()[0]

    def fingerprint(self, data: bytes) -> str:
        """Return a text by which ``data`` is recognised, worthless to guess with for whoever lacks the current key."""
        key_id, key = self._keys.current()
        return f"{key_id}:{_fingerprint(key, data)}"

    def is_fingerprint_of(self, fingerprint: str, data: bytes) -> bool:
        """Return whether ``fingerprint`` was made of ``data``, under whichever key; False when that key is gone."""
        key_id, _, kept = fingerprint.rpartition(":")
        try:
            key = self._keys.by_id(key_id)
        except SealBroken:
            return False
        return hmac.compare_digest(kept.encode(), _fingerprint(key, data).encode())

    def _unwrap(self, value: SealedValue, owner: str, name: str) -> tuple[bytes, bytes]:
        try:
            raw = base64.b64decode(value.sealed, validate=True)
        except (binascii.Error, ValueError):
            raise _broken() from None
        key = self._keys.by_id(value.key_id)
        return _decrypt(key, raw[:_WRAPPED], b"key:" + _bound(value.key_id, owner, name)), raw[_WRAPPED:]


def _bound(key_id: str, owner: str, name: str) -> bytes:
    return json.dumps(["cred", 1, key_id, owner, name], separators=(",", ":")).encode()


def _fingerprint(key: bytes, data: bytes) -> str:
    subkey = HKDF(hashes.SHA256(), length=32, salt=None, info=_FINGERPRINTS).derive(key)
    return hmac.digest(subkey, data, "sha256").hex()


def _encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypt(key: bytes, raw: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], bound)
    except (InvalidTag, ValueError):
        # "from None": neither the bytes nor the library's view of them is anybody's business.
        raise _broken() from None


def _broken() -> SealBroken:
    return SealBroken("a sealed credential cannot be opened", fix="restore the key file, or give the secret again")
