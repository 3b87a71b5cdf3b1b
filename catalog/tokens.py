"""Tokens: issued, revoked, when they end, and whose deed it is what is done with them."""

from collections.abc import Sequence

from catalog import naming
from catalog.access import PERMISSIONS, Principal, may, of_account
from catalog.errors import InvalidValue
from catalog.model.access import Account, AccountKind, Login, Role, Token, account_of_key
from catalog.model.ids import TokenId, new_id
from catalog.model.platform import Platform
from catalog.model.tenancy import Project
from catalog.store import rows
from catalog.store.database import Tx
from catalog.token_text import digest, new_text, positive


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


def issue_token(
    tx: Tx,
    *,
    role: Role,
    name: str,
    subject_id: str = "",
    ttl_s: float | None = None,
    scopes: Sequence[str] | None = None,
    now_s: float,
) -> tuple[Token, str]:
    """Return a new token with a role of its own, and its text, which nobody can show again.

    ``ttl_s`` None means until revoked, ``scopes`` None whatever the role may. Raises NotFound when ``subject_id`` is no
    project (or platform) for that role, InvalidValue for a bad ttl, name or scope.
    """
    _check_subject(tx, role, subject_id)
    holder = Principal(role=role, subject_id=subject_id, token_id=TokenId(""), name=name)
    token = Token(
        id=TokenId(new_id("token", now_s)),
        digest="",
        role=role,
        name=naming.label(name, field="name"),
        subject_id=subject_id,
        scopes=checked_scopes(holder, scopes),
        expires_at_s=None if ttl_s is None else now_s + positive(ttl_s),
    )
    return _issued(tx, token, role.value, now_s)


def issue_account_token(
    tx: Tx,
    account: Account,
    *,
    name: str,
    ttl_s: float | None,
    scopes: Sequence[str] | None,
    issued_by: str = "",
    now_s: float,
) -> tuple[Token, str]:
    """Return a new token that acts for ``account`` with whatever it may do at each use, and its text.

    ``issued_by`` is as ``behind`` has it. Raises InvalidValue for a scope that the account does not have
    now, a bad ttl or name.
    """
    token = Token(
        id=TokenId(new_id("token", now_s)),
        digest="",
        name=naming.label(name, field="name"),
        account_id=account.id,
        issued_by=issued_by,
        scopes=checked_scopes(of_account(tx, account, TokenId("")), scopes),
        expires_at_s=None if ttl_s is None else now_s + positive(ttl_s),
    )
    return _issued(tx, token, account.kind.value, now_s)


def checked_scopes(holder: Principal, scopes: Sequence[str] | None) -> list[str] | None:
    """Return ``scopes`` in order, each once. Raises InvalidValue for one that the holder does not have now."""
    if scopes is None:
        return None
    for wanted in scopes:
        if not may(holder, wanted):
            have = ", ".join(sorted(each for each in PERMISSIONS if may(holder, each)))
            raise InvalidValue("its holder does not have this permission", field="scopes", fix=f"some of {have}")
    return sorted(set(scopes))


def revoke_token(tx: Tx, token_id: str, now_s: float) -> Token:
    """Make the token worthless from now on, and return it; revoking again changes nothing. Raises NotFound."""
    token = rows.by_id(tx, Token, token_id)
    if token.revoked_at_s is not None:
        return token
    return rows.update(tx, token, {"revoked_at_s": now_s}, now_s)


def _issued(tx: Tx, token: Token, kind: str, now_s: float) -> tuple[Token, str]:
    text = new_text(kind)
    token.digest = digest(text)
    return rows.insert(tx, token, now_s), text


def _check_subject(tx: Tx, role: Role, subject_id: str) -> None:
    match role:
        case Role.OWNER | Role.MEMBER | Role.VIEWER:
            rows.by_id(tx, Project, subject_id)
        case Role.PLATFORM:
            rows.by_id(tx, Platform, subject_id)
        case Role.GUEST:
            raise InvalidValue("a token has a role", field="role")
        case Role.ADMIN | Role.OPERATOR | Role.AUDITOR:
            if subject_id:
                raise InvalidValue(
                    "a gateway-wide token speaks for no project or platform", field="subject_id", fix="''"
                )
