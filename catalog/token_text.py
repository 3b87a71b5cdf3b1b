"""The texts of tokens, log-ins and enrolments, of which only digests are kept, and how long they may live."""

import hashlib
import secrets

from catalog.errors import InvalidValue

LOGIN_PREFIX = "cw_login_"
_TOKEN_BYTES = 32  # 43 URL-safe characters


def digest(text: str) -> str:
    """Return the hex SHA-256 under which a token's text is found."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def new_text(kind: str) -> str:
    """Return the text of a new token, log-in or enrolment."""
    return f"cw_{kind}_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def positive(ttl_s: float) -> float:
    """Return a time to live. Raises InvalidValue for one that is none."""
    if not 0 < ttl_s < float("inf"):
        raise InvalidValue("a time to live is a positive number of seconds", field="ttl_s", fix="such as 86400")
    return ttl_s
