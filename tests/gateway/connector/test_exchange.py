"""Which questions a connector takes: signed by its gateway, for its platform, fresh, and once."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.messages.handshake import public_text, sign
from catalog.messages.handshake_json import Refusal, request_json
from catalog.messages.handshake_shapes import AuthorizationQuestion, Question
from gateway.connector.exchange import Exchange, Nonces, QuestionRefused
from tests.support.platform_links import GATEWAY, GATEWAY_KEY, PLATFORM, STRANGER_KEY, request

NOW_S = 1_000_000.0
NONCE = "n" * 32


def exchange() -> Exchange:
    """Return the exchange of a platform that knows one gateway."""
    key = public_text(GATEWAY_KEY.public_key())
    return Exchange(platform=PLATFORM, gateway_key=key, key=Ed25519PrivateKey.generate())


def question(key: Ed25519PrivateKey = GATEWAY_KEY, **change: object) -> bytes:
    """Return a signed question, with some of its fields changed before signing."""
    honest = {"nonce": NONCE, "gateway": GATEWAY, "platform": PLATFORM, "issued_at_s": NOW_S}
    return json.dumps(sign(honest | change, key)).encode()


def refusal(taker: Exchange, body: bytes, shape: type[Question] = Question) -> Refusal | None:
    """Return why ``body`` is refused, None when it is taken."""
    try:
        taker.admit(body, shape, NOW_S)
    except QuestionRefused as refused:
        return refused.refusal
    return None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(question(), None, id="honest"),
        pytest.param(question(issued_at_s=NOW_S - 120), None, id="just fresh"),
        pytest.param(question(issued_at_s=NOW_S - 121), Refusal.STALE, id="old"),
        pytest.param(question(issued_at_s=NOW_S + 121), Refusal.STALE, id="from the future"),
        pytest.param(question(STRANGER_KEY), Refusal.UNKNOWN_GATEWAY, id="stranger's key"),
        pytest.param(question().replace(b"test", b"best"), Refusal.UNKNOWN_GATEWAY, id="changed on the way"),
        pytest.param(question(platform="south-cloud"), Refusal.WRONG_PLATFORM, id="for another platform"),
        pytest.param(question(nonce="short"), Refusal.MALFORMED, id="nonce too short"),
        pytest.param(question(extra=1), Refusal.MALFORMED, id="unknown field"),
        pytest.param(question(issued_at_s="now"), Refusal.MALFORMED, id="wrong type"),
        pytest.param(question(request={}), Refusal.MALFORMED, id="meant for the other path"),
        pytest.param(b"{", Refusal.MALFORMED, id="not JSON"),
        pytest.param(b'{"payload": NaN}', Refusal.MALFORMED, id="NaN"),
        pytest.param(b"[]", Refusal.UNKNOWN_GATEWAY, id="not an object"),
    ],
)
def test_what_is_taken(body: bytes, why: Refusal | None) -> None:
    """The table of refusals, each on its own."""
    assert refusal(exchange(), body) is why


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"wanted": {}}, id="asks for nothing"),
        pytest.param({"wanted": {"machine": []}}, id="no verbs"),
        pytest.param({"wanted": {"MACHINE": ["list"]}}, id="not a name"),
        pytest.param({"request_id": "../../etc"}, id="not an id"),
        pytest.param({"request_id": "grant_1\n"}, id="line break"),
        pytest.param({"service_information": None}, id="no service information"),
    ],
)
def test_a_request_passes_strict_shapes(change: dict[str, Any]) -> None:
    """A signed request of the wrong shape is refused before any policy sees it."""
    body = question(request=request_json(request()) | change)
    assert refusal(exchange(), body, AuthorizationQuestion) is Refusal.MALFORMED


def test_a_question_is_taken_once() -> None:
    """The very same bytes a second time are a replay."""
    taker = exchange()
    assert refusal(taker, question()) is None
    assert refusal(taker, question()) is Refusal.REPLAYED


def test_a_strangers_nonce_is_not_remembered() -> None:
    """Who cannot sign can neither use up a nonce nor fill the memory."""
    taker = exchange()
    refusal(taker, question(STRANGER_KEY))
    assert refusal(taker, question()) is None


def test_nonces_are_kept_while_they_could_be_replayed() -> None:
    """A question dated 120 s ahead stays fresh for 240 s: until then its nonce is known, and room is then made."""
    nonces = Nonces(limit=2)
    nonces.take("a" * 16, 0.0)
    nonces.take("b" * 16, 100.0)
    with pytest.raises(QuestionRefused) as caught:
        nonces.take("a" * 16, 240.0)
    assert caught.value.refusal is Refusal.REPLAYED
    with pytest.raises(QuestionRefused) as caught:
        nonces.take("c" * 16, 240.0)  # no room, and nothing may be forgotten yet
    assert caught.value.refusal is Refusal.BUSY
    nonces.take("c" * 16, 241.0)
