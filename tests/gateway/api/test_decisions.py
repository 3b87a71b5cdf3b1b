"""Why a route: the latest decision, its history, and what other weights would do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from catalog import connections
from catalog.model.connection import RouteDecision
from catalog.model.ids import ConnectionId
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.api_world import ApiWorld, api_world
from tests.support.decisions import document

DECISION = document()


async def decide(world: ApiWorld, *told: dict[str, Any]) -> str:
    """Record decisions of the seeded connection, a second apart, and return the connection's path."""
    connection = ConnectionId(world.ids["connection"])

    def record(tx: Tx) -> None:
        for number, decision in enumerate(told):
            connections.record_decision(tx, connection, decision, 1_800_000_000.0 + number)

    await world.write(record)
    return f"/v1/connections/{connection}"


def test_the_latest_decision_is_told_whole(tmp_path: Path) -> None:
    """Winner, reason, the route before, the standby, profile and candidates come as they were stored."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = await decide(world, {**DECISION, "winner": "old"}, DECISION)
            told = (await world.call("platform", "GET", f"{path}/routes")).body
            assert told.pop("connection") == world.ids["connection"]
            assert told.pop("decided_at") == "2027-01-15T08:00:01Z"
            assert told.pop("standby") == {"route": "sin-1", "cost_ms": 35.0, "extra_ms": 5.0, "because": ""}
            assert told == {**{name: DECISION[name] for name in told if name != "refused"}, "refused": []}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        pytest.param({}, None, id="before there were standbys"),
        pytest.param(
            {"standby": {"route": None, "because": "all routes share hall-7"}},
            {"route": None, "cost_ms": None, "extra_ms": None, "because": "all routes share hall-7"},
            id="none, because",
        ),
    ],
)
def test_a_missing_standby_is_told_as_such(tmp_path: Path, stored: dict[str, Any], told: dict[str, Any] | None) -> None:
    """An old row says nothing about a standby; a newer one that has none says why."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = await decide(world, {"winner": "fra-1", **stored})
            answer = (await world.call("admin", "GET", f"{path}/routes")).body
            assert (answer["standby"], answer["profile"], answer["reason"]) == (told, "interactive", "")
            [decision] = (await world.call("admin", "GET", f"{path}/decisions")).body["items"]
            assert (decision["standby"], decision["cost_ms"]) == (told, None)

    asyncio.run(story())


def test_the_history_comes_newest_first_in_pages(tmp_path: Path) -> None:
    """Five decisions, read two at a time: each once, the newest first, with what its winner cost."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = await decide(world, *({**DECISION, "margin_ms": float(number)} for number in range(5)))
            seen: list[Any] = []
            token = ""
            while token is not None:
                page = (await world.call("admin", "GET", f"{path}/decisions?limit=2{token}")).body
                seen += page["items"]
                token = page["next_page_token"] and f"&page_token={page['next_page_token']}"
            assert [each["margin_ms"] for each in seen] == [4.0, 3.0, 2.0, 1.0, 0.0]
            newest = {"decided_at": "2027-01-15T08:00:04Z", "winner": "fra-1", "reason": "moved", "before": "direct"}
            newest |= {"margin_ms": 4.0, "cost_ms": 30.0, "standby": seen[1]["standby"]}
            assert seen[0] == newest

    asyncio.run(story())


def test_another_weight_is_tried_without_a_trace(tmp_path: Path) -> None:
    """At three times the loss weight fra-1 costs 20 + 30 ms and sin-1 wins with 35; the stored decision stays."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = await decide(world, DECISION)
            told = await world.call("platform", "POST", f"{path}/what-if", {"weights": {"loss": 3}})
            assert (told.status, told.body["winner"], told.body["margin_ms"]) == (200, "sin-1", 15.0)
            assert [each["cost_ms"] for each in told.body["candidates"]] == [35.0, 50.0]
            assert (told.body["weights"]["loss"], told.body["weights"]["delay"]) == (3.0, 1.0)
            assert told.body["standby"] is None  # it stood by for another route
            kept = await world.services.database.read(lambda tx: rows.where(tx, RouteDecision))
            assert [each.document for each in kept] == [DECISION]
            assert world.woken == []

    asyncio.run(story())


def test_another_profile_is_tried_likewise(tmp_path: Path) -> None:
    """For bulk a megabyte takes 80 ms over fra-1 and 160 ms over sin-1; asked for nothing new, nothing is new."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = await decide(world, DECISION)
            told = (await world.call("platform", "POST", f"{path}/what-if", {"profile": "bulk"})).body
            assert (told["profile"], told["winner"], told["margin_ms"]) == ("bulk", "fra-1", 80.0)
            same = (await world.call("platform", "POST", f"{path}/what-if", {})).body
            assert (same["winner"], same["profile"], same["margin_ms"]) == ("fra-1", "interactive", 5.0)
            assert same["standby"]["route"] == "sin-1"

    asyncio.run(story())


def test_what_cannot_be_ranked_again_says_why(tmp_path: Path) -> None:
    """Before the first decision and for an older release's 409; a wrong weight or profile 422; others' 404."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/connections/{world.ids['connection']}"
            early = await world.call("platform", "POST", f"{path}/what-if", {"weights": {"loss": 2}})
            assert (early.status, early.code) == (409, "wrong-state")
            assert early.body["fix"]
            await decide(world, {"winner": "fra-1", "weights": {"loss": 1.0}, "candidates": [{"route": "fra-1"}]})
            old = await world.call("platform", "POST", f"{path}/what-if", {"weights": {"loss": 2}})
            assert (old.status, old.code) == (409, "wrong-state")
            await decide(world, DECISION)
            for wrong, field in (
                ({"weights": {"speed": 1}}, "weights.speed"),
                ({"weights": {"loss": -1}}, "weights.loss"),
                ({"profile": "fast"}, "profile"),
            ):
                refused = await world.call("platform", "POST", f"{path}/what-if", wrong)
                assert (refused.status, refused.body["field"]) == (422, field)
            for method, what in (("POST", "what-if"), ("GET", "decisions"), ("GET", "routes")):
                assert (
                    await world.call("other", method, f"{path}/{what}", {} if what == "what-if" else None)
                ).status == 404

    asyncio.run(story())
