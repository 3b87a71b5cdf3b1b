"""Repeats of a POST: one effect, the same answer, and no secret kept for it."""

import asyncio
import dataclasses
import hashlib
import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from catalog.errors import CloudUnavailable, InvalidValue
from catalog.model.order import IdempotencyRecord, Order
from catalog.model.tenancy import Organisation
from catalog.search.index import SearchIndex, Whole
from catalog.secrets import Sealer
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api import orders
from gateway.api.bodies import Nothing, Out
from gateway.api.endpoints import Call, Routes
from gateway.api.idempotency import KEPT_S, RUNNING, RUNNING_S, Intention, expire, request_of
from gateway.api.server import build_app, serve_app
from gateway.api.tenancy import OrganisationIn
from tests.support.api_world import ApiWorld, FixedKeys, Reply, api_world

KEY = {"Idempotency-Key": "one-intention"}
ORDER = {"offer": "platform", "size": "small", "image": "debian-12"}


class Looked(Out):
    """What was found first."""

    organisations: int


async def count(world: ApiWorld, kind: type[Order | Organisation | IdempotencyRecord]) -> int:
    """Return how many rows there are."""
    return len(await world.services.database.read(lambda tx: rows.where(tx, kind)))


def test_a_repeat_gets_the_same_answer_and_has_no_effect(tmp_path: Path) -> None:
    """The second POST with one key answers like the first, headers included, says so, and orders nothing."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            before = await count(world, Order)
            first = await world.call("tenant", "POST", "/v1/orders", ORDER, headers=KEY)
            world.woken.clear()
            again = await world.call("tenant", "POST", "/v1/orders", dict(reversed(ORDER.items())), headers=KEY)
            assert (first.status, again.status) == (202, 202)
            assert again.body == first.body
            assert again.headers["Location"] == first.headers["Location"] == f"/v1/orders/{first.body['id']}"
            assert again.headers["ETag"] == first.headers["ETag"]
            assert again.headers["Idempotency-Replayed"] == "true"
            assert "Idempotency-Replayed" not in first.headers
            assert await count(world, Order) == before + 1
            assert world.woken == []

    asyncio.run(story())


def test_the_same_key_for_something_else_is_refused(tmp_path: Path) -> None:
    """Another body, and the same body at another path, are refused with 422; so is a changed secret."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            assert (await world.call("admin", "POST", "/v1/organisations", {"name": "a"}, headers=KEY)).status == 201
            for path, body in (("/v1/organisations", {"name": "b"}), ("/v1/sites", {"name": "a"})):
                refused = await world.call("admin", "POST", path, body, headers=KEY)
                assert (refused.status, refused.code) == (422, "idempotency-key-reused")
            assert await count(world, Organisation) == 3  # the seeded two, and "a"

    asyncio.run(story())


def test_keys_of_different_callers_do_not_meet(tmp_path: Path) -> None:
    """Two tenants may use the same key; each gets an order of its own."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            answers = [await world.call(role, "POST", "/v1/orders", ORDER, headers=KEY) for role in ("tenant", "rival")]
            assert {each.status for each in answers} == {202}
            assert len({each.body["id"] for each in answers}) == 2

    asyncio.run(story())


def test_concurrent_repeats_have_one_effect(tmp_path: Path) -> None:
    """Of twenty POSTs with one key at once, one places the order and all get that order."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            before = await count(world, Order)
            answers: list[Reply] = []

            async def order() -> None:
                answers.append(await world.call("tenant", "POST", "/v1/orders", ORDER, headers=KEY))

            async with asyncio.TaskGroup() as tasks:
                for _ in range(20):
                    tasks.create_task(order())
            assert {each.status for each in answers} == {202}
            assert len({each.body["id"] for each in answers}) == 1
            assert sum("Idempotency-Replayed" not in each.headers for each in answers) == 1
            assert await count(world, Order) == before + 1

    asyncio.run(story())


def test_a_refused_post_keeps_nothing(tmp_path: Path) -> None:
    """After a refusal the same key may be used for the corrected request."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            bad = await world.call("tenant", "POST", "/v1/orders", {**ORDER, "size": "huge"}, headers=KEY)
            assert (bad.status, bad.body["field"]) == (422, "size")
            assert await count(world, IdempotencyRecord) == 0
            assert (await world.call("tenant", "POST", "/v1/orders", ORDER, headers=KEY)).status == 202

    asyncio.run(story())


def test_a_key_is_required_and_has_a_grammar(tmp_path: Path) -> None:
    """A POST without a key, or with one of odd characters or endless length, is refused and named."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            for key in ("", "two words", "x" * 256):
                reply = await world.call("tenant", "POST", "/v1/orders", ORDER, headers={"Idempotency-Key": key})
                assert (reply.status, reply.body["field"]) == (400, "Idempotency-Key")

    asyncio.run(story())


def test_a_token_is_shown_once_and_never_kept(tmp_path: Path) -> None:
    """The repeat of a POST that made a token gets everything but its text, which stands nowhere in the database."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            wanted = {"role": "admin", "name": "ci"}
            first = await world.call("admin", "POST", "/v1/tokens", wanted, headers=KEY)
            again = await world.call("admin", "POST", "/v1/tokens", wanted, headers=KEY)
            assert first.body["token"].startswith("cw_admin_")
            assert again.body == {**first.body, "token": None}

            def holds_text(tx: object) -> bool:
                raw = tx.connection().connection.driver_connection  # type: ignore[attr-defined]
                return any(first.body["token"] in line for line in raw.iterdump())

            assert not await world.services.database.read(holds_text)

    asyncio.run(story())


def test_what_is_kept_of_a_request_says_nothing_about_its_secret(tmp_path: Path) -> None:
    """Who knows all of a request but its secret, and holds the database, cannot tell a right guess from a wrong one.

    The kept text differs from every plain digest of the request, and under another sealing key it matches nothing.
    """
    request = request_of("POST", "/v1/platforms", Nothing(), {"secret": "hunter2"})
    sealer, stranger = Sealer(FixedKeys()), Sealer(OtherKeys())
    kept = sealer.fingerprint(request)
    plain = {getattr(hashlib, name)(request).hexdigest() for name in ("sha256", "sha512", "sha1", "md5")}
    assert kept.rpartition(":")[2] not in plain
    assert sealer.is_fingerprint_of(kept, request)
    assert not stranger.is_fingerprint_of(kept, request)

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await world.call("admin", "POST", "/v1/organisations", {"name": "a"}, headers=KEY)
            [record] = await world.services.database.read(lambda tx: rows.where(tx, IdempotencyRecord))
            asked = request_of("POST", "/v1/organisations", OrganisationIn(name="a"), {"name": "a"})
            assert world.services.sealer.is_fingerprint_of(record.request_hash, asked)
            assert hashlib.sha256(asked).hexdigest() not in record.request_hash

    asyncio.run(story())


class OtherKeys(FixedKeys):
    """Another key under the same id."""

    def by_id(self, key_id: str) -> bytes:
        """Return it."""
        return b"o" * len(super().by_id(key_id))


def test_an_enrolment_may_be_repeated_although_its_token_is_used_up(tmp_path: Path) -> None:
    """A platform that lost the answer learns that it is enrolled; a new key with the used token is refused."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            endpoint = {"purpose": "api", "url": "https://new.example.org", "dial": "10.9.9.9:443"}
            permit = {"platform_name": "new", "endpoints": [endpoint]}
            world.tokens["new"] = (await world.call("admin", "POST", "/v1/enrolments", permit)).body["token"]
            wanted = {"name": "new", "provider": "simulated", "site": "fra", "account": "a", "secret": "s3cret-text"}
            wanted |= {"api": {"url": "https://new.example.org"}}
            first = await world.call("new", "POST", "/v1/platforms", wanted, headers=KEY)
            again = await world.call("new", "POST", "/v1/platforms", wanted, headers=KEY)
            assert (first.status, again.status, again.body["id"]) == (201, 201, first.body["id"])
            assert again.body["token"] is None
            assert first.body["endpoints"][0]["state"] == "approved"
            other_secret = await world.call("new", "POST", "/v1/platforms", {**wanted, "secret": "x"}, headers=KEY)
            assert other_secret.code == "idempotency-key-reused"
            assert (await world.call("new", "POST", "/v1/platforms", wanted)).code == "denied"

    asyncio.run(story())


def test_work_outside_is_marked_while_it_runs_and_done_once(tmp_path: Path) -> None:
    """A reboot is asked of the cloud once, however often the POST is repeated after it ended well."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/machines/{world.ids['machine']}/actions"
            for _ in range(3):
                assert (await world.call("tenant", "POST", path, {"action": "reboot"}, headers=KEY)).status == 202
            assert [(cloud_id, action.value) for _, cloud_id, action in world.acted] == [("vm-1", "reboot")]

    asyncio.run(story())


def test_work_outside_that_failed_may_be_tried_again(tmp_path: Path) -> None:
    """When the cloud cannot be reached the answer says so with 503, and the same key tries again."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/machines/{world.ids['machine']}/actions"
            world.cloud_errors.append(CloudUnavailable("no established connection"))
            failed = await world.call("tenant", "POST", path, {"action": "stop"}, headers=KEY)
            assert (failed.status, failed.code, failed.headers["Retry-After"]) == (503, "cloud-unavailable", "5")
            assert (await world.call("tenant", "POST", path, {"action": "stop"}, headers=KEY)).status == 202
            assert len(world.acted) == 2

    asyncio.run(story())


def test_a_mark_that_a_crash_left_is_taken_over_in_the_end(tmp_path: Path) -> None:
    """While the mark is fresh a repeat gets 409 with Retry-After; once it is old, the repeat does the work."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            path = f"/v1/machines/{world.ids['machine']}/actions"
            await world.call("tenant", "POST", path, {"action": "start"}, headers=KEY)
            intention = Intention(principal=f"member:{world.ids['tenant']}", key=KEY["Idempotency-Key"], request=b"")

            def crash(tx: object) -> None:
                record = tx.get(IdempotencyRecord, (intention.principal, intention.key))  # type: ignore[attr-defined]
                rows.update(tx, record, {"status": RUNNING}, world.clock.now_s())  # type: ignore[arg-type]

            await world.write(crash)
            running = await world.call("tenant", "POST", path, {"action": "start"}, headers=KEY)
            assert (running.status, running.code, running.headers["Retry-After"]) == (409, "still-running", "5")
            world.clock.advance(RUNNING_S + 1)
            assert (await world.call("tenant", "POST", path, {"action": "start"}, headers=KEY)).status == 202
            assert len(world.acted) == 2

    asyncio.run(story())


def test_what_is_kept_is_forgotten_after_a_day(tmp_path: Path) -> None:
    """Expiry removes records that are older than a day and leaves younger ones."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await world.call("admin", "POST", "/v1/organisations", {"name": "a"})
            world.clock.advance(KEPT_S / 2)
            await world.call("admin", "POST", "/v1/organisations", {"name": "b"})
            world.clock.advance(KEPT_S / 2 + 1)
            assert await world.write(lambda tx: expire(tx, world.clock.now_s())) == 1
            assert await count(world, IdempotencyRecord) == 1

    asyncio.run(story())


def test_what_is_found_first_is_found_without_writing_and_once(tmp_path: Path) -> None:
    """It runs where a write raises; its find comes to the endpoint; a repeat finds nothing anew, not even a refusal."""
    routes, looked = Routes("lookups"), list[int]()

    def look(tx: Tx, call: Call[OrganisationIn]) -> int:
        if looked:
            raise InvalidValue("nothing is left", field="name")
        with pytest.raises(OperationalError, match=r"readonly|read-only"), tx.begin_nested():
            rows.insert(tx, Organisation(id="organisation_x", name="early"), call.now_s)  # type: ignore[arg-type]
        looked.append(len(rows.where(tx, Organisation)))
        return looked[-1]

    @routes.endpoint(
        "POST",
        "/v1/lookups",
        permission="organisation:write",
        body=OrganisationIn,
        answer=Looked,
        first=look,
        summary="Look first",
    )
    def look_first(_tx: Tx, call: Call[OrganisationIn]) -> Looked:
        return Looked(organisations=call.found)

    async def story() -> None:
        async with (
            api_world(tmp_path) as world,
            serve_app(build_app(world.services, list(routes)), "127.0.0.1:0") as url,
        ):
            world.url = url
            answers = [await world.call("admin", "POST", "/v1/lookups", {"name": "a"}, headers=KEY) for _ in range(2)]
            assert [each.body for each in answers] == [{"organisations": 2}] * 2
            assert looked == [2]
            refused = await world.call("admin", "POST", "/v1/lookups", {"name": "a"})
            assert (refused.status, refused.body["field"]) == (422, "name")

    asyncio.run(story())


def test_an_order_by_needs_searches_beside_the_writer(tmp_path: Path) -> None:
    """While the writer is held up the candidates are found all the same; then the order is placed at them."""
    needs = {"needs": {"os": "debian 12", "vcpu": 1}}
    held, searched = threading.Event(), threading.Event()

    class Watched(SearchIndex):
        def whole(self, tx: Tx, now_s: float) -> Whole:
            searched.set()
            return super().whole(tx, now_s)

    async def story() -> None:
        async with api_world(tmp_path) as world, asyncio.TaskGroup() as tasks:
            services = dataclasses.replace(world.services, search=Watched())
            async with serve_app(build_app(services, list(orders.routes)), "127.0.0.1:0") as url:
                world.url = url
                await world.call("tenant", "GET", "/v1/orders")  # so that the token's use is noted already
                writer = tasks.create_task(world.services.database.write(lambda _tx: held.wait(30)))
                order = tasks.create_task(world.call("tenant", "POST", "/v1/orders", needs))
                assert await asyncio.to_thread(searched.wait, 30)
                held.set()
                assert await writer
                assert (await order).status == 202

    asyncio.run(story())
