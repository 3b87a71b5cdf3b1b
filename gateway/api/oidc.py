"""Log-in at an identity provider, for browsers: sent there, and back with a session in a cookie."""

from typing import Any

from catalog import audit, external, logins
from catalog.audit import Actor, Deed, Result
from catalog.errors import NotFound
from catalog.model.access import Login, account_key
from catalog.store.database import Tx
from gateway.api import cookies
from gateway.api.bodies import Nothing
from gateway.api.endpoints import Call, Door, Filter, Raw, Routes
from gateway.errors import Unauthenticated
from gateway.logins.doors import Oidc
from gateway.logins.oidc import ProviderUnreachable

routes = Routes("sessions")

HOME = "/"
_TEXT = r"^[ -~]{0,4096}$"  # RFC 6749, appendix A: these are the provider's to choose


@routes.probe(
    "/v1/oidc/login",
    door=Door.ANYONE,
    errors=(NotFound, ProviderUnreachable),
    summary="Send a browser to the identity provider to log in",
    media_type="text/plain",
)
async def begin_oidc(call: Call[Nothing]) -> Raw:
    """Send it away, with a cookie by which it is known when it comes back."""
    departure = await _oidc(call).provider.depart(call.now_s)
    headers = {"Location": departure.url, "Set-Cookie": cookies.flow(departure.flow)}
    return Raw(body=b"", status=302, content_type="text/plain", headers=headers)


@routes.probe(
    "/v1/oidc/callback",
    door=Door.ANYONE,
    filters={
        "code": Filter(meaning="What is exchanged for the id token.", pattern=_TEXT),
        "state": Filter(meaning="What the browser was sent away with.", pattern=_TEXT),
        "iss": Filter(meaning="The provider (RFC 9207).", pattern=_TEXT),
        "error": Filter(meaning="Why the provider let nobody in.", pattern=_TEXT),
    },
    ignores_unknown=True,  # RFC 6749, 4.1.2 and 4.1.2.1
    errors=(NotFound, Unauthenticated, ProviderUnreachable),
    summary="Where the identity provider sends the browser back to",
    media_type="text/plain",
)
async def end_oidc(call: Call[Nothing]) -> Raw:
    """Let it in if the provider vouches for it, and send it home."""
    oidc, told = _oidc(call), call.filters
    if "code" not in told:
        raise Unauthenticated("the identity provider let nobody in", fix="log in anew", detail=told.get("error", ""))
    claims = await oidc.provider.arrive(
        state=told.get("state", ""), code=told["code"], flow=call.flow, issuer=told.get("iss", ""), now_s=call.now_s
    )
    login, text = await call.services.database.write(lambda tx: _welcome(tx, call, oidc, claims))
    headers = {"Location": HOME, "Set-Cookie": cookies.setting(text, login.expires_at_s - call.now_s)}
    return Raw(body=b"", status=303, content_type="text/plain", headers=headers)


def _welcome(tx: Tx, call: Call[Nothing], oidc: Oidc, claims: Any) -> tuple[Login, str]:
    account = external.welcome(
        tx, issuer=oidc.issuer, claims=claims, role_claim=oidc.role_claim, rules=oidc.rules, now_s=call.now_s
    )
    if account is None:
        raise Unauthenticated("the log-in at the identity provider is not valid", fix="ask an admin", detail="disabled")
    login, text = logins.begin(
        tx,
        account,
        way="oidc",
        address=call.address,
        agent=call.agent,
        policy=call.services.doors.logins,
        now_s=call.now_s,
    )
    deed = Deed(
        actor=Actor(key=account_key(account.id), name=account.name, token_id=None),
        action="end_oidc",
        subject=login.id,
        result=Result.DONE,
        data={"request": call.request_id, "address": call.address},
    )
    audit.record(tx, deed, call.now_s)
    return login, text


def _oidc(call: Call[Nothing]) -> Oidc:
    if call.services.doors.oidc is None:
        raise NotFound("there is no identity provider here", fix="[oidc] in the settings names one")
    return call.services.doors.oidc
