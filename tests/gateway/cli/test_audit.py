"""``crossway audit``: listed, exported, and verified without a gateway."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import update

from catalog.messages.handshake import public_text
from catalog.model.audit import AuditRecord
from tests.gateway.cli.conftest import Crossway
from tests.support.served_api import ServedApi, served_api

KEY = Ed25519PrivateKey.generate()
PUBLIC = public_text(KEY.public_key())


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """Serve a freshly seeded API that signs."""
    with served_api(tmp_path, sign=KEY.sign) as served:
        yield served


def test_what_was_done_is_listed_exported_and_verified(api: ServedApi, crossway: Crossway, tmp_path: Path) -> None:
    """A sound export verifies offline under the gateway's key, not under another, and beside an older export."""
    admin = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens["admin"]}
    for name in ("osl", "iad"):
        assert crossway("site", "add", name, **admin).exit_code == 0
    listed = crossway("audit", "list", "--action", "create_site", **admin).stdout.splitlines()
    assert listed[0].split() == ["SEQ", "AT", "ACTOR", "NAME", "ACTION", "SUBJECT", "RESULT", "CODE"]
    assert len(listed) == 3

    older, newer = tmp_path / "older.jsonl", tmp_path / "newer.jsonl"
    assert crossway("audit", "export", str(older), **admin).exit_code == 0
    assert older.stat().st_mode & 0o777 == 0o600
    assert crossway("audit", "export", str(newer), **admin).exit_code == 0
    assert crossway("audit", "export", str(newer), **admin).exit_code == 2  # it is there already

    good = crossway("audit", "verify", str(newer), "--key", PUBLIC, "--witness", str(older))
    assert (good.exit_code, good.stdout.split(",")[0]) == (0, "sound: 3 records")
    other = public_text(Ed25519PrivateKey.generate().public_key())
    assert crossway("audit", "verify", str(newer), "--key", other).exit_code == 1
    assert crossway("audit", "verify", str(newer), "--key", "x").exit_code == 2
    assert crossway("audit", "verify", str(tmp_path / "nothing")).exit_code == 2
    backwards = crossway("audit", "verify", str(older), "--key", PUBLIC, "--witness", str(newer))
    assert (backwards.exit_code, "record 3 was cut off" in backwards.stderr) == (1, True)


def test_a_row_that_was_edited_is_found(api: ServedApi, crossway: Crossway, tmp_path: Path) -> None:
    """Whoever edits the database behind the gateway's back is found out by the next export."""
    admin = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": api.tokens["admin"]}
    for name in ("osl", "iad", "gru"):
        crossway("site", "add", name, **admin)
    api.write(lambda tx: tx.exec(update(AuditRecord).where(AuditRecord.id == 2).values(actor="admin-2")))  # type: ignore[arg-type]
    file = tmp_path / "log.jsonl"
    crossway("audit", "export", str(file), **admin)
    found = crossway("audit", "verify", str(file), "--key", PUBLIC)
    assert (found.exit_code, "record 2 was altered" in found.stderr) == (1, True)
    assert json.loads(file.read_text().splitlines()[0])["format"] == "crossway-audit-1"
