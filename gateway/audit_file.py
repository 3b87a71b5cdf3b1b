"""An exported audit log on the disk: written line by line, and verified without a gateway.

The first line names the format and the gateway's public key; then come {"record": …} and {"checkpoint": …} lines in
the order of ``catalog.chain.verify``.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from catalog import chain
from catalog.chain import Verdict
from catalog.errors import ChainBroken, InvalidValue

__all__ = ["ChainBroken", "InvalidValue", "Verdict", "verify", "write"]


def write(
    path: Path,
    *,
    public_key: str,
    records: Iterable[Mapping[str, Any]],
    checkpoints: Iterable[Mapping[str, Any]],
    end: Mapping[str, Any],
) -> int:
    """Write the log up to the checkpoint ``end`` to the new file ``path`` (mode 0600), and return how many records.

    Records that follow ``end`` are left out: nothing proves them yet. Raises FileExistsError.
    """
    proofs = [each for each in checkpoints if each["seq"] < end["seq"]]
    written = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_line({"format": chain.FORMAT, "public_key": public_key}))
        for record in records:
            if record["seq"] > end["seq"]:
                break
            while proofs and proofs[0]["seq"] < record["seq"]:
                file.write(_line({"checkpoint": proofs.pop(0)}))
            file.write(_line({"record": record}))
            written += 1
        for proof in (*proofs, end):
            file.write(_line({"checkpoint": proof}))
    return written


def verify(path: Path, key_text: str | None, witness: Path | None) -> Verdict:
    """Return what the sound log in ``path`` holds.

    ``key_text`` is the gateway's public key; None believes the one that the file itself names. ``witness`` is an older
    export that the log must go on from. Raises ChainBroken naming the first bad record, InvalidValue for what is no
    exported log or key, OSError.
    """
    key = chain.public_key(key_text or _named_key(path))
    known = None if witness is None else _last_checkpoint(witness)
    with path.open(encoding="utf-8") as file:
        return chain.verify(file, key, known=known)


def _named_key(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        first = _parsed(file.readline())
    if first.get("format") != chain.FORMAT:
        raise InvalidValue("this is no exported audit log", field="file", fix="a file of: crossway audit export")
    return str(first.get("public_key", ""))


def _last_checkpoint(path: Path) -> Mapping[str, Any]:
    with path.open(encoding="utf-8") as file:
        found = [document["checkpoint"] for line in file if "checkpoint" in (document := _parsed(line))]
    if not found:
        raise InvalidValue("the witness holds no checkpoint", field="witness", fix="a file of: crossway audit export")
    return found[-1]  # type: ignore[no-any-return]  # as it was parsed; the chain looks at every field


def _parsed(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {}


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
