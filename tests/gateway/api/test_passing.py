"""Calls in passages over HTTP: proved by the passage's key, asked of the grants, counted, written down, and cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest

from catalog import connections, consent, platforms
from catalog.connections import sessions
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant
from catalog.model.ids import ConnectionId
from catalog.model.platform import Platform
from catalog.ports import HttpAnswer, HttpCall
from catalog.secrets import Secret
from catalog.store import rows
from catalog.store.database import Database, Tx
from drivers import registry
from drivers.passages import sigv4
from drivers.passages.answers import one_piece
from gateway.api.services import ApiLimits
from gateway.connections.passages import OpenPassages
from gateway.connections.passing import Passing, PassingPolicy
from tests.support.api_world import CANARY, ApiWorld, Reply, api_world
from tests.support.passage_terms import MemoryCarrier
from tests.support.waiting import until

REGION = "eu-central-1"
LISTING = {"Action": "DescribeInstances"}


class World:
    """An API with one EC2 platform whose owner granted machine: list, start and create, and a passage into it."""

    def __init__(self, api: ApiWorld, passages: OpenPassages, carrier: MemoryCarrier) -> None:
        self.api, self.passages, self.carrier = api, passages, carrier
        self.opened: dict[str, Any] = {}

    async def open(self, role: str = "admin", **more: Any) -> Reply:
        """Open a passage, and keep what is told of it."""
        body = {"platform": "platform", "purpose": "aws", "gateway_url": self.api.url, **more}
        reply = await self.api.call(role, "POST", "/v1/passages", body)
        if reply.status == 201:
            self.opened = reply.body
        return reply

    async def call(self, parameters: dict[str, str], *, key: str = "", path: str = "/") -> Reply:
        """Make a call as the aws command does."""
        told = self.opened["environment"]
        address = told["AWS_ENDPOINT_URL"]
        request = sigv4.Request(
            method="POST",
            path=urlsplit(address).path + path,
            query="",
            headers=(("Host", urlsplit(address).netloc), ("Content-Type", "application/x-www-form-urlencoded")),
            body=urlencode(parameters).encode(),
        )
        headers = sigv4.sign(
            request,
            key=told["AWS_ACCESS_KEY_ID"],
            secret=key or told["AWS_SECRET_ACCESS_KEY"],
            region=REGION,
            service="ec2",
            now_s=self.api.clock.now_s(),
        )
        async with self.api.http.post(address + path, data=request.body, headers=dict(headers)) as answer:
            return Reply(status=answer.status, headers=answer.headers.copy(), text=await answer.text())

    async def kept(self) -> list[tuple[str, str, bool, int | None]]:
        """Return what was written down of the calls, the oldest first."""
        reply = await self.api.call("admin", "GET", f"/v1/passages/{self.opened['id']}/calls")
        return [(e["what"], e["capability"], e["refused"], e["status"]) for e in reversed(reply.body["items"])]

    async def write(self, work: Callable[[Tx], object]) -> None:
        """Change the database as an endpoint does."""
        await self.api.write(work)
        self.passages.wake()

    def grant(self, tx: Tx) -> Grant:
        """Return the machine grant."""
        return rows.by_id(tx, Grant, self.api.ids["grant-machine"])


@asynccontextmanager
async def world(tmp_path: Path, *, calls_limit: int = 32) -> AsyncIterator[World]:
    """Serve the world; the passages are reviewed only when something wakes them."""
    carrier = MemoryCarrier(lambda _: one_piece(200, "text/xml", b"<DescribeInstancesResponse/>"))
    held: list[OpenPassages] = []

    def passing(database: Database, clock: Any, sealer: Any) -> Passing:
        held.append(OpenPassages(database, clock, review_s=3600))
        return Passing(
            database=database,
            clock=clock,
            sealer=sealer,
            carrier=carrier,
            passages=held[0],
            open_native=registry.native_passage,
            policy=PassingPolicy(calls_limit=calls_limit),
        )

    async with api_world(tmp_path, passing=passing, limits=ApiLimits(passage_body_bytes=100_000)) as api:
        await api.write(lambda tx: _prepare(tx, api))
        async with asyncio.TaskGroup() as tasks:
            review = tasks.create_task(held[0].run())
            try:
                yield World(api, held[0], carrier)
            finally:
                review.cancel()


def _prepare(tx: Tx, api: ApiWorld) -> None:
    now_s = api.clock.now_s()
    platform = rows.by_id(tx, Platform, api.ids["platform"])
    rows.update(tx, platform, {"provider": "ec2", "region": REGION}, now_s)
    connection = rows.by_id(tx, Connection, api.ids["connection"])
    rows.update(tx, connection, {"state": ConnectionState.ESTABLISHED}, now_s)
    connections.open_sessions(
        tx, connection, gateway_account="g", transport_account="t", target_account="a", now_s=now_s
    )
    grant = rows.by_id(tx, Grant, api.ids["grant-machine"])
    rows.update(tx, grant, {"verbs": ["list", "start", "create"]}, now_s)


def run(tmp_path: Path, story: Callable[[World], Awaitable[None]], **options: Any) -> None:
    """Run ``story`` in the world."""

    async def main() -> None:
        async with world(tmp_path, **options) as made:
            await story(made)

    asyncio.run(main())


def test_a_granted_call_is_answered_counted_and_written_down(tmp_path: Path) -> None:
    """The cloud gets it signed by the account; passage and all three sessions count it; nobody sees a secret."""

    async def story(it: World) -> None:
        opened = await it.open()
        reply = await it.call(LISTING)
        assert (reply.status, reply.text) == (200, "<DescribeInstancesResponse/>")
        assert (reply.headers["Cache-Control"], "X-Request-Id" in reply.headers) == ("no-store", True)
        (sent,) = it.carrier.sent
        assert sent.url.startswith("https://platform.example.org/")
        assert await it.kept() == [("ec2 DescribeInstances", "machine:list", False, 200)]
        await it.passages.review()
        seen = (await it.api.call("admin", "GET", f"/v1/passages/{it.opened['id']}")).body
        assert (seen["calls"], seen["bytes_in"], seen["bytes_out"]) == (1, 24, 28)
        counted = await it.api.write(lambda tx: sessions(tx, ConnectionId(it.api.ids["connection"])))
        assert [session.calls for session in counted] == [1, 1, 1]
        assert CANARY not in opened.text + reply.text + str(it.carrier.sent)
        assert it.opened["environment"]["AWS_SECRET_ACCESS_KEY"] not in str(seen)

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"Action": "StopInstances", "InstanceId.1": "i-1"}, "'stop' of 'machine' is not granted"),
        ({"Action": "DescribeVolumes"}, "'list' of 'volume' is not granted"),
        ({"Action": "CreateUser"}, "no capability covers the action 'CreateUser'"),
        ({"Action": "RunInstances", "IamInstanceProfile.Name": "x"}, "a machine with 'IamInstanceProfile.Name' goes"),
    ],
)
def test_what_is_not_granted_is_refused_in_the_cloud_s_words(
    tmp_path: Path, parameters: dict[str, str], said: str
) -> None:
    """Nothing is sent; the refusal is EC2's own error, and it is written down."""

    async def story(it: World) -> None:
        await it.open()
        reply = await it.call(parameters)
        assert reply.status == 403
        assert f"<Code>UnauthorizedOperation</Code><Message>{said}" in reply.text
        assert it.carrier.sent == []
        ((_, _, refused, status),) = await it.kept()
        assert (refused, status) == (True, 403)

    run(tmp_path, story)


@pytest.mark.parametrize(
    "limit",
    [{"quota": 5}, {"cores": 8}, {"memory_gib": 64}, {"scope": {"sizes": ["small"]}}],
    ids=str,
)
def test_a_quota_leaves_creating_to_orders(tmp_path: Path, limit: dict[str, object]) -> None:
    """Without a quota a machine may be created natively, with one it may not, because nobody would count it."""

    async def story(it: World) -> None:
        await it.open()
        create = {"Action": "RunInstances", "ImageId": "ami-1", "MinCount": "1", "MaxCount": "1"}
        assert (await it.call(create)).status == 200
        await it.write(lambda tx: rows.update(tx, it.grant(tx), limit, 0))
        reply = await it.call(create)
        assert (reply.status, "created by orders" in reply.text) == (403, True)
        assert (await it.call(LISTING)).status == 200

    run(tmp_path, story)


def test_calls_beyond_those_of_a_minute_are_refused_and_not_sent(tmp_path: Path) -> None:
    """The cloud's own error says when there is another; it is written down, and in a minute the next one passes."""

    async def story(it: World) -> None:
        await it.open()
        await it.write(lambda tx: rows.update(tx, it.grant(tx), {"calls_per_minute": 1}, 0))
        assert (await it.call(LISTING)).status == 200
        reply = await it.call(LISTING)
        assert (reply.status, "1 calls of 'machine' a minute (again in 60 s)" in reply.text) == (429, True)
        assert len(it.carrier.sent) == 1
        assert [each[2:] for each in await it.kept()].count((True, 429)) == 1
        it.api.clock.advance(60)
        assert (await it.call(LISTING)).status == 200

    run(tmp_path, story)


def test_only_the_holder_s_key_is_let_in(tmp_path: Path) -> None:
    """Another key is refused as EC2 refuses one; a bearer token of ours opens nothing; an unknown passage is a 404."""

    async def story(it: World) -> None:
        await it.open()
        reply = await it.call(LISTING, key="another")
        assert (reply.status, "<Code>AuthFailure</Code>" in reply.text) == (401, True)
        bearer = await it.api.call("admin", "GET", f"/passages/{it.opened['id']}/?Action=DescribeInstances")
        assert bearer.status == 401
        for path in ("/passages/passage_none/", f"/passages/{it.opened['id']}x", "/passages/" + "x" * 300):
            assert (await it.api.call("admin", "GET", path)).status == 404
        assert it.carrier.sent == []
        assert await it.kept() == []

    run(tmp_path, story)


async def close(it: World) -> None:
    """Close the passage."""
    assert (await it.api.call("admin", "DELETE", f"/v1/passages/{it.opened['id']}")).status == 200
    assert "passages" in it.api.woken


async def revoke(it: World) -> None:
    """Revoke the grant."""
    before = len(it.api.woken)
    await it.api.call("platform", "POST", f"/v1/grants/{it.api.ids['grant-machine']}/revoke")
    assert "passages" in it.api.woken[before:]


async def narrow(it: World) -> None:
    """Take the verb away."""
    await it.api.write(lambda tx: rows.update(tx, it.grant(tx), {"verbs": ["start"]}, 0))


@pytest.mark.parametrize("deed", [close, revoke, narrow])
@pytest.mark.parametrize("begun", [pytest.param(True, id="in the answer"), pytest.param(False, id="before the answer")])
def test_a_running_listing_is_cut_at_once(
    tmp_path: Path, deed: Callable[[World], Awaitable[None]], *, begun: bool
) -> None:
    """The cloud would never finish: before its answer the holder is refused, within it the connection breaks."""
    asked = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"<DescribeInstancesResponse>"
        asked.set()
        await asyncio.Event().wait()

    def listing(_call: HttpCall) -> HttpAnswer:
        return HttpAnswer(status=200, headers=(("Content-Type", "text/xml"),), body=endless())

    class Slow(MemoryCarrier):
        """A carrier whose cloud does not even begin."""

        @asynccontextmanager
        async def send(self, *_: Any) -> AsyncIterator[HttpAnswer]:
            asked.set()
            await asyncio.Event().wait()
            yield one_piece(200, "", b"")

    async def story(it: World) -> None:
        await it.open()
        if begun:
            it.carrier.answering = listing
        else:
            it.carrier.send = Slow().send  # type: ignore[method-assign]

        async def ends() -> None:
            await asked.wait()
            await deed(it)
            it.passages.wake()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ends())
            if begun:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await it.call(LISTING)
            else:
                assert (await it.call(LISTING)).status == 403
        later = await it.call(LISTING)
        assert later.status == 403
        assert ("has ended" in later.text) or ("is not granted" in later.text)

    run(tmp_path, story)


def test_an_ended_passage_says_why_to_its_holder_alone(tmp_path: Path) -> None:
    """After the end the holder is told the reason in EC2's words, anybody else only that the key is not good."""

    async def story(it: World) -> None:
        await it.open()
        await close(it)
        await it.passages.review()
        reply = await it.call(LISTING)
        assert (reply.status, "has ended: it was closed" in reply.text) == (403, True)
        stranger = await it.call(LISTING, key="another")
        assert (stranger.status, "closed" in stranger.text) == (401, False)

    run(tmp_path, story)


def test_so_many_calls_run_at_once_and_no_more(tmp_path: Path) -> None:
    """One call too many is told to come again; when another has ended there is room."""
    going = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        await going.wait()
        yield b"<x/>"

    async def story(it: World) -> None:
        await it.open()
        it.carrier.answering = lambda _: HttpAnswer(status=200, headers=(), body=slow())
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(it.call(LISTING))
            await until(lambda: it.carrier.sent)
            reply = await it.call(LISTING)
            assert (reply.status, "RequestLimitExceeded" in reply.text) == (429, True)
            going.set()
        assert first.result().status == 200
        assert (await it.call(LISTING)).status == 200

    run(tmp_path, story, calls_limit=1)


def test_bytes_that_no_text_has_are_refused_as_the_caller_s_mistake(tmp_path: Path) -> None:
    """A header that is not UTF-8 could be neither checked nor passed on: a 400, and no mistake of ours."""

    async def story(it: World) -> None:
        await it.open()
        host, _, port = it.api.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        path = f"/passages/{it.opened['id']}/".encode()
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nX-Auth-Token: \xff\xfe\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"malformed-request"' in answer

    run(tmp_path, story)


def test_a_body_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """More than a passage takes is a 413 in the cloud's words, and nothing is sent."""

    async def story(it: World) -> None:
        await it.open()
        reply = await it.call({**LISTING, "X": "x" * 200_000})
        assert (reply.status, it.carrier.sent) == (413, [])

    run(tmp_path, story)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    """No such platform, no connection of one's own, no API to pass into, nothing granted."""

    async def story(it: World) -> None:
        assert (await it.open(platform="none")).status == 422
        assert (await it.open("other")).code == "wrong-state"
        assert (await it.open("tenant")).status == 403
        await it.api.write(lambda tx: _provider(tx, it.api, "simulated"))
        simulated = await it.open()
        assert (simulated.status, simulated.body["field"]) == (422, "platform")
        await it.api.write(lambda tx: _provider(tx, it.api, "ec2"))
        for name in ("machine", "size", "image"):
            await it.api.write(lambda tx, name=name: consent.revoke(tx, it.api.ids[f"grant-{name}"], 0))
        assert (await it.open()).code == "denied"

    run(tmp_path, story)


def _provider(tx: Tx, api: ApiWorld, provider: str) -> None:
    rows.update(tx, rows.by_id(tx, Platform, api.ids["platform"]), {"provider": provider}, 0)


def test_the_environment_is_shown_once(tmp_path: Path) -> None:
    """A repeat with the same key gets the same passage without its secret; a list never shows one."""

    async def story(it: World) -> None:
        same = {"Idempotency-Key": "same"}
        body = {"platform": "platform", "purpose": "aws", "gateway_url": it.api.url}
        first = await it.api.call("admin", "POST", "/v1/passages", body, headers=same)
        again = await it.api.call("admin", "POST", "/v1/passages", body, headers=same)
        assert (first.body["id"], again.body["environment"]) == (again.body["id"], None)
        listed = await it.api.call("admin", "GET", "/v1/passages")
        assert "environment" not in listed.text
        assert first.body["environment"]["AWS_SECRET_ACCESS_KEY"] not in listed.text

    run(tmp_path, story)


def test_a_new_credential_counts_at_once(tmp_path: Path) -> None:
    """The account's secret is asked at every call: after a rotation the old one signs nothing more."""

    async def story(it: World) -> None:
        await it.open()
        await it.call(LISTING)
        await it.api.write(
            lambda tx: platforms.replace_secret(tx, it.api.ids["platform"], Secret("new"), it.api.services.sealer, 0)
        )
        await it.call(LISTING)
        for secret, call in zip((CANARY, "new"), it.carrier.sent, strict=True):
            request = sigv4.Request(method="POST", path="/", query="", headers=call.headers, body=call.body)
            claim = sigv4.signed(request)
            assert claim is not None
            assert sigv4.is_genuine(request, claim, secret, it.api.clock.now_s())

    run(tmp_path, story)
