"""``crossway grant verify``: what a connector signed is proved without any gateway."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.messages.handshake import Decision, GrantedCapability, public_text
from catalog.messages.handshake_shapes import Question
from gateway.connector.exchange import Exchange
from tests.gateway.cli.conftest import Crossway

KEY = Ed25519PrivateKey.generate()
PUBLIC = public_text(KEY.public_key())


def test_what_a_connector_signed_is_proved_and_anything_else_is_not(crossway: Crossway, tmp_path: Path) -> None:
    """The connector's own answer holds under its key, name and number; another key, gateway or number does not."""
    line = GrantedCapability(capability="machine", verbs=("list",))
    decision = Decision(request_id="r1", granted=(line,), serial=7, issued_at_s=1.0)
    asked = Question(nonce="n" * 32, gateway="here", platform="north", issued_at_s=1.0)
    file = tmp_path / "grant.json"
    file.write_text(
        json.dumps(Exchange(platform="north", gateway_key=PUBLIC, key=KEY).decision(asked, decision)), encoding="utf-8"
    )

    def verify(*more: str, key: str = PUBLIC) -> tuple[int, str]:
        done = crossway("grant", "verify", str(file), "--key", key, *more)
        return done.exit_code, done.stdout + done.stderr

    assert verify("--platform", "north", "--gateway", "here", "--after", "6") == (
        0,
        "proven: north grants machine (list) to here, number 7\n",
    )
    stranger = public_text(Ed25519PrivateKey.generate().public_key())
    for told, (code, words) in {
        "another key": verify(key=stranger),
        "another gateway": verify("--gateway", "there"),
        "another platform": verify("--platform", "south"),
        "replaced since": verify("--after", "7"),
    }.items():
        assert (code, told.split()[-1] in words) == (1, True), words
    assert crossway("grant", "verify", str(tmp_path / "none"), "--key", PUBLIC).exit_code == 2
