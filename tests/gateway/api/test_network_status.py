"""The network status joins what is declared with what is believed, and is for admins."""

import asyncio
import math
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from catalog import network
from catalog.store.database import Tx
from tests.support.api_world import ApiWorld, api_world

LINK = {
    "source": "gateway",
    "target": "fra-1",
    "method": "icmp",
    "note": "",
    "rtt_ms": 12.5,
    "error_ms": 0.25,
    "median_ms": 12.75,
    "smoothed_ms": 13.0,
    "jitter_ms": 0.5,
    "loss_ratio": 0.01,
    "loss_least": 0.0005,
    "loss_most": 0.047,
    "sent": 99.5,
    "lost": 1.0,
    "samples": 8,
    "dead": False,
    "age_s": 4.0,
}
PROBES = {
    "packets": 120,
    "lost": 3,
    "refused": {"faster-than-light": 2},
    "limit_per_s": 50.0,
    "by_source": {"gateway": 100, "fra-1": 20},
}


async def status(world: ApiWorld) -> dict[str, Any]:
    """Return the status as an admin sees it."""
    reply = await world.call("admin", "GET", "/v1/network/status")
    assert reply.status == 200, reply.text
    return dict(reply.body)


async def links(world: ApiWorld, **query: str) -> list[dict[str, Any]]:
    """Return the first page of links as an admin sees it."""
    reply = await world.call("admin", "GET", f"/v1/network/links?{urlencode(query)}")
    assert reply.status == 200, reply.text
    return list(reply.body["items"])


def test_before_anything_is_measured_the_declared_network_is_there(tmp_path: Path) -> None:
    """Sites, relays and platforms with their sites, by name; no link, no packet, no change."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            told = await status(world)
            assert [each["name"] for each in told["sites"]] == ["fra", "sin"]
            (relay,) = told["relays"]
            assert relay == {
                "name": "fra-1",
                "site": "fra",
                "enabled": True,
                "risk": 0.0,
                "risk_groups": [],
                "host_key_mismatch_since": None,
            }
            assert told["platforms"] == [{"name": "other", "site": "fra"}, {"name": "platform", "site": "fra"}]
            assert (told["gateway_site"], told["links_alive"], told["links_dead"], told["changes"]) == (
                "home",
                0,
                0,
                {},
            )
            assert await links(world) == []
            nothing = {"packets": 0, "lost": 0, "refused": {}, "limit_per_s": None, "by_source": {}}
            assert told["probes"] == nothing

    asyncio.run(story())


def test_what_is_believed_is_told_as_it_is(tmp_path: Path) -> None:
    """Links, spending and changes come through unchanged, beside what an admin declared of the relay meanwhile."""

    async def story() -> None:
        async with api_world(tmp_path) as world:

            def declare(tx: Tx) -> None:
                network.update_relay(tx, "fra-1", {"risk": 2, "risk_groups": ["acme"], "enabled": False}, 2.0)
                network.update_site(tx, "fra", {"region": "eu", "latitude": 50.1, "longitude": 8.7}, 2.0)

            await world.write(declare)
            world.believed.update(links=[LINK], links_alive=1, links_dead=7, probes=PROBES, changes={"moved": 2})
            told = await status(world)
            assert (told["probes"], told["changes"]) == (PROBES, {"moved": 2})
            assert (told["links_alive"], told["links_dead"], await links(world)) == (1, 7, [LINK])
            [relay] = told["relays"]
            assert (relay["enabled"], relay["risk"], relay["risk_groups"]) == (False, 2.0, ["acme"])
            assert told["sites"][0] == {"name": "fra", "region": "eu", "latitude": 50.1, "longitude": 8.7}

    asyncio.run(story())


def test_a_relay_with_another_host_key_is_told_of(tmp_path: Path) -> None:
    """The alarm stands at the relay, with the time since when; one of a relay that is not declared is left out."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            world.believed["host_key_mismatches"] = {"fra-1": 1_800_000_000.0, "gone": 1_800_000_000.0}
            [relay] = (await status(world))["relays"]
            assert relay["host_key_mismatch_since"] == "2027-01-15T08:00:00Z"

    asyncio.run(story())


def test_what_nobody_knows_is_null(tmp_path: Path) -> None:
    """A link that never answered has NaN, inf or nothing where numbers would be; JSON has neither, so it says null."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            unknown = {"rtt_ms": math.nan, "error_ms": math.inf, "median_ms": None, "dead": True, "note": "refused"}
            world.believed["links"] = [{"source": "gateway", "target": "sin-1", **unknown}]
            [link] = await links(world)
            assert (link["rtt_ms"], link["error_ms"], link["median_ms"], link["age_s"]) == (None,) * 4
            assert (link["dead"], link["note"]) == (True, "refused")

    asyncio.run(story())


def test_a_page_token_that_no_page_gave_is_refused(tmp_path: Path) -> None:
    """It is a 422 that says what to do; one that was given leads to the rest."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            world.believed.update(links=[LINK], next_row=77)
            first = await world.call("admin", "GET", "/v1/network/links")
            assert first.body["next_page_token"] == "77"
            assert (await world.call("admin", "GET", "/v1/network/links?page_token=77")).status == 200
            for odd in ("-1", "x", "\u0661", "1" * 30):
                refused = await world.call("admin", "GET", f"/v1/network/links?{urlencode({'page_token': odd})}")
                assert (refused.status // 100, refused.body["field"]) == (4, "page_token"), odd

    asyncio.run(story())
