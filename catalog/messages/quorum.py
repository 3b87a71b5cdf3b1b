"""N-of-M approvals: a grant that so many of certain people signed, each the very same terms of the very same request.

The list of those people, and how many of them it takes, are in what the platform signs, so whoever reads an answer,
gateway or auditor, checks each signature without asking anybody. Pure.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from catalog.errors import CloudMisbehaved

# Not a handshake's: what was signed as one can never pass for the other.
DOMAIN = b"crossway-approval-v1\n"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One approver's Ed25519 signature of ``approval_bytes``, and the key to check it; both in base64."""

    key: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """How many approvals it takes, and whose (base64 Ed25519 public keys, each of them once: see ``is_key``)."""

    need: int
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """A quorum and what was signed of it."""

    quorum: Quorum
    given: tuple[Approval, ...] = ()


def approval_bytes(*, request_id: str, platform: str, gateway: str, granted: Mapping[str, Any]) -> bytes:
    """Return what each approver signs: which request, between whom, and the terms as ``granted_json`` has them.

    Approvals of another request, of other terms or for another gateway are worth nothing here.
    """
    told = {"request_id": request_id, "platform": platform, "gateway": gateway, "granted": dict(granted)}
    return DOMAIN + json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def approve(key: Ed25519PrivateKey, shown: bytes) -> Approval:
    """Return the approval of ``shown`` by the holder of ``key``."""
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    return Approval(key=public, signature=base64.b64encode(key.sign(shown)).decode())


def is_key(text: str) -> bool:
    """Tell whether ``text`` is the one base64 text of 32 bytes: of the four that decoders take for the same bytes.

    Otherwise one person's key could stand in a quorum four times.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return len(raw) == _KEY_BYTES and base64.b64encode(raw).decode() == text


def is_given(approval: Approval, quorum: Quorum, shown: bytes) -> bool:
    """Tell whether ``approval`` is one of the quorum's people's, of exactly what is shown."""
    if approval.key not in quorum.of or not is_key(approval.key):
        return False
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(approval.key))
        public.verify(base64.b64decode(approval.signature, validate=True), shown)
    except (ValueError, InvalidSignature):
        return False
    return True


def approved_by(approvals: Approvals, shown: bytes) -> tuple[str, ...]:
    """Return the keys of those who approved ``shown``, each once, in the quorum's order."""
    valid = {each.key for each in approvals.given if is_given(each, approvals.quorum, shown)}
    return tuple(key for key in dict.fromkeys(approvals.quorum.of) if key in valid)


def require(approvals: Approvals, shown: bytes) -> None:
    """Raise CloudMisbehaved unless as many approved ``shown`` as it takes, and it takes one at least."""
    quorum = approvals.quorum
    if not 1 <= quorum.need <= len(set(quorum.of)):
        raise CloudMisbehaved("the decision needs more approvals than there are approvers", field="approvals")
    if len(set(quorum.of)) < len(quorum.of):
        raise CloudMisbehaved("the decision names an approver twice", field="approvals")
    if len(approved_by(approvals, shown)) < quorum.need:
        raise CloudMisbehaved(f"the decision is not approved by {quorum.need} of {len(quorum.of)}", field="approvals")
