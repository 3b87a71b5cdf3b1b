"""Exits over HTTP, and requests that a connector signs: where they are taken, once, and where not at all."""

import asyncio
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.messages.handshake import public_text
from catalog.messages.signed_request import authorization
from catalog.model.platform import Platform
from catalog.store import rows
from tests.support.api_world import GATEWAY_KEY, ApiWorld, Reply, api_world

KEY = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
ANNOUNCE = "/v1/exit-announcements"
PORTS = {"api": 40_000, "10.0.0.5:22": 40_001}


async def give_key(world: ApiWorld) -> None:
    """Let KEY be the one that platform "platform" enrolled with."""
    changes = {"public_key": public_text(KEY.public_key())}
    await world.write(lambda tx: rows.update(tx, rows.by_name_or_id(tx, Platform, "platform"), changes, 1.0))


def header(world: ApiWorld, method: str, path: str, body: bytes = b"") -> str:
    """Return what the connector of "platform" signs."""
    return authorization(
        KEY, gateway=GATEWAY_KEY, platform="platform", method=method, target=path, body=body, now_s=world.clock.now_s()
    )


async def signed(world: ApiWorld, method: str, path: str, body: Any = None, *, proof: str = "") -> Reply:
    """Send a request with a signature in the place of a token."""
    raw = b"" if body is None else json.dumps(body).encode()
    proof = proof or header(world, method, path, raw)
    return await world.call("stranger", method, path, raw=raw or None, headers={"Authorization": proof})


def test_a_signed_announcement_is_taken_once(tmp_path: Path) -> None:
    """It is the platform's word on its own exit; the very same request again is a stranger's."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await give_key(world)
            body = {"relay": "fra-1", "ports": PORTS}
            proof = header(world, "POST", ANNOUNCE, json.dumps(body).encode())
            taken = await signed(world, "POST", ANNOUNCE, body, proof=proof)
            assert (taken.status, taken.body["ports"]) == (200, PORTS)
            assert world.woken == ["connections", "relays"]
            again = await signed(world, "POST", ANNOUNCE, body, proof=proof)
            assert (again.status, again.code) == (401, "unauthenticated")
            changed = await signed(
                world, "POST", ANNOUNCE, {**body, "ports": {}}, proof=header(world, "POST", ANNOUNCE)
            )
            assert changed.status == 401
            assert (await world.call("platform", "GET", "/v1/exits")).body["items"][0]["ports"] == PORTS

    asyncio.run(story())


def test_a_signature_opens_nothing_but_what_says_so(tmp_path: Path) -> None:
    """Elsewhere it is as good as no token, though the platform's token would do."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await give_key(world)
            assert (await world.call("platform", "GET", "/v1/exits")).status == 200
            for method, path in (("GET", "/v1/exits"), ("GET", "/v1/whoami"), ("GET", "/v1/platforms")):
                assert (await signed(world, method, path)).status == 401

    asyncio.run(story())


def test_a_platform_announces_for_itself_and_sees_its_own(tmp_path: Path) -> None:
    """Another platform has no exit there, and sees none; an admin names the platform."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            body = {"relay": "fra-1", "ports": PORTS}
            assert (await world.call("other", "POST", ANNOUNCE, body)).status == 403
            assert (await world.call("other", "POST", ANNOUNCE, {**body, "platform": "platform"})).status == 422
            assert (await world.call("other", "GET", "/v1/exits")).body["items"] == []
            assert (await world.call("admin", "POST", ANNOUNCE, body)).status == 422
            told = await world.call("admin", "POST", ANNOUNCE, {**body, "platform": "platform"})
            assert (told.status, told.body["relay"]) == (200, "fra-1")

    asyncio.run(story())
