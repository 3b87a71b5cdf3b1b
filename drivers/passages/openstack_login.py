"""The cloud's own token behind a passage: got with the account's credentials over the tunnel, kept, renewed."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.clouds import AccountOf, CloudAccount
from catalog.errors import CloudCredentialsRefused, CloudMisbehaved, CloudRefused, CloudUnavailable
from catalog.ports import Carrier, HttpAnswer, HttpCall
from catalog.secrets import Secret
from drivers.keystone_url import keystone_url
from drivers.passages.answers import within
from drivers.passages.openstack_catalog import Service, services

_TOKEN_LIMIT_BYTES: Final = 1024 * 1024
_JSON: Final = (("Content-Type", "application/json"), ("Accept", "application/json"), ("Accept-Encoding", "identity"))
_UNAUTHORIZED: Final = 401
_CREATED: Final = 201
_SERVER_ERRORS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudToken:
    """A token of the cloud: worth as much as the account's credentials until it expires, so a Secret."""

    text: Secret
    document: dict[str, Any] = field(repr=False)
    services: tuple[Service, ...]


class Login:
    """One log-in at the cloud, shared by all calls of a passage."""

    def __init__(self, account: AccountOf, carrier: Carrier, *, timeout_s: float) -> None:
        """Take where the account comes from (asked at each log-in, so a rotation needs nothing here) and the way."""
        self._account = account
        self._carrier = carrier
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._token: CloudToken | None = None

    async def token(self, *, refused: CloudToken | None = None) -> CloudToken:
        """Return the token; a new one when there is none yet, or when the cloud ``refused`` the present one.

        Raises CloudCredentialsRefused, CloudRefused, CloudUnavailable, CloudTimedOut, CloudMisbehaved.
        """
        async with self._turn:
            if self._token is None or self._token is refused:
                self._token = await self._log_in()
            return self._token

    async def _log_in(self) -> CloudToken:
        account = await self._account()
        base = keystone_url(account.endpoint.url)
        call = HttpCall(
            method="POST",
            url=f"{base}/v3/auth/tokens",
            headers=_JSON,
            body=json.dumps(_password(account)).encode(),
            timeout_s=self._timeout_s,
            repeatable=True,  # a second token does no harm
        )
        async with self._carrier.send(account.platform, account.endpoint, call) as answer:
            _refuse_failed(answer)
            body = b"".join([piece async for piece in within(answer.body, _TOKEN_LIMIT_BYTES)])
            text = next((value for name, value in answer.headers if name.lower() == "x-subject-token"), "")
        document = _token_of(body)
        if not text or document is None:
            raise CloudMisbehaved("the cloud's answer to the log-in holds no token")
        found = services(document, region=account.region, approved=(account.endpoint, *account.services))
        return CloudToken(text=Secret(text), document=document, services=found)


def _refuse_failed(answer: HttpAnswer) -> None:
    if answer.status == _UNAUTHORIZED:
        raise CloudCredentialsRefused("the cloud does not accept the account's credentials")
    if answer.status >= _SERVER_ERRORS:
        raise CloudUnavailable("the cloud's identity service does not work now")
    if answer.status != _CREATED:
        raise CloudRefused("the cloud refused the log-in")


def _token_of(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    token = document.get("token") if isinstance(document, dict) else None
    return token if isinstance(token, dict) else None


def _password(account: CloudAccount) -> dict[str, Any]:
    domain = {"name": account.options.get("domain", "Default")}
    user = {"name": account.account, "domain": domain, "password": account.secret.reveal()}
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": account.options["project"], "domain": domain}},
        }
    }
