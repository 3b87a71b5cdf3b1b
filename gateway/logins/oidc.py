"""Log-in at an identity provider: OpenID Connect Core 1.0, authorisation code with PKCE (RFC 7636, RFC 9700).

What somebody was sent away with belongs to one browser, for ten minutes and once: see ``flows``. What comes back is
believed for its signature by a key of the provider's, and for iss, aud, azp, exp and nonce; algorithms are named here
and not by the token.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from catalog.secrets import Sealer, Secret
from gateway.errors import GatewayError, Unauthenticated
from gateway.logins.flows import Flows

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_KEPT_S = 3600.0  # what the provider says of itself
_KEYS_AGAIN_S = 30.0  # an unknown key makes us look again, no more often than this
_ANSWER_BYTES = 262_144
_LEEWAY_S = 30


class ProviderUnreachable(GatewayError):
    """The identity provider did not answer as one does; the log-in may be tried again."""

    code = "identity-provider-unreachable"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcPolicy:
    """Who the provider is, and who we are there."""

    issuer: str
    client_id: str
    client_secret: Secret
    redirect_uri: str
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Where the browser is sent, and what it keeps meanwhile."""

    url: str
    flow: str


@dataclass(slots=True)
class _Known:
    """What the provider says of itself, and its keys."""

    metadata: Mapping[str, Any]
    keys: KeySet
    at_s: float
    keys_at_s: float = field(default=0.0)


class IdentityProvider:
    """One provider; nothing is asked of it before somebody logs in."""

    def __init__(self, policy: OidcPolicy, sealer: Sealer) -> None:
        """Prepare for ``policy``; with ``sealer`` is sealed what browsers keep."""
        self._policy = policy
        self._flows = Flows(sealer)
        self._known: _Known | None = None

    async def depart(self, now_s: float) -> Departure:
        """Return where to send a browser that wants to log in. Raises ProviderUnreachable."""
        known = await self._about(now_s)
        flow, kept = self._flows.begin(now_s)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._policy.client_id,
            "redirect_uri": self._policy.redirect_uri,
            "scope": "openid profile email",
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return Departure(url=f"{known.metadata['authorization_endpoint']}?{urlencode(asked)}", flow=kept)

    async def arrive(self, *, state: str, code: str, flow: str, issuer: str, now_s: float) -> Mapping[str, Any]:
        """Return the claims of whoever came back with ``code``, in the browser that keeps ``flow``.

        Each departure is taken once. Raises Unauthenticated, which does not say why, or ProviderUnreachable.
        """
        begun = self._flows.take(flow, state, now_s)
        if begun is None:
            raise _refused("this log-in was not begun in this browser, or too long ago, or is over already")
        if issuer and issuer != self._policy.issuer:  # RFC 9207: another provider's answer
            raise _refused("the answer comes from another identity provider")
        known = await self._about(now_s)
        answer = await self._exchange(known, code, begun.verifier)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderUnreachable("the identity provider gave no id token")
        return await self._claims(known, token, begun.nonce, now_s)

    async def _claims(self, known: _Known, token: str, nonce: str, now_s: float) -> Mapping[str, Any]:
        try:
            decoded = await self._decoded(known, token, now_s)
            registry = jwt.JWTClaimsRegistry(
                now=int(now_s),
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self._policy.issuer},
                aud={"essential": True, "value": self._policy.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            registry.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            raise _refused(type(error).__name__) from error
        claims: Mapping[str, Any] = decoded.claims
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (several or "azp" in claims) and claims.get("azp") != self._policy.client_id:
            raise _refused("it was given to another client")
        return claims

    async def _decoded(self, known: _Known, token: str, now_s: float) -> jwt.Token:
        try:
            return jwt.decode(token, known.keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            # The provider may have new keys; whoever sends rubbish does not make us ask all the time.
            if now_s - known.keys_at_s < _KEYS_AGAIN_S:
                raise
            known.keys, known.keys_at_s = await self._keys(known.metadata), now_s
            return jwt.decode(token, known.keys, algorithms=ALGORITHMS)

    async def _about(self, now_s: float) -> _Known:
        if self._known is None or now_s - self._known.at_s > _KEPT_S:
            url = self._policy.issuer.rstrip("/") + "/.well-known/openid-configuration"
            metadata = await self._asked("GET", url)
            if metadata.get("issuer") != self._policy.issuer:
                raise ProviderUnreachable("the identity provider says that it is another one")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                _require_safe(metadata.get(name), self._policy.issuer)
            self._known = _Known(metadata=metadata, keys=await self._keys(metadata), at_s=now_s)
        return self._known

    async def _keys(self, metadata: Mapping[str, Any]) -> KeySet:
        found = await self._asked("GET", str(metadata["jwks_uri"]))
        try:
            public = [each for each in found["keys"] if each.get("kty") in {"RSA", "EC", "OKP"}]
            return KeySet.import_key_set({"keys": public})
        except (JoseError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProviderUnreachable("the identity provider's keys cannot be read") from error

    async def _exchange(self, known: _Known, code: str, verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._policy.redirect_uri,
            "code_verifier": verifier,
        }
        # Both are form-encoded before they are joined (RFC 6749, 2.3.1): either may hold a colon.
        parts = (self._policy.client_id, self._policy.client_secret.reveal())
        proof = base64.b64encode(":".join(quote_plus(each) for each in parts).encode()).decode()
        headers = {"Authorization": f"Basic {proof}"}
        return await self._asked("POST", str(known.metadata["token_endpoint"]), data=form, headers=headers)

    async def _asked(self, method: str, url: str, **options: Any) -> Mapping[str, Any]:
        """Return the JSON object at ``url``: no redirects, no endless answer, in time."""
        timeout = aiohttp.ClientTimeout(total=self._policy.timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.request(method, url, allow_redirects=False, **options) as response,
            ):
                raw = await _body(response)
                if method == "POST" and response.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}:
                    raise _refused("the identity provider does not take the code")
                if response.status != HTTPStatus.OK or len(raw) > _ANSWER_BYTES:
                    raise ProviderUnreachable(f"the identity provider answered {response.status}")
            found = json.loads(raw)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ProviderUnreachable("the identity provider does not answer as one does") from error
        if not isinstance(found, dict):
            raise ProviderUnreachable("the identity provider does not answer as one does")
        return found


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body, in however many pieces it comes; of one that is too long, a little more than may be."""
    raw = bytearray()
    async for piece in response.content.iter_any():
        raw += piece
        if len(raw) > _ANSWER_BYTES:
            break
    return bytes(raw)


def _require_safe(url: object, issuer: str) -> None:
    """Raise ProviderUnreachable for an endpoint without TLS, unless the issuer itself is on this host without it."""
    if not isinstance(url, str) or not (url.startswith("https://") or issuer.startswith("http://")):
        raise ProviderUnreachable("the identity provider names an endpoint without TLS")


def _refused(detail: str) -> Unauthenticated:
    return Unauthenticated("the log-in at the identity provider is not valid", fix="log in anew", detail=detail)
