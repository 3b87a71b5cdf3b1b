"""Check a gateway's question and sign the answer: signature, platform, age and nonce, in that order.

Decides over values; the only state is the memory of nonces. Not thread-safe: called from the event loop only.
"""

import logging
from collections import deque
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.errors import CloudMisbehaved, Denied
from catalog.messages import handshake_json
from catalog.messages.handshake import Decision, ServiceInformation, sign
from catalog.messages.handshake_json import CLOCK_WINDOW_S, REFUSALS, Refusal
from catalog.messages.handshake_shapes import Question

log = logging.getLogger(__name__)

_NONCE_LIMIT = 20_000  # about 80 questions a second for the four minutes a nonce may have to be kept

Q = TypeVar("Q", bound=Question)


class QuestionRefused(Denied):
    """The question is not answered; ``refusal`` says why, in words fit for whoever sent it."""

    code = "question-refused"

    def __init__(self, refusal: Refusal) -> None:
        """Take the text from REFUSALS."""
        super().__init__(REFUSALS[refusal][1])
        self.refusal = refusal


class Nonces:
    """The nonces seen within the window: none is taken twice, and none is forgotten while it could be replayed."""

    def __init__(self, limit: int = _NONCE_LIMIT) -> None:
        self._limit = limit
        self._seen: set[str] = set()
        self._order: deque[tuple[float, str]] = deque()

    def take(self, nonce: str, now_s: float) -> None:
        """Note ``nonce``. Raises QuestionRefused: REPLAYED when it was taken before, BUSY when there is no room."""
        # A question dated CLOCK_WINDOW_S ahead of us stays fresh for twice the window.
        while self._order and self._order[0][0] < now_s - 2 * CLOCK_WINDOW_S:
            self._seen.discard(self._order.popleft()[1])
        if nonce in self._seen:
            raise QuestionRefused(Refusal.REPLAYED)
        if len(self._seen) >= self._limit:
            raise QuestionRefused(Refusal.BUSY)
        self._seen.add(nonce)
        self._order.append((now_s, nonce))


class Exchange:
    """One platform's side of the conversation with one gateway."""

    def __init__(self, *, platform: str, gateway_key: str, key: Ed25519PrivateKey) -> None:
        self._platform = platform
        self._gateway_key = gateway_key
        self._key = key
        self._nonces = Nonces()

    def admit(self, body: bytes, shape: type[Q], now_s: float) -> Q:
        """Return the question in ``body`` if the gateway put it, to us, just now, for the first time.

        Raises QuestionRefused otherwise. A nonce is remembered only once the signature holds, so that strangers
        cannot fill the memory.
        """
        try:
            message = handshake_json.read_json(body)
        except CloudMisbehaved as error:
            raise QuestionRefused(Refusal.MALFORMED) from error
        try:
            payload = handshake_json.signed_payload(message, self._gateway_key)
        except CloudMisbehaved as error:
            raise QuestionRefused(Refusal.UNKNOWN_GATEWAY) from error
        try:
            question = handshake_json.read(shape, payload)
        except CloudMisbehaved as error:
            log.warning("question malformed", extra={"wrong_at": error.field})
            raise QuestionRefused(Refusal.MALFORMED) from error
        if question.platform != self._platform:
            raise QuestionRefused(Refusal.WRONG_PLATFORM)
        if abs(question.issued_at_s - now_s) > CLOCK_WINDOW_S:
            raise QuestionRefused(Refusal.STALE)
        self._nonces.take(question.nonce, now_s)
        return question

    def information(self, question: Question, information: ServiceInformation) -> dict[str, Any]:
        """Return the signed answer that tells ``information``."""
        described = handshake_json.information_json(information)
        return sign({"nonce": question.nonce, "service_information": described}, self._key)

    def decision(self, question: Question, decision: Decision) -> dict[str, Any]:
        """Return the signed answer that tells ``decision``."""
        granted = [handshake_json.granted_json(grant) for grant in decision.granted]
        told = {"request_id": decision.request_id, "granted": granted, "pending": list(decision.pending)}
        about = {"platform": self._platform, "gateway": question.gateway}
        dated = {"issued_at_s": decision.issued_at_s, "serial": decision.serial}
        return sign({"nonce": question.nonce, **told, **about, **dated}, self._key)
