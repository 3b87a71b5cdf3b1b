"""The chain of the audit log: whatever is done to an exported log, the first bad record is named."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from catalog import chain
from catalog.errors import ChainBroken, InvalidValue

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
Log = list[dict[str, Any]]


def record(seq: int, before: str, **changes: Any) -> dict[str, Any]:
    """Return a record with its right digest."""
    fields = {
        "seq": seq, "at_ms": 1000 * seq, "actor": "admin", "actor_name": "root", "token": "token_1",
        "action": "create_site", "subject": f"site_{seq}", "result": "done", "code": "", "via": {},
        "data": {"fields": "name"},
    } | changes  # fmt: skip
    return {**fields, "digest": chain.digest_of(fields, before)}


def checkpoint(seq: int, digest: str, key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    """Return a checkpoint signed with ``key``."""
    signature = base64.b64encode(key.sign(chain.signed_part(seq, digest, 7))).decode()
    return {"seq": seq, "digest": digest, "at_ms": 7, "signature": signature}


def sound(count: int = 6, *, signed: tuple[int, ...] = (3, 6), **changes: Any) -> Log:
    """Return the lines of a log, with checkpoints after the records in ``signed``; ``changes`` are record 5's."""
    log: Log = []
    digest = ""
    for seq in range(1, count + 1):
        log.append({"record": record(seq, digest, **(changes if seq == 5 else {}))})
        digest = log[-1]["record"]["digest"]
        if seq in signed:
            log.append({"checkpoint": checkpoint(seq, digest)})
    return log


def verified(log: Log, **more: Any) -> chain.Verdict:
    """Verify the log as a file's lines."""
    return chain.verify([json.dumps(line) for line in log], KEY.public_key(), **more)


def at(log: Log, seq: int) -> int:
    """Return the index of the record's line."""
    return next(index for index, line in enumerate(log) if line.get("record", {}).get("seq") == seq)


def test_a_sound_log_is_sound() -> None:
    """Six records with checkpoints at 3 and 6 are counted, and the last digest is told."""
    log = sound()
    verdict = verified(log)
    assert (verdict.records, verdict.checkpoints, verdict.digest) == (6, 2, log[-2]["record"]["digest"])
    assert verified([]).records == 0


@pytest.mark.parametrize("field", chain.FIELDS)
def test_no_field_of_a_record_can_be_altered(field: str) -> None:
    """Whichever field of record 4 is changed, record 4 (for its number, the place where 4 should stand) is named."""
    log = sound()
    held = log[at(log, 4)]["record"]
    held[field] = {"x": "y"} if field in {"via", "data"} else 99 if field in {"seq", "at_ms"} else "other"
    with pytest.raises(ChainBroken) as broken:
        verified(log)
    assert broken.value.seq == 4


def swap(log: Log) -> None:
    """Exchange records 4 and 5."""
    a, b = at(log, 4), at(log, 5)
    log[a], log[b] = log[b], log[a]


def swap_contents(log: Log) -> None:
    """Exchange what 4 and 5 say and keep their numbers."""
    a, b = log[at(log, 4)]["record"], log[at(log, 5)]["record"]
    a["subject"], b["subject"] = b["subject"], a["subject"]


def remove(log: Log) -> None:
    """Take 4 out."""
    del log[at(log, 4)]


def cut(log: Log) -> None:
    """Take 4 and all later records away, and leave the checkpoints."""
    log[:] = [line for line in log if line.get("record", {}).get("seq", 0) < 4]


def cut_all(log: Log) -> None:
    """Take the last checkpoint away too, but leave 4: nothing proves it."""
    del log[at(log, 5) :]


def rewrite(log: Log) -> None:
    """Write everything from 4 on anew, with right digests, as who has the database but not the key could."""
    digest = log[at(log, 3)]["record"]["digest"]
    for seq in (4, 5, 6):
        held = record(seq, digest, actor="tenant:nobody")
        log[at(log, seq)]["record"] = held
        digest = held["digest"]


def forge(log: Log) -> None:
    """Write 4 and later anew and sign that with another key."""
    rewrite(log)
    digest = log[at(log, 6)]["record"]["digest"]
    log[-1] = {"checkpoint": checkpoint(6, digest, Ed25519PrivateKey.generate())}


@pytest.mark.parametrize("tamper", [swap, swap_contents, remove, cut, cut_all, rewrite, forge])
def test_whatever_is_done_to_it_the_first_bad_record_is_named(tamper: Callable[[Log], None]) -> None:
    """Moved, exchanged, removed, cut off, written anew, signed by somebody else: it is 4 each time."""
    log = sound()
    tamper(log)
    with pytest.raises(ChainBroken) as broken:
        verified(log)
    assert broken.value.seq == 4, str(broken.value)


def test_an_altered_record_with_a_right_digest_of_its_own_does_not_fit_the_next() -> None:
    """Whoever alters record 4 and computes its digest anew is found at 5, which was chained to what 4 was."""
    log = sound()
    log[at(log, 4)]["record"] = record(4, log[at(log, 3)]["record"]["digest"], actor="tenant:nobody")
    with pytest.raises(ChainBroken, match="record 5 was altered, or the one before it"):
        verified(log)


def test_an_older_checkpoint_from_elsewhere_catches_what_the_log_forgot() -> None:
    """A log cut back to record 3, checkpoints included, is sound by itself, but not beside a witness of record 6."""
    whole = sound()
    short = whole[:4]
    assert verified(short).records == 3
    with pytest.raises(ChainBroken, match="record 4 was cut off"):
        verified(short, known=whole[-1]["checkpoint"])
    assert verified(whole, known=whole[3]["checkpoint"]).records == 6


@pytest.mark.parametrize("line", ["", "{", "[]", '{"record": 1}', '{"other": {}}', '{"record": {}, "checkpoint": {}}'])
def test_what_is_no_exported_log_is_said_to_be_none(line: str) -> None:
    """Rubbish is InvalidValue that names the line, not a broken chain."""
    with pytest.raises(InvalidValue, match="line 1 "):
        chain.verify([line], KEY.public_key())


def test_the_encoding_is_pinned() -> None:
    """A digest computed once stays what it is: a change of encoding would make every exported log unsound."""
    assert record(1, "", subject="Zürich")["digest"] == PINNED
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert chain.is_signed(checkpoint(1, PINNED), chain.public_key(base64.b64encode(raw).decode()))
    for text in ("", "x", base64.b64encode(b"short").decode()):
        with pytest.raises(InvalidValue):
            chain.public_key(text)


PINNED = "ccf9e4a7926f2ccdd74513d0ffd5d2a2225058cb30fa5a03f13fd93b1fef2247"
