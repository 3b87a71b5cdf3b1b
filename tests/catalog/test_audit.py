"""The audit log in the database: appended with the deed or not at all, one chain, signed ends."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import select

from catalog import audit, chain
from catalog.audit import Actor, Deed, Result
from catalog.errors import WrongState
from catalog.model.audit import AuditCheckpoint, AuditRecord
from catalog.store.database import Tx
from tests.support.stores import Store

KEY = Ed25519PrivateKey.generate()


def deed(subject: str) -> Deed:
    """Return a deed of an admin."""
    return Deed(actor=Actor(key="admin", name="root"), action="create_site", subject=subject, result=Result.DONE)


def records(store: Store) -> list[AuditRecord]:
    """Return the whole log."""
    return list(store.read(lambda tx: tx.exec(select(AuditRecord).order_by(AuditRecord.id)).all()))  # type: ignore[arg-type]


def signed(store: Store, at_s: float = 9.0) -> AuditCheckpoint | None:
    """Sign the end."""
    return store.write(lambda tx: audit.checkpoint(tx, KEY.sign, at_s))


def test_records_are_chained_in_the_order_of_their_deeds(store: Store) -> None:
    """Each digest is that of the record over the digest before; a failed transaction leaves no record and no gap."""
    store.write(lambda tx: audit.record(tx, deed("a"), 1.0))

    def fail(tx: Tx) -> None:
        audit.record(tx, deed("lost"), 2.0)
        raise WrongState("no")

    with pytest.raises(WrongState):
        store.write(fail)
    store.write(lambda tx: (audit.record(tx, deed("b"), 3.0), audit.record(tx, deed("c"), 3.0)))
    found = records(store)
    assert [(row.id, row.subject) for row in found] == [(1, "a"), (2, "b"), (3, "c")]
    before = ""
    for row in found:
        assert row.digest == chain.digest_of(audit.document(row), before)
        before = row.digest


def test_the_end_is_signed_once_for_each_growth(store: Store) -> None:
    """Nothing to sign in an empty log; a log that did not grow keeps its checkpoint; the signature proves the end."""
    assert signed(store) is None
    store.write(lambda tx: audit.record(tx, deed("a"), 1.0))
    first = signed(store)
    assert first is not None
    assert (first.id, first.digest) == (1, records(store)[0].digest)
    again = signed(store, 99.0)
    assert again is not None
    assert (again.id, again.at_ms) == (1, 9000)
    store.write(lambda tx: audit.record(tx, deed("b"), 2.0))
    second = signed(store)
    assert second is not None
    assert second.id == 2
    lines = [json.dumps({"record": audit.document(row)}) for row in records(store)]
    proof = {"seq": second.id, "digest": second.digest, "at_ms": second.at_ms, "signature": second.signature}
    assert chain.verify([*lines, json.dumps({"checkpoint": proof})], KEY.public_key()).records == 2


def test_texts_from_strangers_are_made_harmless(store: Store) -> None:
    """Control characters and endless words do not get into the log."""
    store.write(lambda tx: audit.record(tx, deed("a\n\u202eb" + "x" * 1000), 1.0))
    [row] = records(store)
    assert row.subject.startswith("a??bxxx")
    assert len(row.subject) == 300
