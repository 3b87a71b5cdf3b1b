"""An exported audit log on the disk: what is written verifies, what is not such a file is said to be none."""

import json
from pathlib import Path

import pytest

from catalog.errors import ChainBroken, InvalidValue
from catalog.messages.handshake import public_text
from gateway import audit_file
from tests.catalog.test_chain import KEY, checkpoint, record

PUBLIC = public_text(KEY.public_key())


def export(path: Path, *, proven: int) -> int:
    """Write a log of four records whose end is signed after ``proven``."""
    records, digest = [], ""
    for seq in range(1, 5):
        records.append(record(seq, digest))
        digest = records[-1]["digest"]
    proofs = [checkpoint(seq, records[seq - 1]["digest"]) for seq in (1, 2, 3, 4)]
    end = checkpoint(proven, records[proven - 1]["digest"])
    return audit_file.write(path, public_key=PUBLIC, records=records, checkpoints=proofs, end=end)


def test_what_is_written_verifies(tmp_path: Path) -> None:
    """Records beyond the signed end are left out; each earlier checkpoint stands after its record; mode 0600."""
    file = tmp_path / "log.jsonl"
    assert export(file, proven=3) == 3
    verdict = audit_file.verify(file, PUBLIC, None)
    assert (verdict.records, verdict.checkpoints) == (3, 3)
    assert audit_file.verify(file, None, None) == verdict
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        export(file, proven=3)


def test_a_cut_file_is_found_and_what_is_none_is_refused(tmp_path: Path) -> None:
    """The last line taken away, an older witness that knows more, and a file of another kind."""
    whole, cut, other = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl", tmp_path / "other.jsonl"
    export(whole, proven=4)
    lines = whole.read_text().splitlines(keepends=True)
    cut.write_text("".join(lines[:-1]))
    with pytest.raises(ChainBroken, match="record 4"):
        audit_file.verify(cut, PUBLIC, None)
    cut.write_text("".join(lines[:-2]))
    assert audit_file.verify(cut, PUBLIC, None).records == 3
    with pytest.raises(ChainBroken, match="record 4 was cut off"):
        audit_file.verify(cut, PUBLIC, whole)
    other.write_text(json.dumps({"x": 1}) + "\n")
    for key, witness in ((None, None), (PUBLIC, None), (PUBLIC, other)):
        with pytest.raises(InvalidValue):
            audit_file.verify(other if witness is None else whole, key, witness)
