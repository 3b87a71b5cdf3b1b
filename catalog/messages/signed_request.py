"""Requests that a platform's connector signs: how one is written and read. Pure.

The handshake's signatures, in the other direction: the platform's key signs what is asked of which gateway, when, and a
nonce, so that a request can neither be changed nor taken elsewhere. That it is taken once is ``catalog.proofs``' part.
"""

import base64
import binascii
import hashlib
import json
import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict

from catalog.errors import CloudMisbehaved
from catalog.messages import handshake_json
from catalog.messages.handshake import sign
from catalog.messages.handshake_shapes import Instant, Nonce, Text

SCHEME = "Crossway-Signed"
_PROOF_BYTES = 8192


class SignedRequest(BaseModel):
    """What is signed. ``gateway`` is the base64 public key of the gateway that is asked."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    nonce: Nonce
    gateway: Text
    platform: Text
    issued_at_s: Instant
    method: Text
    target: str  # path and query, as sent
    body_sha256: Text


def authorization(
    key: Ed25519PrivateKey, *, gateway: str, platform: str, method: str, target: str, body: bytes, now_s: float
) -> str:
    """Return the Authorization header of one request, good for this request and once."""
    asked = SignedRequest(
        nonce=secrets.token_urlsafe(24),
        gateway=gateway,
        platform=platform,
        issued_at_s=now_s,
        method=method,
        target=target,
        body_sha256=hashlib.sha256(body).hexdigest(),
    )
    message = json.dumps(sign(asked.model_dump(), key), separators=(",", ":"))
    return f"{SCHEME} {base64.urlsafe_b64encode(message.encode()).decode()}"


def claimed_platform(header: str) -> str | None:
    """Return the name of the platform that ``header`` claims to come from, None for what is no such header."""
    message = _message(header)
    payload = message.get("payload") if isinstance(message, dict) else None
    name = payload.get("platform") if isinstance(payload, dict) else None
    return name if isinstance(name, str) else None


def read(header: str, public_key: str) -> SignedRequest:
    """Return what ``public_key`` (base64) signed. Raises CloudMisbehaved for anything else."""
    return handshake_json.read(SignedRequest, handshake_json.signed_payload(_message(header), public_key))


def _message(header: str) -> object:
    scheme, _, proof = header.partition(" ")
    if scheme.lower() != SCHEME.lower() or len(proof) > _PROOF_BYTES:
        return None
    try:
        return handshake_json.read_json(base64.b64decode(proof.strip(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, CloudMisbehaved):
        return None
