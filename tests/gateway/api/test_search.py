"""Searching through the API: one row from its price to its reasons, saved searches, exports, what is refused."""

import asyncio
from pathlib import Path
from urllib.parse import quote, urlencode

from catalog.model.consent import Grant
from catalog.model.offering import Offer
from catalog.store import rows
from tests.support.api_world import ApiWorld, Reply, api_world


async def search(world: ApiWorld, role: str = "tenant", path: str = "", **query: str) -> Reply:
    """Search as ``role``."""
    return await world.call(role, "GET", f"/v1/search{path}?{urlencode(query, quote_via=quote)}")


def test_a_search_tells_what_can_be_ordered_with_price_room_and_reasons(tmp_path: Path) -> None:
    """One size fits; it costs 0.02 EUR an hour, is labelled by an admin, and each term of its score is told."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            labelled = await world.call(
                "admin", "PUT", f"/v1/offers/{world.ids['offer-machine']}/labels", {"labels": {"tier": "gold"}}
            )
            assert (labelled.status, labelled.body["labels"]) == (200, {"tier": "gold"})
            changed = await world.call("admin", "PATCH", "/v1/sites/fra", {"country": "DE"})
            assert changed.body["country"] == "DE"
            query = {"text": "small", "os": "debian 12", "continent": "Europe", "label": "tier=gold"}
            reply = await search(world, **query, price_max="0.02", currency="EUR")
            assert reply.status == 200, reply.text
            (hit,) = reply.body["items"]
            assert (hit["item"], hit["vcpu"], hit["reachability"], hit["country"]) == ("s1", 1.0, None, "DE")
            assert (hit["price"]["amount"], hit["price"]["unit"], hit["price"]["per_hour"]) == ("0.02", "hour", 0.02)
            assert {term["name"] for term in hit["terms"]} == {"price", "fit", "availability", "reachability"}
            assert reply.body["facets"]["kind"] == {"size": 1}
            order = {"offer": hit["offer"], "size": hit["item"], "image": "debian-12"}
            assert (await world.call("tenant", "POST", "/v1/orders", order)).status == 202

    asyncio.run(story())


def test_what_a_search_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    """Unknown parameters and values that mean nothing are the caller's mistake, and named."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for query, field in (
                ({"vcpus": "1"}, "vcpus"),
                ({"vcpu_min": "x"}, "vcpu_min"),
                ({"os": "?"}, "os"),
                ({"limit": "201"}, "limit"),
                ({"page_token": "AAAA"}, "page_token"),
                ({"text": "a\nb"}, "text"),
                ({"format": "xml"}, "format"),
                ({"state": "bogus"}, "state"),
            ):
                reply = await search(world, **query)
                assert 400 <= reply.status < 500
                assert reply.body["field"] == field

    asyncio.run(story())


def test_a_saved_search_is_its_owner_s_alone_and_can_be_narrowed(tmp_path: Path) -> None:
    """The tenant finds by it, and with another bound beside it nothing; the rival does not know it."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            body = {"name": "mine", "query": {"kind": "size", "sort": "price"}}
            assert (await world.call("tenant", "POST", "/v1/saved-searches", body)).status == 201
            assert (await world.call("tenant", "POST", "/v1/saved-searches", body)).code == "already-exists"
            assert (await search(world, saved="mine")).body["total"] == 1
            assert (await search(world, saved="mine", vcpu_min="64")).body["total"] == 0
            assert (await search(world, "rival", saved="mine")).status == 404
            assert (await world.call("rival", "GET", "/v1/saved-searches")).body["items"] == []
            wrong = {"name": "wrong", "query": {"kind": "nothing"}}
            refused = await world.call("tenant", "POST", "/v1/saved-searches", wrong)
            assert (refused.status, refused.body["field"]) == (422, "kind")
            assert (await world.call("tenant", "DELETE", "/v1/saved-searches/mine")).status == 204
            assert (await search(world, saved="mine")).status == 404

    asyncio.run(story())


def test_exports_have_their_media_types(tmp_path: Path) -> None:
    """JSON, CSV and YAML, of what the same search finds."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for how, media_type in (
                ("json", "application/json"),
                ("csv", "text/csv"),
                ("backstage", "application/yaml"),
            ):
                reply = await search(world, path="/export", kind="size", format=how)
                assert reply.status == 200
                assert reply.headers["Content-Type"].startswith(media_type)
                assert "small" in reply.text

    asyncio.run(story())


def test_what_is_outside_its_grant_is_neither_listed_nor_found(tmp_path: Path) -> None:
    """A scope without the one size: counts, lists and searches are without it; another region hides the offer."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            offer = f"/v1/offers/{world.ids['offer-machine']}"

            async def narrow(scope: dict[str, list[str]]) -> None:
                def work(tx: object) -> None:
                    grant = rows.by_id(tx, Grant, world.ids["grant-machine"])  # type: ignore[arg-type]
                    rows.update(tx, grant, {"scope": scope}, world.clock.now_s())  # type: ignore[arg-type]

                await world.write(work)

            await narrow({"sizes": ["m1.*"]})
            told = (await world.call("tenant", "GET", offer)).body
            assert (told["size_count"], told["sizes"], told["image_count"]) == (0, [], 1)
            assert (await search(world, kind="size")).body["total"] == 0
            await narrow({"projects": ["bakery/*", "nobody/rival"]})
            whose = {"tenant": 200, "rival": 404, "platform": 200, "admin": 200}
            assert {role: (await world.call(role, "GET", offer)).status for role in whose} == whose
            totals = {role: (await search(world, role, kind="size")).body["total"] for role in whose}
            assert totals == {"tenant": 1, "rival": 0, "platform": 1, "admin": 1}
            assert (await world.call("rival", "GET", "/v1/offers?capability=machine")).body["items"] == []
            await narrow({"regions": ["eu-*"]})
            assert (await world.call("tenant", "GET", offer)).status == 404
            assert (await world.call("admin", "GET", offer)).status == 200
            listed = (await world.call("tenant", "GET", "/v1/offers?capability=machine")).body["items"]
            assert listed == []
            assert await world.services.database.read(lambda tx: rows.find(tx, Offer, world.ids["offer-machine"]))

    asyncio.run(story())
