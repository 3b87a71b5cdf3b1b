"""What a token or a log-in is beside whom it speaks for: when it ends, and whose deed it is what is done with it."""

from catalog.model.access import Account, AccountKind, Login, Token, account_of_key
from catalog.store import rows
from catalog.store.database import Tx


def ends_at_s(tx: Tx, proof_id: str) -> float | None:
    """Return when the token or log-in with this id ends by itself, None: never."""
    if proof_id.startswith("login_"):
        login = rows.find(tx, Login, proof_id)
        return None if login is None else login.expires_at_s
    token = rows.find(tx, Token, proof_id)
    return None if token is None else token.expires_at_s


def behind(tx: Tx, key: str, proof_id: str) -> str:
    """Return whose deed it is what the principal ``key`` did with this token: its own, but for a service account.

    A program's token is in the hands of whoever had it issued: of the person at the beginning, however many tokens
    were issued with one another. "" where nobody knows.
    """
    account_id = account_of_key(key)
    account = None if account_id is None else rows.find(tx, Account, account_id)
    if account is None or account.kind is not AccountKind.SERVICE:
        return key
    token = rows.find(tx, Token, proof_id)
    return "" if token is None else token.issued_by
