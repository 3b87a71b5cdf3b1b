"""The chain of the audit log: how a record is encoded and digested, how its end is signed, and what proves both.

Pure; works on plain documents, so that an exported log is verified without a gateway or a database. A record's digest
covers the digest before it and all of its own fields, in one encoding: JSON with sorted names, no blanks, in UTF-8.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from catalog.errors import ChainBroken, InvalidValue

FORMAT: Final = "crossway-audit-1"
FIELDS: Final = ("seq", "at_ms", "actor", "actor_name", "token", "action", "subject", "result", "code", "via", "data")
_RECORD: Final = b"crossway audit record 1\n"
_CHECKPOINT: Final = b"crossway audit checkpoint 1\n"
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verifying found in a sound log: how many records, the digest of the last, and how many signatures."""

    records: int
    digest: str
    checkpoints: int


def digest_of(record: Document, before: str) -> str:
    """Return the hex digest of ``record`` (all of FIELDS), chained to ``before``, the digest of the one before it."""
    fields = {name: record[name] for name in FIELDS}
    return hashlib.sha256(_RECORD + before.encode() + b"\n" + _canonical(fields)).hexdigest()


def signed_part(seq: int, digest: str, at_ms: int) -> bytes:
    """Return the bytes that a checkpoint's signature covers."""
    return _CHECKPOINT + _canonical({"seq": seq, "digest": digest, "at_ms": at_ms})


def public_key(text: str) -> Ed25519PublicKey:
    """Return the key in base64 ``text``. Raises InvalidValue."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidValue("this is no Ed25519 public key", field="key", fix="32 bytes in base64") from error


def is_signed(checkpoint: Document, key: Ed25519PublicKey) -> bool:
    """Return whether ``checkpoint`` bears the signature of ``key``."""
    try:
        part = signed_part(checkpoint["seq"], checkpoint["digest"], checkpoint["at_ms"])
        key.verify(base64.b64decode(checkpoint["signature"], validate=True), part)
    except (InvalidSignature, binascii.Error, KeyError, ValueError, TypeError):
        return False
    return True


def verify(lines: Iterable[str], key: Ed25519PublicKey, *, known: Document | None = None) -> Verdict:
    """Return what a sound log holds. ``known`` is a checkpoint from elsewhere that the log must agree with.

    ``lines`` are those of an exported log: {"record": …} in their order from the first on, {"checkpoint": …} after the
    record that each is about, the last line a checkpoint. Raises ChainBroken that names the first bad record: altered,
    removed, in another place, cut off at the end, or written anew by somebody who does not have the key.
    """
    chain = _Chain(key)
    for name, document in _documents(lines):
        if name == "record":
            chain.add(document)
        else:
            chain.check(document)
    return chain.end(known)


class _Chain:
    """The log as far as it was read."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self._seq = 0
        self._digest = ""
        self._proven = 0
        self._checkpoints = 0
        self._digests: list[str] = [""]

    def add(self, record: Document) -> None:
        expected = self._seq + 1
        seq = record.get("seq")
        if seq != expected:
            why = "was removed" if isinstance(seq, int) and seq > expected else "is in another place"
            raise ChainBroken(expected, f"record {expected} {why}: record {seq} stands there")
        try:
            digest = digest_of(record, self._digest)
        except (KeyError, TypeError, ValueError) as error:
            raise ChainBroken(expected, f"record {expected} was altered: a field is missing or odd") from error
        if digest != record.get("digest"):
            raise ChainBroken(expected, f"record {expected} was altered, or the one before it and its digest")
        self._seq, self._digest = expected, digest
        self._digests.append(digest)

    def check(self, checkpoint: Document) -> None:
        seq = checkpoint.get("seq")
        if not isinstance(seq, int) or not is_signed(checkpoint, self._key):
            raise ChainBroken(self._proven + 1, f"the checkpoint of record {seq} is not signed by this gateway")
        if seq > self._seq:
            missing = self._seq + 1
            raise ChainBroken(missing, f"record {missing} was cut off: a checkpoint says that there were {seq}")
        if self._digests[seq] != checkpoint["digest"]:
            first = self._proven + 1
            raise ChainBroken(first, f"records {first} to {seq} were written anew: the checkpoint knows others")
        self._proven = max(self._proven, seq)
        self._checkpoints += 1

    def end(self, known: Document | None) -> Verdict:
        if known is not None:
            self.check(known)
        if self._proven < self._seq:
            first = self._proven + 1
            raise ChainBroken(first, f"nothing proves record {first} and later ones: the last checkpoint is missing")
        return Verdict(records=self._seq, digest=self._digest, checkpoints=self._checkpoints)


def _documents(lines: Iterable[str]) -> Iterator[tuple[str, Document]]:
    for number, line in enumerate(lines, 1):
        try:
            document = json.loads(line)
        except ValueError as error:
            raise InvalidValue(
                f"line {number} is not JSON", field="file", fix="a file of: crossway audit export"
            ) from error
        if number == 1 and isinstance(document, dict) and document.get("format") == FORMAT:
            continue
        [(name, held)] = document.items() if isinstance(document, dict) and len(document) == 1 else [("", None)]
        if name not in {"record", "checkpoint"} or not isinstance(held, dict):
            raise InvalidValue(
                f"line {number} is no line of an exported audit log",
                field="file",
                fix="a file of: crossway audit export",
            )
        yield name, held


def _canonical(document: Mapping[str, object]) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")
