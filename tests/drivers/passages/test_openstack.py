"""OpenStack in a passage: its own log-in, the cloud's token in the place of it, links that stay in the passage."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from catalog.errors import (
    CatalogError,
    CloudCredentialsRefused,
    CloudMisbehaved,
    CloudRefused,
    CloudUnavailable,
    Denied,
)
from catalog.ports import Address, ApprovedEndpoint, HttpAnswer, HttpCall, PassageCall
from drivers.passages.answers import one_piece
from drivers.passages.openstack import OpenStackPassage
from drivers.passages.openstack_login import Login
from tests.support.clocks import ManualClock
from tests.support.passage_terms import CLOUD_SECRET, TERMS, MemoryCarrier, always, cloud_account, read

URL = "https://cloud.example:5000"
HERE = TERMS.address
JSON = "application/json"


def entry(kind: str, url: str, *, interface: str = "public", region: str = TERMS.region) -> dict[str, Any]:
    """Return a service of a catalog."""
    endpoint = {"id": "1", "interface": interface, "region": region, "region_id": region, "url": url}
    return {"id": kind, "type": kind, "name": kind, "endpoints": [endpoint]}


CATALOG = [
    entry("identity", f"{URL}/v3/"),
    entry("compute", f"{URL}/compute/v2.1"),
    entry("compute", f"{URL}/elsewhere/v2.1", region="another"),
    entry("image", f"{URL}/image", interface="admin"),
    entry("image", f"{URL}/image"),
    entry("volumev3", f"{URL}/volume/v3/0123456789abcdef0123456789abcdef"),
    entry("network", "https://other.example:9696/"),
]


class Cloud:
    """What a cloud answers: log-ins with ``tokens`` one after another, and one list of servers."""

    def __init__(self) -> None:
        self.tokens = ["t1", "t2", "t3"]
        self.good = {"t1", "t2", "t3"}
        self.log_in_status = 201
        self.answer: Callable[[HttpCall], HttpAnswer] = lambda _: one_piece(
            200,
            JSON,
            json.dumps(
                {"servers": [], "servers_links": [{"rel": "next", "href": f"{URL}/compute/v2.1/servers?m=1"}]}
            ).encode(),
            (("Set-Cookie", "a"), ("X-Compute-Request-Id", "req-1"), ("Location", f"{URL}/compute/v2.1/servers/1")),
        )

    def __call__(self, call: HttpCall) -> HttpAnswer:
        """Answer as Keystone, or check the token and answer as Nova."""
        headers = dict(call.headers)
        if call.url == f"{URL}/v3/auth/tokens":
            body = {"token": {"user": {"name": "primary"}, "project": {"name": "p"}, "roles": [], "catalog": CATALOG}}
            told = (("X-Subject-Token", self.tokens.pop(0)),) if self.log_in_status == 201 else ()
            return one_piece(self.log_in_status, JSON, json.dumps(body).encode(), told)
        if headers.get("X-Auth-Token") not in self.good:
            return one_piece(401, JSON, b"{}")
        return self.answer(call)


class World:
    """A passage into the cloud, and what was sent there."""

    def __init__(self, *services: ApprovedEndpoint, **changes: Any) -> None:
        self.cloud = Cloud()
        self.carrier = MemoryCarrier(self.cloud)
        account = always(replace(cloud_account("openstack", URL, project="p"), services=services))
        self.passage = OpenStackPassage(
            terms=replace(TERMS, **changes),
            account=account,
            carrier=self.carrier,
            clock=ManualClock(),
            login=Login(account, self.carrier, timeout_s=5),
        )

    async def ask(self, call: PassageCall) -> tuple[HttpAnswer, bytes]:
        """Return the answer and its whole body."""
        async with self.passage.send(call) as answer:
            return answer, await read(answer)

    async def log_in(self) -> str:
        """Return the passage's token."""
        answer, _ = await self.ask(credential_call())
        assert answer.status == 201
        return dict(answer.headers)["X-Subject-Token"]


def run(story: Coroutine[Any, Any, Any]) -> Any:
    """Run the story."""
    return asyncio.run(story)


def call(path: str, *, method: str = "GET", body: object = None, **headers: str) -> PassageCall:
    """Return one call."""
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    sent = b"" if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")
    return PassageCall(method=method, address=HERE, path=path, query=query, headers=told, body=sent)


def credential_call(secret: str = TERMS.secret.reveal(), name: str = TERMS.passage) -> PassageCall:
    """Return the log-in that the openstack command makes."""
    identity = {"methods": ["application_credential"], "application_credential": {"id": name, "secret": secret}}
    return call("/identity/v3/auth/tokens", method="POST", body={"auth": {"identity": identity}})


def test_the_holder_logs_in_with_what_the_environment_says() -> None:
    """The credential of the environment gets a token that proves further calls; it is told the catalog of here."""

    async def story() -> None:
        world = World()
        told = world.passage.environment()
        assert world.passage.is_from_holder(credential_call(told["OS_APPLICATION_CREDENTIAL_SECRET"]))
        answer, body = await world.ask(credential_call())
        token = json.loads(body)["token"]
        assert token["expires_at"] == "2027-01-15T09:00:00.000000Z"  # the passage's own end
        urls = {service["type"]: service["endpoints"][0]["url"] for service in token["catalog"]}
        assert urls == {
            "identity": f"{HERE}/identity/v3/",
            "compute": f"{HERE}/compute/v2.1",
            "image": f"{HERE}/image",
            "volumev3": f"{HERE}/volumev3/v3/0123456789abcdef0123456789abcdef",
            "network": f"{HERE}/network/",
        }
        mine = dict(answer.headers)["X-Subject-Token"]
        assert world.passage.is_from_holder(call("/compute/v2.1/servers", X_Auth_Token=mine))
        everything = f"{told} {answer.headers} {body!r} {world.passage!r}"
        assert CLOUD_SECRET not in everything
        assert "t1" not in dict(answer.headers).values()

    run(story())


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(credential_call("another"), id="wrong secret"),
        pytest.param(credential_call(name="passage_2"), id="another passage"),
        pytest.param(credential_call("\ud800"), id="half a character"),
        pytest.param(call("/identity/v3/auth/tokens", method="POST", body={"auth": []}), id="odd log-in"),
        pytest.param(call("/identity/v3/auth/tokens", method="POST"), id="empty log-in"),
        pytest.param(call("/compute/v2.1/servers"), id="no token"),
        pytest.param(call("/compute/v2.1/servers", X_Auth_Token="t1"), id="the cloud's own token"),
        pytest.param(call("/compute/v2.1/servers", X_Auth_Token=TERMS.secret.reveal()), id="the secret as a token"),
        pytest.param(call("/../x"), id="no path"),
        pytest.param(call("/identity/v3/auth/catalog"), id="catalog without a token"),
    ],
)
def test_nothing_else_proves_the_holder(bad: PassageCall) -> None:
    """A call with another secret, another token or none is not the holder's."""
    assert not World().passage.is_from_holder(bad)


def test_a_service_elsewhere_is_asked_at_its_own_endpoint() -> None:
    """A service on another host is reached at the endpoint that an admin approved for it, with the cloud's token."""

    async def story() -> None:
        neutron = ApprovedEndpoint(url="https://other.example:9696", dial=Address(host="10.0.0.9", port=9696))
        world = World(neutron)
        await world.log_in()
        answer, _ = await world.ask(call("/network/v2.0/networks"))
        assert answer.status == 200
        sent = world.carrier.sent[-1]
        assert sent.url == "https://other.example:9696/v2.0/networks"
        assert dict(sent.headers)["X-Auth-Token"] == "t1"

    run(story())


def test_versions_are_told_to_anybody_as_the_cloud_itself_does() -> None:
    """Keystone's are ours, and cost the cloud nothing."""

    async def story() -> None:
        world = World()
        for path, status in (("/identity", 300), ("/identity/", 300), ("/identity/v3", 200), ("/identity/v3/", 200)):
            assert world.passage.is_from_holder(call(path))
            answer, body = await world.ask(call(path))
            assert answer.status == status
            assert f"{HERE}/identity/v3/" in body.decode()
        assert world.carrier.sent == []

    run(story())


def test_a_call_goes_on_with_the_cloud_s_token_and_comes_back_with_our_links() -> None:
    """Only named headers pass, either way; Location and links lead through the passage."""

    async def story() -> None:
        world = World()
        asked = call(
            "/compute/v2.1/servers?limit=1", X_Auth_Token="mine", Cookie="c", OpenStack_API_Version="compute 2.1"
        )
        answer, body = await world.ask(asked)
        sent = world.carrier.sent[-1]
        assert sent.url == f"{URL}/compute/v2.1/servers?limit=1"
        assert dict(sent.headers) == {
            "OpenStack-API-Version": "compute 2.1",
            "Accept-Encoding": "identity",
            "X-Auth-Token": "t1",
        }
        assert sent.repeatable
        assert json.loads(body)["servers_links"][0]["href"] == f"{HERE}/compute/v2.1/servers?m=1"
        assert dict(answer.headers) == {
            "Content-Type": JSON,
            "X-Compute-Request-Id": "req-1",
            "Location": f"{HERE}/compute/v2.1/servers/1",
        }

    run(story())


def test_what_was_checked_is_what_is_sent() -> None:
    """A body is written anew; a call that changes something may not be repeated."""

    async def story() -> None:
        world = World()
        asked = replace(call("/compute/v2.1/servers/1/action", method="POST"), body=b' {"os-stop" :\n null} ')
        await world.ask(asked)
        sent = world.carrier.sent[-1]
        assert (sent.body, sent.repeatable, dict(sent.headers)["Content-Type"]) == (b'{"os-stop": null}', False, JSON)

    run(story())


def test_one_log_in_serves_every_call_until_the_token_is_refused() -> None:
    """Ten calls at once log in once; a refused token is renewed once, also for a call that is not repeatable."""

    async def story() -> None:
        world = World()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(world.ask(call("/compute/v2.1/servers")))
        assert len(world.cloud.tokens) == 2
        world.cloud.good.remove("t1")
        answer, _ = await world.ask(call("/compute/v2.1/servers", method="POST", body={"server": {}}))
        assert answer.status == 200
        assert len(world.cloud.tokens) == 1

    run(story())


def fail_log_in(status: int) -> Callable[[World], None]:
    """Return what lets log-ins end in ``status``."""

    def change(world: World) -> None:
        world.cloud.log_in_status = status

    return change


def refuse_all_tokens(world: World) -> None:
    """Let the cloud accept none of its tokens."""
    world.cloud.good.clear()


def answer_badly(*headers: tuple[str, str], body: bytes = b"{}") -> Callable[[World], None]:
    """Return what lets the cloud answer so."""

    def change(world: World) -> None:
        world.cloud.answer = lambda _: one_piece(200, JSON, body, headers)

    return change


@pytest.mark.parametrize(
    ("change", "path", "error"),
    [
        pytest.param(fail_log_in(401), "/compute/v2.1/servers", CloudCredentialsRefused, id="wrong password"),
        pytest.param(fail_log_in(403), "/compute/v2.1/servers", CloudRefused, id="log-in refused"),
        pytest.param(fail_log_in(503), "/compute/v2.1/servers", CloudUnavailable, id="keystone down"),
        pytest.param(refuse_all_tokens, "/compute/v2.1/servers", CloudCredentialsRefused, id="fresh token refused"),
        pytest.param(answer_badly(("Content-Encoding", "gzip")), "/compute/v2.1/servers", CloudMisbehaved, id="gzip"),
        pytest.param(answer_badly(body=b"x" * 200), "/compute/v2.1/servers", CloudMisbehaved, id="too long"),
        pytest.param(lambda _: None, "/network/v2.0/networks", CloudRefused, id="a place nobody approved"),
        pytest.param(lambda _: None, "/dns/v2/zones", CloudRefused, id="a service it has not"),
    ],
)
def test_whatever_goes_wrong_at_the_cloud_is_one_of_our_errors(
    change: Callable[[World], None], path: str, error: type[CatalogError]
) -> None:
    """Named for the state of the world, with nothing of the cloud's words in it."""

    async def story() -> None:
        world = World(answer_limit_bytes=100)
        change(world)
        await world.ask(call(path))

    with pytest.raises(error):
        run(story())


@pytest.mark.parametrize(
    "catalog", [None, [], [{}], [{"type": "compute", "endpoints": [{"interface": "public"}]}], "x"]
)
def test_a_catalog_that_is_none_is_misbehaviour_or_empty(catalog: Any) -> None:
    """An odd catalog is CloudMisbehaved; an empty one leaves no service to call."""
    world = World()
    token = {"token": {"catalog": catalog}}
    world.carrier.answering = lambda _: one_piece(201, JSON, json.dumps(token).encode(), (("X-Subject-Token", "t"),))
    with pytest.raises((CloudMisbehaved, CloudRefused)):
        run(world.ask(call("/compute/v2.1/servers")))


def test_a_refusal_is_one_that_openstack_clients_show() -> None:
    """The message stands where keystoneauth and the SDK look for it."""
    answer = World().passage.refusal(call("/compute/v2.1/servers"), status=403, message="not granted")
    assert json.loads(run(read(answer))) == {"error": {"code": 403, "title": "Forbidden", "message": "not granted"}}


def test_what_is_not_covered_is_refused() -> None:
    """``asked`` is the table's word."""
    with pytest.raises(Denied):
        World().passage.asked(call("/network/v2.0/networks"))
