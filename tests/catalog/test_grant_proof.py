"""A signed decision proved offline: each thing that can be wrong with one is found, by its name."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.errors import CloudMisbehaved
from catalog.grant_proof import prove
from catalog.messages.handshake import GrantedCapability, public_text, sign
from catalog.messages.handshake_json import granted_json

KEY = Ed25519PrivateKey.generate()
PUBLIC = public_text(KEY.public_key())
NOW_S = 1_800_000_000.0


def signed(key: Ed25519PrivateKey = KEY, *, ends_s: float | None = NOW_S + 1, **change: object) -> bytes:
    """Return a decision that grants machines, with some fields changed before signing; None leaves one out."""
    line = GrantedCapability(capability="machine", verbs=("list",), expires_at_s=ends_s)
    honest: dict[str, object] = {
        "nonce": "n" * 32,
        "request_id": "r1",
        "granted": [granted_json(line)],
        "pending": [],
        "platform": "north",
        "gateway": "here",
        "issued_at_s": NOW_S,
        "serial": 7,
    }
    told = {name: value for name, value in (honest | change).items() if value is not None}
    return json.dumps(sign(told, key)).encode()


def test_an_honest_decision_is_proved_and_told() -> None:
    """Whose it is, its number and its lines come back as they were signed."""
    found = prove(signed(), key=PUBLIC, now_s=NOW_S, platform="north", gateway="here", after=6)
    assert (found.platform, found.gateway, found.serial) == ("north", "here", 7)
    assert [line.capability for line in found.granted] == ["machine"]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        pytest.param(signed(Ed25519PrivateKey.generate()), None, id="forged by another key"),
        pytest.param(signed().replace(b"machine", b"volumes"), None, id="altered"),
        pytest.param(b"{", None, id="no JSON"),
        pytest.param(signed(platform="south"), "platform", id="another platform"),
        pytest.param(signed(gateway="there"), "gateway", id="another gateway"),
        pytest.param(signed(serial=6), "serial", id="replayed"),
        pytest.param(signed(serial=None), "serial", id="not numbered"),
        pytest.param(signed(ends_s=NOW_S), "expires_at_s", id="expired"),
        pytest.param(signed(granted=[]), "expires_at_s", id="grants nothing"),
    ],
)
def test_what_is_wrong_is_named(message: bytes, field: str | None) -> None:
    """Each dishonest decision is refused, for its own reason."""
    with pytest.raises(CloudMisbehaved) as refused:
        prove(message, key=PUBLIC, now_s=NOW_S, platform="north", gateway="here", after=6)
    assert refused.value.field == field
