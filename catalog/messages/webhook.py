"""Signatures of webhooks after the Standard Webhooks specification, symmetric ``v1`` (standardwebhooks.com). Pure.

A secret is ``whsec_`` and 32 random bytes in base64. What is signed is id, timestamp and body, so that neither an old
nor an altered message passes; while a secret is being changed, both sign.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

from catalog.errors import InvalidValue
from catalog.secrets import Secret

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> Secret:
    """Return a fresh secret."""
    return Secret(_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode())


def headers(known: Sequence[Secret], *, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt to deliver ``body``, signed with each of the ``known`` secrets, newest first.

    ``message_id`` is the same in every attempt: receivers recognise by it what they have had.
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(_signature(secret, message_id, at_s, body) for secret in known),
    }


def _signature(secret: Secret, message_id: str, at_s: int, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.reveal().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidValue("this is no webhook secret", field="secret", fix="whsec_ and base64") from None
    content = f"{message_id}.{at_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
