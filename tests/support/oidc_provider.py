"""A small OpenID Connect provider on loopback that signs real tokens; a test says what is wrong with them."""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

CLIENT, SECRET = "crossway", "the client's secret"
REDIRECT = "https://gateway.example/v1/oidc/callback"


@dataclass
class Provider:
    """What it knows, and how it misbehaves: ``claims`` replace those of the token (None: left out).

    ``signed_by`` signs instead of the published key; ``algorithm`` none signs not at all. ``asked`` counts by path.
    """

    issuer: str = ""
    now_s: float = 0.0
    keys: list[RSAKey] = field(default_factory=list)
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "s-1", "preferred_username": "Kim", "groups": []})
    claims: dict[str, Any] = field(default_factory=dict)
    signed_by: Any = None
    algorithm: str = "RS256"
    tells_issuer: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def rotate(self) -> None:
        """Publish another key in the place of the present one, and sign with it."""
        self.keys = [RSAKey.generate_key(2048, {"kid": f"key-{len(self.asked)}-{time.monotonic_ns()}", "use": "sig"})]

    def authorise(self, url: str) -> tuple[str, str]:
        """Do as a person does who agrees: return the state and the code that the browser is sent back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert (asked["client_id"], asked["redirect_uri"]) == (CLIENT, REDIRECT)
        assert "openid" in asked["scope"].split()
        code = f"code/{len(self.codes)}~{asked['nonce'][:4]}"
        self.codes[code] = asked
        return asked["state"], code

    def token(self, nonce: str) -> str:
        """Return an id token, as wrong as a test wants it."""
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": int(self.now_s),
            "exp": int(self.now_s) + 300,
            "nonce": nonce,
            **self.person,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.signed_by or self.keys[0]
        header = {"alg": self.algorithm, "kid": self.keys[0].kid}
        if self.algorithm == "none":
            parts = (json.dumps(each).encode() for each in (header, claims))
            return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts) + "."
        return jwt.encode(header, claims, key, algorithms=[self.algorithm])


@asynccontextmanager
async def oidc_provider(now_s: float) -> AsyncIterator[Provider]:
    """Serve one on loopback while the context lasts."""
    provider = Provider(now_s=now_s)
    provider.rotate()

    def count(request: web.Request) -> None:
        provider.asked[request.path] = provider.asked.get(request.path, 0) + 1

    async def configuration(request: web.Request) -> web.Response:
        count(request)
        return web.json_response(
            {
                "issuer": provider.tells_issuer or provider.issuer,
                "authorization_endpoint": f"{provider.issuer}/authorize",
                "token_endpoint": f"{provider.issuer}/token",
                "jwks_uri": f"{provider.issuer}/jwks",
                # As long as real ones are at times: it comes in several pieces.
                "scopes_supported": [f"scope-{number:06}" for number in range(14_000)],
            }
        )

    async def jwks(request: web.Request) -> web.Response:
        count(request)
        return web.json_response(KeySet(provider.keys).as_dict(private=False))

    async def token(request: web.Request) -> web.Response:
        count(request)
        form = await request.post()
        expected = base64.b64encode(f"{CLIENT}:{quote_plus(SECRET)}".encode()).decode()
        asked = provider.codes.pop(str(form["code"]), None)
        if asked is None or request.headers["Authorization"] != f"Basic {expected}":
            return web.json_response({"error": "invalid_grant"}, status=400)
        proof = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert base64.urlsafe_b64encode(proof).rstrip(b"=").decode() == asked["code_challenge"]
        assert form["redirect_uri"] == REDIRECT
        return web.json_response(
            {"access_token": "x", "token_type": "Bearer", "id_token": provider.token(asked["nonce"])}
        )

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", configuration)
    app.router.add_get("/jwks", jwks)
    app.router.add_post("/token", token)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        provider.issuer = f"http://{host}:{port}"
        yield provider
    finally:
        await runner.cleanup()


def strangers_key() -> ECKey:
    """Return a key that no provider published."""
    return ECKey.generate_key("P-256")
