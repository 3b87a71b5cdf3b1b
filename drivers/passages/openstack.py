"""OpenStack for the holder of a passage: it logs in here, and its calls go on with the cloud's own token.

The holder has an application credential and a token that only this passage knows. It is told the cloud's catalog with
every URL leading here; links in answers are told likewise, so that clients which follow them stay in the passage.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from catalog.clouds import AccountOf
from catalog.errors import CloudCredentialsRefused, CloudMisbehaved, CloudRefused, Denied
from catalog.ports import Asked, Carrier, Clock, HttpAnswer, HttpCall, PassageCall, PassageTerms
from drivers.passages import openstack_calls as calls
from drivers.passages.answers import one_piece, within
from drivers.passages.links import LinkRewriter
from drivers.passages.openstack_catalog import beginnings, told_catalog, told_token, told_versions
from drivers.passages.openstack_login import CloudToken, Login

_JSON: Final = "application/json"
_SENT: Final = frozenset({"accept", "openstack-api-version", "x-openstack-nova-api-version"})
_TOLD: Final = frozenset(
    {
        "content-type",
        "openstack-api-version",
        "x-openstack-nova-api-version",
        "x-openstack-request-id",
        "x-compute-request-id",
        "vary",
        "retry-after",
    }
)
_UNAUTHORIZED: Final = 401
_MULTIPLE_CHOICES: Final = 300
_TITLES: Final[Mapping[int, str]] = {401: "Unauthorized", 403: "Forbidden", 413: "Request Entity Too Large"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStackPassage:
    """catalog.ports.NativePassage for a project of an OpenStack cloud."""

    terms: PassageTerms
    account: AccountOf
    carrier: Carrier
    clock: Clock
    login: Login

    @property
    def _token(self) -> str:
        # Derived, so that the passage keeps one secret; whoever has the token cannot get the secret back from it.
        return hmac.digest(self.terms.secret.reveal().encode(), b"token", hashlib.sha256).hex()

    def environment(self) -> Mapping[str, str]:
        """Return what the openstack command line and the SDK read."""
        return {
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_AUTH_URL": f"{self.terms.address}/identity/v3",
            "OS_APPLICATION_CREDENTIAL_ID": self.terms.passage,
            "OS_APPLICATION_CREDENTIAL_SECRET": self.terms.secret.reveal(),
            "OS_REGION_NAME": self.terms.region,
            "OS_INTERFACE": "public",
            "OS_IDENTITY_API_VERSION": "3",
            # No file of the user's that names another cloud.
            "OS_CLIENT_CONFIG_FILE": "/dev/null",
        }

    def is_from_holder(self, call: PassageCall) -> bool:
        """Whether the call brings this passage's token, or its credential to get one, or asks for versions only."""
        try:
            at = calls.place(call)
            if calls.is_token_request(call, at):
                return self._has_credential(call)
        except Denied:
            return False
        if calls.is_discovery(call, at):
            return True
        told = [value for name, value in call.headers if name.lower() == "x-auth-token"]
        return len(told) == 1 and hmac.compare_digest(told[0].encode(), self._token.encode())

    def asked(self, call: PassageCall) -> Asked:
        """Return what the call needs."""
        return calls.asked(call)

    @asynccontextmanager
    async def send(self, call: PassageCall) -> AsyncIterator[HttpAnswer]:
        """Answer log-ins and Keystone's versions here, and the rest as the cloud does."""
        at = calls.place(call)
        if at.service == calls.IDENTITY:
            yield await self._of_identity(call, at)
            return
        token = await self.login.token()
        async with self._forwarded(call, at, token) as answer:
            if answer.status != _UNAUTHORIZED:
                yield answer
                return
        # It has expired, or was revoked; a call that was refused for that did nothing, so it may be sent again.
        async with self._forwarded(call, at, await self.login.token(refused=token)) as answer:
            if answer.status == _UNAUTHORIZED:
                raise CloudCredentialsRefused("the cloud does not accept the token that it gave the gateway")
            yield answer

    def refusal(self, call: PassageCall, *, status: int, message: str) -> HttpAnswer:
        """Return an error in the form that every OpenStack client reads."""
        del call
        error = {"code": status, "title": _TITLES.get(status, "Error"), "message": message}
        return one_piece(status, _JSON, json.dumps({"error": error}).encode())

    def _has_credential(self, call: PassageCall) -> bool:
        credential: Any = calls.document(call)
        for name in ("auth", "identity", "application_credential"):
            credential = credential.get(name) if isinstance(credential, dict) else None
        if not isinstance(credential, dict):
            return False
        told = (str(credential.get("id", "")), str(credential.get("secret", "")))
        wanted = (self.terms.passage, self.terms.secret.reveal())
        # JSON can hold halves of characters, which no encoding has.
        pairs = [[text.encode(errors="surrogatepass") for text in pair] for pair in zip(told, wanted, strict=True)]
        return all(hmac.compare_digest(*pair) for pair in pairs)

    async def _of_identity(self, call: PassageCall, at: calls.Place) -> HttpAnswer:
        if calls.is_discovery(call, at):
            whole = at.path in {"", "/"}
            body = told_versions(self.terms.address, whole=whole)
            return one_piece(_MULTIPLE_CHOICES if whole else 200, _JSON, json.dumps(body).encode())
        token = await self.login.token()
        catalog = told_catalog(token.services, address=self.terms.address, region=self.terms.region)
        if call.method == "GET":
            return one_piece(200, _JSON, json.dumps({"catalog": catalog}).encode())
        told = told_token(token.document, catalog, now_s=self.clock.now_s(), expires_at_s=self.terms.expires_at_s)
        return one_piece(201, _JSON, json.dumps(told).encode(), (("X-Subject-Token", self._token),))

    @asynccontextmanager
    async def _forwarded(self, call: PassageCall, at: calls.Place, token: CloudToken) -> AsyncIterator[HttpAnswer]:
        service = next((each for each in token.services if each.type == at.service), None)
        if service is None or service.endpoint is None:
            raise CloudRefused(f"the cloud has no service '{at.service}' under an approved endpoint")
        account = await self.account()
        rewriter = LinkRewriter(beginnings(token.services, self.terms.address))
        out = self._outgoing(call, f"{service.root}{at.path}", token)
        async with self.carrier.send(account.platform, service.endpoint, out) as answer:
            if any(name.lower() == "content-encoding" for name, _ in answer.headers):
                raise CloudMisbehaved("the cloud sent an encoding that was not asked for")
            body = within(answer.body, self.terms.answer_limit_bytes)
            headers = [pair for pair in answer.headers if pair[0].lower() in _TOLD]
            headers += [(name, rewriter.url(url)) for name, url in answer.headers if name.lower() == "location"]
            is_json = any(name.lower() == "content-type" and _JSON in value for name, value in headers)
            told = _rewritten(body, rewriter) if is_json else body
            yield HttpAnswer(status=answer.status, headers=tuple(headers), body=told)

    def _outgoing(self, call: PassageCall, url: str, token: CloudToken) -> HttpCall:
        headers = [pair for pair in call.headers if pair[0].lower() in _SENT]
        headers += [("Accept-Encoding", "identity"), ("X-Auth-Token", token.text.reveal())]
        body = b""
        if call.body:
            # Written anew: the cloud reads exactly what was checked.
            body = json.dumps(calls.document(call)).encode()
            headers.append(("Content-Type", _JSON))
        return HttpCall(
            method=call.method,
            url=f"{url}?{calls.query(call)}" if call.query else url,
            headers=tuple(headers),
            body=body,
            timeout_s=self.terms.call_timeout_s,
            repeatable=call.method == "GET",
        )


def openstack_passage(terms: PassageTerms, account: AccountOf, carrier: Carrier, clock: Clock) -> OpenStackPassage:
    """Return a passage; nothing is sent yet."""
    return OpenStackPassage(
        terms=terms,
        account=account,
        carrier=carrier,
        clock=clock,
        login=Login(account, carrier, timeout_s=terms.call_timeout_s),
    )


async def _rewritten(body: AsyncIterator[bytes], rewriter: LinkRewriter) -> AsyncIterator[bytes]:
    async for piece in body:
        if told := rewriter.feed(piece):
            yield told
    if rest := rewriter.end():
        yield rest
