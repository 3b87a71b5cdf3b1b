"""Who a signed request comes from: the platform whose key signed it, once, for this gateway and this very request."""

import hashlib

from catalog.access import Principal
from catalog.errors import AlreadyExists, CloudMisbehaved
from catalog.messages import signed_request
from catalog.messages.handshake_json import CLOCK_WINDOW_S
from catalog.model.access import Role, UsedNonce
from catalog.model.ids import TokenId
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx


def prove(
    tx: Tx, header: str, *, gateway: str, method: str, target: str, body: bytes, now_s: float
) -> Principal | None:
    """Return the platform that signed this request, None for whatever does not hold, without saying what.

    ``gateway`` is our own public key. The nonce is used up in the same transaction, durably: what was taken once is not
    taken again, after a restart either.
    """
    name = signed_request.claimed_platform(header)
    platform = None if name is None else rows.first(tx, Platform, name=name)
    if platform is None or not platform.enabled or not platform.public_key:
        return None
    try:
        asked = signed_request.read(header, platform.public_key)
    except CloudMisbehaved:
        return None
    meant = (asked.gateway, asked.method, asked.target, asked.body_sha256)
    if meant != (gateway, method, target, hashlib.sha256(body).hexdigest()):
        return None
    if abs(asked.issued_at_s - now_s) > CLOCK_WINDOW_S or not _first_time(tx, asked, now_s):
        return None
    return Principal(
        role=Role.PLATFORM, subject_id=platform.id, token_id=TokenId(""), name=f"connector of {platform.name}"
    )


def _first_time(tx: Tx, asked: signed_request.SignedRequest, now_s: float) -> bool:
    if rows.find(tx, UsedNonce, asked.nonce) is not None:
        return False
    # A request dated ahead of us stays fresh for twice the window.
    try:
        rows.insert(tx, UsedNonce(id=asked.nonce, expires_at_s=now_s + 2 * CLOCK_WINDOW_S), now_s)
    except AlreadyExists:
        return False
    return True
