"""Log-in at an identity provider: what is believed of what comes back, and what it counts for here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from joserfc.jwk import OctKey, RSAKey

from catalog.external import RoleRule
from catalog.model.access import Role
from catalog.secrets import Sealer, Secret
from gateway.api.cookies import FLOW, NAME
from gateway.errors import InvalidSettings
from gateway.logins.doors import Oidc
from gateway.logins.from_settings import oidc_of
from gateway.logins.oidc import IdentityProvider, OidcPolicy
from gateway.sections import OidcRoleSettings, OidcSettings
from tests.support.api_world import ApiWorld, FixedKeys, Reply, api_world
from tests.support.clocks import ManualClock
from tests.support.oidc_provider import CLIENT, REDIRECT, SECRET, Provider, oidc_provider, strangers_key

RULES = (
    RoleRule(value="bakers", role=Role.MEMBER, project="bakery/tenant"),
    RoleRule(value="head bakers", role=Role.OWNER, project="bakery/tenant"),
    RoleRule(value="auditors", role=Role.AUDITOR),
)


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[tuple[ApiWorld, Provider]]:
    """Give an API that trusts a provider."""
    async with (
        oidc_provider(ManualClock().now_s()) as provider,
        api_world(directory, oidc=trusting(provider)) as world,
    ):
        yield world, provider


def trusting(provider: Provider) -> Oidc:
    """Return what a start makes of the settings: the provider as it is known here, and nothing remembered."""
    policy = OidcPolicy(issuer=provider.issuer, client_id=CLIENT, client_secret=Secret(SECRET), redirect_uri=REDIRECT)
    known = IdentityProvider(policy, Sealer(FixedKeys()))
    return Oidc(provider=known, issuer=provider.issuer, role_claim="groups", rules=RULES)


async def leave(world: ApiWorld) -> tuple[str, str]:
    """Begin a log-in; return where the browser is sent, and its cookie."""
    async with world.http.get(f"{world.url}/v1/oidc/login", allow_redirects=False) as response:
        assert response.status == 302
        kept = response.headers["Set-Cookie"]
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in kept.split(";")}
        return response.headers["Location"], kept.split(";")[0].removeprefix(f"{FLOW}=")


async def come_back(world: ApiWorld, state: str, code: str, binding: str, more: str = "") -> Reply:
    """Come back from the provider."""
    path = f"{world.url}/v1/oidc/callback?code={quote(code, safe='')}&state={quote(state)}{more}"
    headers = {"Cookie": f"{FLOW}={binding}"} if binding else {}
    async with world.http.get(path, headers=headers, allow_redirects=False) as response:
        return Reply(status=response.status, headers=response.headers.copy(), text=await response.text())


async def log_in(world: ApiWorld, provider: Provider) -> Reply:
    """Log in, from its beginning to its end."""
    url, binding = await leave(world)
    state, code = provider.authorise(url)
    return await come_back(world, state, code, binding)


async def who(world: ApiWorld, reply: Reply) -> dict[str, Any]:
    """Return who is let in by the cookie of ``reply``."""
    assert reply.status == 303, reply.text
    text = reply.headers["Set-Cookie"].split(";")[0].removeprefix(f"{NAME}=")
    return dict((await world.call("x", "GET", "/v1/whoami", headers={"Cookie": f"{NAME}={text}"})).body)


def test_whom_the_provider_vouches_for_is_let_in_with_the_roles_it_tells(tmp_path: Path) -> None:
    """A new account, its role from its groups at each log-in; given and taken there, and left alone elsewhere."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            first = await who(world, await log_in(world, provider))
            assert (first["name"], first["role"], first["projects"]) == ("kim", "guest", {})
            provider.person["groups"] = ["bakers", "head bakers", "others"]
            second = await who(world, await log_in(world, provider))
            assert second["account"] == first["account"]
            assert second["projects"] == {world.ids["tenant"]: "owner"}
            by_hand = {"account": first["account"], "role": "viewer", "project": "foundry/rival"}
            assert (await world.call("admin", "POST", "/v1/memberships", by_hand)).status == 201
            provider.person["groups"] = "auditors"
            third = await who(world, await log_in(world, provider))
            assert (third["role"], third["projects"]) == ("auditor", {world.ids["rival"]: "viewer"})
            provider.person["groups"] = []
            assert (await who(world, await log_in(world, provider)))["role"] == "viewer"
            await world.call("admin", "PATCH", f"/v1/accounts/{first['account']}", {"enabled": False})
            assert (await log_in(world, provider)).status == 401
            sessions = (await world.call("admin", "GET", "/v1/sessions")).body["items"]
            assert {each["way"] for each in sessions} == {"oidc", "password"}

    asyncio.run(story())


def test_nobody_becomes_somebody_by_a_name(tmp_path: Path) -> None:
    """Another subject with a known user's name or address is another account, without that user's roles."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            for claims in (
                {"sub": "s-2", "preferred_username": "mara@bakery.example"},
                {"sub": "s-3", "preferred_username": None, "email": "mara@bakery.example", "email_verified": True},
                {"sub": "s-4", "preferred_username": "account_01ABC"},
            ):
                provider.claims = claims
                found = await who(world, await log_in(world, provider))
                assert found["account"] != world.ids["mara"]
                assert (found["role"], found["projects"]) == ("guest", {})

    asyncio.run(story())


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        pytest.param({"preferred_username": "Kim"}, "kim", id="a name"),
        pytest.param({"preferred_username": "me"}, "me.", id="a word of ours"),
        pytest.param({"preferred_username": "boss@acme.example"}, "boss@acme.example.", id="an address and no proof"),
        pytest.param(
            {"preferred_username": "boss@acme.example", "email": "eve@acme.example", "email_verified": True},
            "boss@acme.example.",
            id="an address and the proof of another",
        ),
        pytest.param(
            {"preferred_username": None, "email": "boss@acme.example", "email_verified": False},
            "boss@acme.example.",
            id="not verified",
        ),
        pytest.param(
            {"preferred_username": None, "email": "boss@acme.example", "email_verified": "true"},
            "boss@acme.example.",
            id="verified in words",
        ),
        pytest.param(
            {"preferred_username": "boss@acme.example+", "email": "boss@acme.example+", "email_verified": True},
            "boss@acme.example.",
            id="an address that only looks like it",
        ),
        pytest.param(
            {"preferred_username": None, "email": "\N{KELVIN SIGN}im@acme.example", "email_verified": True},
            "kim@acme.example.",
            id="letters that become ours",
        ),
        pytest.param(
            {"preferred_username": None, "email": "Boss@acme.example", "email_verified": True},
            "boss@acme.example",
            id="an address that is proved",
        ),
    ],
)
def test_nobody_chooses_an_address_for_a_name(tmp_path: Path, claims: dict[str, Any], name: str) -> None:
    """Roles are given by names: an address is one only where the provider proved it, else it is made another."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            provider.claims = claims
            found = (await who(world, await log_in(world, provider)))["name"]
            assert found == name or (name.endswith(".") and found.startswith(name) and len(found) == len(name) + 8)

    asyncio.run(story())


def wrong(**changes: Any) -> Callable[[Provider], None]:
    """Return what changes a provider so."""

    def spoil(provider: Provider) -> None:
        for name, value in changes.items():
            setattr(provider, name, value() if callable(value) else value)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(wrong(claims={"nonce": "another"}), id="wrong nonce"),
        pytest.param(wrong(claims={"nonce": None}), id="no nonce"),
        pytest.param(wrong(claims={"aud": "another"}), id="wrong audience"),
        pytest.param(wrong(claims={"aud": ["crossway", "another"]}), id="several audiences and nobody's"),
        pytest.param(wrong(claims={"azp": "another"}), id="another client's"),
        pytest.param(wrong(claims={"iss": "https://evil.example"}), id="wrong issuer"),
        pytest.param(wrong(claims={"exp": 1_799_999_000}), id="expired"),
        pytest.param(wrong(claims={"exp": None}), id="never expires"),
        pytest.param(wrong(claims={"sub": None}), id="nobody"),
        pytest.param(wrong(algorithm="none"), id="unsigned"),
        pytest.param(wrong(algorithm="ES256", signed_by=strangers_key), id="a stranger's key"),
        pytest.param(wrong(signed_by=lambda: RSAKey.generate_key(2048)), id="another key under the known name"),
        pytest.param(wrong(algorithm="HS256", signed_by=lambda: OctKey.import_key("x" * 64)), id="a shared key"),
    ],
)
def test_what_is_not_as_it_must_be_lets_nobody_in(tmp_path: Path, spoil: Callable[[Provider], None]) -> None:
    """One thing wrong with the token, everything else right: 401, no session and no account."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            spoil(provider)
            before = len((await world.call("admin", "GET", "/v1/accounts")).body["items"])
            reply = await log_in(world, provider)
            assert (reply.status, reply.code) == (401, "unauthenticated")
            assert "Set-Cookie" not in reply.headers
            assert len((await world.call("admin", "GET", "/v1/accounts")).body["items"]) == before

    asyncio.run(story())


def test_a_log_in_ends_once_in_the_browser_in_which_it_began(tmp_path: Path) -> None:
    """A replayed code or state, another browser, a made-up state, another issuer, ten minutes later: refused."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            url, binding = await leave(world)
            state, code = provider.authorise(url)
            assert (await come_back(world, state, code, binding)).status == 303
            assert (await come_back(world, state, code, binding)).status == 401

            mine, mine_binding = await leave(world)
            theirs, theirs_binding = await leave(world)
            for begun, kept in ((mine, theirs_binding), (theirs, ""), (mine, mine_binding + "x")):
                state, code = provider.authorise(begun)
                assert (await come_back(world, state, code, kept)).status == 401
            url, binding = await leave(world)
            _, code = provider.authorise(url)
            assert (await come_back(world, "made-up", code, binding)).status == 401
            url, binding = await leave(world)
            state, used = provider.authorise(url)
            provider.codes.clear()
            assert (await come_back(world, state, used, binding)).status == 401
            url, binding = await leave(world)
            state, code = provider.authorise(url)
            mixed_up = await come_back(world, state, code, binding, more="&iss=https%3A%2F%2Fevil.example")
            assert mixed_up.status == 401
            url, binding = await leave(world)
            state, code = provider.authorise(url)
            world.clock.advance(601)
            assert (await come_back(world, state, code, binding)).status == 401

    asyncio.run(story())


def test_what_a_provider_adds_is_ignored(tmp_path: Path) -> None:
    """Parameters of its own, whatever they hold and however often, change nothing; those with a meaning stand once."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            url, flow = await leave(world)
            state, code = provider.authorise(url)
            twice = await come_back(world, state, code, flow, more="&state=another")
            assert (twice.status, twice.body["field"]) == (400, "state")
            odd = await come_back(world, state, code + "\u2028", flow)
            assert (odd.status, odd.body["field"]) == (400, "code")
            added = "&client_info=eyJ1aWQiOiIxIn0&x.y=%E2%82%AC&x.y=&limit=0&page_token=%20&session_state=a/b"
            assert (await come_back(world, state, code, flow, more=added)).status == 303
            denied = await world.call("x", "GET", "/v1/oidc/callback?error=access_denied&error_subcode=cancel")
            assert (denied.status, denied.code) == (401, "unauthenticated")

    asyncio.run(story())


def test_nobody_is_forgotten_for_the_sake_of_others_or_by_a_restart(tmp_path: Path) -> None:
    """Whoever was sent away comes back after thousands more were sent away, and to a gateway that began anew."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            url, flow = await leave(world)
            again = await leave(world)
            known = world.services.doors.oidc
            assert known is not None
            for _ in range(3000):
                await known.provider.depart(world.clock.now_s())
            state, code = provider.authorise(url)
            assert (await come_back(world, state, code, flow)).status == 303
            world.services.doors.oidc = trusting(provider)
            state, code = provider.authorise(again[0])
            assert (await come_back(world, state, code, again[1])).status == 303

    asyncio.run(story())


def test_a_new_key_of_the_provider_is_found(tmp_path: Path) -> None:
    """After it changed its key the next log-in succeeds; rubbish makes us ask for keys no more than now and then."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            await who(world, await log_in(world, provider))
            provider.rotate()
            await who(world, await log_in(world, provider))
            asked = provider.asked["/jwks"]
            provider.signed_by = RSAKey.generate_key(2048)
            for _ in range(3):
                assert (await log_in(world, provider)).status == 401
            assert provider.asked["/jwks"] == asked

    asyncio.run(story())


def test_a_provider_that_is_another_or_away_lets_nobody_in(tmp_path: Path) -> None:
    """Metadata that name another issuer, and none at all, are 503; without a provider there is nothing here."""

    async def story() -> None:
        async with stage(tmp_path) as (world, provider):
            provider.tells_issuer = "https://evil.example"
            reply = await world.call("x", "GET", "/v1/oidc/login")
            assert (reply.status, reply.code) == (503, "identity-provider-unreachable")
        (tmp_path / "alone").mkdir()
        async with api_world(tmp_path / "alone") as world:
            assert (await world.call("x", "GET", "/v1/oidc/login")).status == 404

    asyncio.run(story())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"client_id": ""}, "oidc.client_id"),
        ({"redirect_uri": ""}, "oidc.redirect_uri"),
        ({"client_secret_file": Path("missing")}, "oidc.client_secret_file"),
        ({"roles": (OidcRoleSettings(value="x", role="member"),)}, "oidc.roles[0].project"),
        ({"roles": (OidcRoleSettings(value="x", role="admin", project="a/b"),)}, "oidc.roles[0].project"),
    ],
)
def test_settings_that_are_not_whole_are_refused(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    """What is missing is named; whole ones make a provider, and a secret that others may read is none."""
    secret, sealer = tmp_path / "oidc.secret", Sealer(FixedKeys())
    secret.touch(mode=0o600)
    whole = OidcSettings(issuer="https://id.example", client_id="c", redirect_uri=REDIRECT)
    assert oidc_of(whole, tmp_path, sealer) is not None
    assert oidc_of(OidcSettings(), tmp_path, sealer) is None
    with pytest.raises(InvalidSettings) as refused:
        oidc_of(whole.model_copy(update=changes), tmp_path, sealer)
    assert refused.value.field == field
    secret.chmod(0o640)
    with pytest.raises(InvalidSettings):
        oidc_of(whole, tmp_path, sealer)
