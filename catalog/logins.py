"""Sessions that people log in to: begun, used, and ended, each of them a row that its owner can see and end."""

from dataclasses import dataclass

from catalog.access import is_open
from catalog.model.access import Account, AccountKind, Login
from catalog.model.ids import LoginId, new_id
from catalog.store import rows
from catalog.store.database import Tx
from catalog.token_text import LOGIN_PREFIX, digest, new_text

CURRENT = "current"
_AGENT_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPolicy:
    """How long a session lasts: at most, and left alone."""

    session_s: float = 7 * 86_400.0
    idle_s: float = 12 * 3600.0


def user_called(tx: Tx, name: str) -> Account | None:
    """Return the user who may log in by this name, None when there is none or it is disabled."""
    found = rows.first(tx, Account, path=name, kind=AccountKind.USER)
    return found if found is not None and found.enabled else None


def was_let_in_at(tx: Tx, account: Account, address: str) -> bool:
    """Return whether the account logged in from this address before."""
    return rows.first(tx, Login, account_id=account.id, address=address) is not None


def begin(
    tx: Tx, account: Account, *, way: str, address: str, agent: str, policy: LoginPolicy, now_s: float
) -> tuple[Login, str]:
    """Return a new session of ``account`` and its text, which nobody can show again."""
    text = new_text("login")
    assert text.startswith(LOGIN_PREFIX)
    login = Login(
        id=LoginId(new_id("login", now_s)),
        digest=digest(text),
        account_id=account.id,
        way=way,
        address=address,
        agent="".join(each if each.isprintable() else "?" for each in agent)[:_AGENT_LENGTH],
        used_at_s=now_s,
        idle_s=policy.idle_s,
        expires_at_s=now_s + policy.session_s,
    )
    return rows.insert(tx, login, now_s), text


def end(tx: Tx, login: Login, reason: str, now_s: float) -> Login:
    """Let the session let nobody in from now on; one that has ended keeps its first reason."""
    if login.ended_at_s is not None:
        return login
    return rows.update(tx, login, {"ended_at_s": now_s, "end_reason": reason}, now_s)


def end_all(tx: Tx, account: Account, reason: str, now_s: float, *, but: str = "") -> int:
    """End every open session of the account but the one with this id, and return how many."""
    open_ones = [each for each in rows.where(tx, Login, account_id=account.id, ended_at_s=None) if each.id != but]
    for login in open_ones:
        end(tx, login, reason, now_s)
    return len(open_ones)


def state(login: Login, now_s: float) -> str:
    """Return ``open``, ``ended`` or ``expired``."""
    if login.ended_at_s is not None:
        return "ended"
    return "open" if is_open(login, now_s) else "expired"
