"""Nobody approves what he ordered himself, whichever of his programs' tokens he ordered it with."""

import asyncio
from pathlib import Path

from tests.support.api_world import ApiWorld, api_world

ORDER = {"offer": "platform", "size": "small", "image": "debian-12"}
PROJECT = "bakery/tenant"
OWN, TAKEN = 403, 200


async def made(world: ApiWorld, role: str, path: str, body: dict[str, object], name: str = "") -> str:
    """Make something as ``role`` and return its id; a token's text is kept under ``name``."""
    reply = await world.call(role, "POST", path, body)
    assert reply.status == 201, reply.text
    if name:
        world.tokens[name] = reply.body["token"]
    return str(reply.body["id"])


async def peopled(world: ApiWorld) -> None:
    """Add two owners of the project, an owner of its organisation, and a rule that asks an owner about every order."""
    for name, where in (("olga", "project"), ("otto", "project"), ("nils", "organisation")):
        await made(world, "admin", "/v1/accounts", {"kind": "user", "name": name})
        joined = {"account": name, "role": "owner", where: PROJECT if where == "project" else "bakery"}
        await made(world, "admin", "/v1/memberships", joined)
        await made(world, "admin", "/v1/tokens", {"name": "laptop", "account": name}, name)
    rule = {"name": "ask", "holder": PROJECT, "approvers": ["role:owner", "role:admin", "nils"]}
    await made(world, "admin", "/v1/approval-rules", rule)


async def asked_by(world: ApiWorld, role: str) -> str:
    """Return the question about a new order of ``role``."""
    order = await world.call(role, "POST", "/v1/orders", {**ORDER, "project": PROJECT})
    assert (order.status, order.body["state"]) == (202, "awaiting-approval"), order.text
    [question] = (await world.call("admin", "GET", f"/v1/approvals?order={order.body['id']}")).body["items"]
    return str(question["id"])


async def approved(world: ApiWorld, question: str, role: str) -> int:
    """Return how the answer of ``role`` is answered."""
    return (await world.call(role, "POST", f"/v1/approvals/{question}/approve", {})).status


def test_who_issued_a_program_s_token_does_not_approve_its_orders(tmp_path: Path) -> None:
    """Olga issued one, and with that a second: both orders are hers, and otto's to approve; his program's are his."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await peopled(world)
            robot = await made(world, "olga", "/v1/accounts", {"kind": "service", "name": "ci", "project": PROJECT})
            await made(world, "olga", "/v1/memberships", {"account": robot, "role": "member", "project": PROJECT})
            await made(world, "olga", "/v1/tokens", {"name": "first", "account": robot}, "first")
            await made(world, "first", "/v1/tokens", {"name": "second"}, "second")
            await made(world, "otto", "/v1/tokens", {"name": "third", "account": robot}, "third")
            for token, issuer, other in (
                ("first", "olga", "otto"),
                ("second", "olga", "otto"),
                ("third", "otto", "olga"),
            ):
                question = await asked_by(world, token)
                assert (await approved(world, question, issuer), await approved(world, question, other)) == (OWN, TAKEN)

    asyncio.run(story())


def test_what_a_project_s_token_orders_is_approved_by_those_above_the_project(tmp_path: Path) -> None:
    """Whoever works there may have the token: an owner of the organisation, or an admin, is asked."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await peopled(world)
            for above in ("nils", "admin"):
                question = await asked_by(world, "tenant")
                assert [await approved(world, question, name) for name in ("olga", "otto")] == [OWN, OWN]
                assert await approved(world, question, above) == TAKEN

    asyncio.run(story())


def test_a_program_that_is_asked_does_not_approve_for_who_holds_its_token(tmp_path: Path) -> None:
    """Olga orders, and her token of the program that the rule names answers nothing; otto's of the same does."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await peopled(world)
            robot = await made(world, "olga", "/v1/accounts", {"kind": "service", "name": "judge", "project": PROJECT})
            await made(world, "olga", "/v1/memberships", {"account": robot, "role": "member", "project": PROJECT})
            rule = {"name": "by program", "holder": PROJECT, "approvers": [robot]}
            await made(world, "admin", "/v1/approval-rules", rule)
            for owner in ("olga", "otto"):
                await made(world, owner, "/v1/tokens", {"name": "j", "account": robot}, f"of {owner}")
            question = await asked_by(world, "olga")
            assert [await approved(world, question, f"of {owner}") for owner in ("olga", "otto")] == [OWN, TAKEN]

    asyncio.run(story())
