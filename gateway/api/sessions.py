"""Log-in by password, and the sessions that come of it: listed, and ended at once."""

import json

from pydantic import Field

from catalog import access, accounts, audit, logins
from catalog.access import Principal
from catalog.audit import Actor, Deed, Result
from catalog.errors import Denied, InvalidValue, NotFound, WrongState
from catalog.model.access import Account, AccountKind, Login, account_key
from catalog.secrets import Secret
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api import cookies
from gateway.api.accounts import AccountReference
from gateway.api.bodies import Body, Nothing, Out, Resource, SecretIn, Time, iso, stamp
from gateway.api.dispatch import SHOWN_ONCE, secret_of
from gateway.api.endpoints import Call, Door, Listing, Raw, Routes
from gateway.api.services import Wakes
from gateway.errors import TooManyLogins, Unauthenticated

routes = Routes("sessions")


class LogInIn(Body):
    """Who logs in."""

    name: AccountReference
    password: SecretIn
    cookie: bool = Field(default=False, description="Keep the session in a cookie of the browser; no text is told.")


class LoginOut(Resource):
    """A session that somebody logged in to."""

    account: str
    way: str = Field(description="`password` or `oidc`.")
    state: str = Field(description="`open`, `ended` or `expired`.")
    address: str
    agent: str
    used_at: Time = Field(description="When it was last used, to the minute.")
    expires_at: Time
    ended_at: Time | None
    end_reason: str
    is_current: bool = Field(description="Whether this very call was made in it.")


class NewLoginOut(Out):
    """A new session with its text, a bearer token."""

    id: str
    account: str
    expires_at: Time
    token: str | None = Field(description="Shown once; null when a cookie holds it.", json_schema_extra=SHOWN_ONCE)


class PasswordIn(Body):
    """A new password; who changes the own proves it by the present one."""

    password: SecretIn
    present: SecretIn | None = None


@routes.deed(
    "POST",
    "/v1/sessions",
    door=Door.ANYONE,
    body=LogInIn,
    answer=NewLoginOut,
    status=201,
    errors=(Unauthenticated, TooManyLogins),
    summary="Log in by password",
    description="Whether the user does not exist, is disabled or has another password is not told, and takes the same "
    "time. With `cookie`, the session is in a cookie that no script reads; changing calls by cookie must come from "
    "this gateway's own pages.",
)
async def log_in(call: Call[LogInIn]) -> Raw:
    """Return the new session."""
    services, doors, name = call.services, call.services.doors, call.body.name
    account, known = await services.database.read(lambda tx: _who(tx, name, call.address))
    doors.throttle.take(name, call.address, call.now_s, is_known_there=known)
    kept = "" if account is None else account.password
    verdict = await doors.passwords.check(kept, secret_of(call.body.password))
    if account is None or not verdict.is_right:
        # Also where there is no such user: whether something is written must not be felt in how long this takes.
        failed = _deed(call, account, Result.REFUSED, "unauthenticated")
        await services.database.write(lambda tx: audit.record(tx, failed, call.now_s))
        raise Unauthenticated("name and password do not belong together", fix="try again, or ask an admin")
    doors.throttle.give_back(name, call.address, call.now_s, is_known_there=known)
    found = account
    login, text = await services.database.write(lambda tx: _begin(tx, call, found, verdict.fresh))
    return _answer(login, text, in_cookie=call.body.cookie, lasts_s=login.expires_at_s - call.now_s)


@routes.plain(
    "GET",
    "/v1/sessions",
    permission="self:read",
    answer=LoginOut,
    many=True,
    filters={"account": "Only this account's; `me`: the caller's own."},
    summary="List the sessions: the own, or all for who may read all tokens",
)
def list_logins(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of sessions, ended ones included."""
    mine = call.principal.account_id or ""
    wanted = call.filters.get("account")
    where: dict[str, object] = {} if access.may(call.principal, "token:read") else {"account_id": mine}
    if wanted is not None:
        named = mine if wanted == accounts.ME else wanted
        where["account_id"] = named if where.get("account_id", named) == named else frozenset()
    found = page(tx, Login, limit=call.limit, token=call.page_token, where=where, newest_first=True)
    return Listing(items=[_session(call, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "DELETE",
    "/v1/sessions/{id}",
    permission="self:write",
    status=204,
    wakes=(Wakes.PASSAGES,),
    summary="End a session at once; `current` is the one in which this is asked",
)
def end_login(tx: Tx, call: Call[Nothing]) -> None:
    """Let it let nobody in from now on; it stays listed."""
    id_ = call.principal.token_id if call.path["id"] == logins.CURRENT else call.path["id"]
    found = rows.find(tx, Login, id_)
    if found is None or not _may_end(call.principal, found):
        raise NotFound(f"there is no session '{call.path['id']}'")
    call.precondition.check(found)
    logins.end(tx, found, "logged out" if _is_current(call.principal, found) else "ended by its owner", call.now_s)


@routes.deed(
    "PUT",
    "/v1/accounts/{id}/password",
    permission="self:write",
    body=PasswordIn,
    status=204,
    errors=(InvalidValue, WrongState, TooManyLogins),
    summary="Set a user's password: the own, or as an admin anybody's; other sessions of the user end",
)
async def change_password(call: Call[PasswordIn]) -> None:
    """Keep the new password's hash."""
    services, who = call.services, call.principal
    account = await services.database.read(lambda tx: _changeable(tx, who, call.path["id"]))
    if account.id == who.account_id:
        await _prove(call, account)
    fresh = await services.doors.passwords.hash(secret_of(call.body.password))
    await services.database.write(lambda tx: _keep(tx, call, account.id, fresh))
    services.wake(Wakes.PASSAGES)


def _who(tx: Tx, name: str, address: str) -> tuple[Account | None, bool]:
    account = logins.user_called(tx, name)
    return account, account is not None and logins.was_let_in_at(tx, account, address)


def _begin(tx: Tx, call: Call[LogInIn], account: Account, fresh: str | None) -> tuple[Login, str]:
    now = rows.by_id(tx, Account, account.id)
    if not now.enabled or now.password != account.password:
        raise Unauthenticated("name and password do not belong together", fix="try again, or ask an admin")
    if fresh is not None:
        rows.update(tx, now, {"password": fresh}, call.now_s)
    login, text = logins.begin(
        tx,
        now,
        way="password",
        address=call.address,
        agent=call.agent,
        policy=call.services.doors.logins,
        now_s=call.now_s,
    )
    audit.record(tx, _deed(call, now, Result.DONE, subject=login.id), call.now_s)
    return login, text


def _answer(login: Login, text: str, *, in_cookie: bool, lasts_s: float) -> Raw:
    document = {
        "id": login.id,
        "account": login.account_id,
        "expires_at": iso(login.expires_at_s),
        "token": None if in_cookie else text,
    }
    headers = {"Set-Cookie": cookies.setting(text, lasts_s)} if in_cookie else {}
    return Raw(body=json.dumps(document).encode(), status=201, headers=headers)


def _is_current(principal: Principal, login: Login) -> bool:
    return str(login.id) == principal.token_id


def _may_end(principal: Principal, login: Login) -> bool:
    return login.account_id == principal.account_id or access.may(principal, "token:write")


def _changeable(tx: Tx, who: Principal, reference: str) -> Account:
    account = accounts.visible(tx, who, reference, "account:write")
    if account.id != who.account_id and not access.may(who, "token:write"):
        raise Denied("a person's password is the person's own", fix="ask an admin")
    if account.kind is not AccountKind.USER:
        raise WrongState("a service account has tokens and no password", field="id", fix="issue a token")
    return account


async def _prove(call: Call[PasswordIn], account: Account) -> None:
    """Raise Denied unless the caller knows the present password: a session that was left open must not be enough."""
    if not account.password:
        # A first password is a way in to all that the account may do: no token that is limited makes one.
        if call.principal.scopes is not None or not access.may(call.principal, "token:write"):
            raise Denied("there is no password yet", fix="an admin sets the first one")
        return
    doors, key = call.services.doors, account.path
    present = Secret("") if call.body.present is None else secret_of(call.body.present)
    doors.throttle.take(key, call.address, call.now_s, is_known_there=True)
    if not (await doors.passwords.check(account.password, present)).is_right:
        raise Denied("the present password is another", field="present", fix="give the present password")
    doors.throttle.give_back(key, call.address, call.now_s, is_known_there=True)


def _keep(tx: Tx, call: Call[PasswordIn], account_id: str, fresh: str) -> None:
    who = access.again(tx, call.principal, call.services.clock.now_s())
    if who is None:
        raise Unauthenticated("this needs a session or token that is valid", fix="log in again")
    account = _changeable(tx, who, account_id)
    call.precondition.check(account)
    rows.update(tx, account, {"password": fresh, "password_at_s": call.now_s}, call.now_s)
    logins.end_all(tx, account, "the password was changed", call.now_s, but=call.principal.token_id)
    deed = Deed(
        actor=audit.actor_of(call.principal),
        action="change_password",
        subject=account.id,
        result=Result.DONE,
        code="",
        data={"request": call.request_id},
    )
    audit.record(tx, deed, call.now_s)


def _deed(call: Call[LogInIn], account: Account | None, result: Result, code: str = "", *, subject: str = "") -> Deed:
    """Return what is noted of a log-in; of nobody's not the name, which may be a password in the wrong field."""
    who = ("nobody", "") if account is None else (account_key(account.id), account.name)
    return Deed(
        actor=Actor(key=who[0], name=who[1], token_id=None),
        action="log_in",
        subject=subject,
        result=result,
        code=code,
        data={"request": call.request_id, "address": call.address},
    )


def _session(call: Call[Nothing], row: Login) -> LoginOut:
    return LoginOut(
        **stamp(row),
        account=row.account_id,
        way=row.way,
        state=logins.state(row, call.now_s),
        address=row.address,
        agent=row.agent,
        used_at=call.services.last_used.of(row.id, row.used_at_s) or row.used_at_s,
        expires_at=row.expires_at_s,
        ended_at=row.ended_at_s,
        end_reason=row.end_reason,
        is_current=_is_current(call.principal, row),
    )
