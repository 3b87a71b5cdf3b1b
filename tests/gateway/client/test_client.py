"""gateway.client.client against the real API: what the client believes of the gateway is so."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import connections
from catalog.model.connection import ConnectionEvent
from gateway.client import ApiProblem, Client, WaitTimedOut
from gateway.client.connections import SETTLED
from tests.support.api_world import CANARY, host_key
from tests.support.served_api import ServedApi, served_api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """Serve a freshly seeded API."""
    with served_api(tmp_path) as served:
        yield served


def client(api: ServedApi, role: str = "admin") -> Client:
    """Return a client with a role's token."""
    return Client(api.server, api.tokens[role])


def test_who_one_is(api: ServedApi) -> None:
    """The gateway tells each token its role; without a token it tells nothing."""
    assert client(api, "tenant").whoami()["role"] == "member"
    assert Client(api.server).is_ready()
    with pytest.raises(ApiProblem) as caught:
        Client(api.server).whoami()
    assert caught.value.status == 401
    assert caught.value.request_id


def test_the_network_is_declared_and_forgotten(api: ServedApi) -> None:
    """Sites, relays and links are created, read by name, changed under their version, and removed."""
    admin = client(api)
    admin.sites.create(name="osl", region="no", latitude=59.9, longitude=10.7)
    fate = {"risk": 2.0, "risk_groups": ["acme"]}
    facts = {"host": "192.0.2.1", "port": 2222, "user": "relay", "host_key": host_key()}
    admin.relays.create(name="osl-1", site="osl", **facts, **fate)
    link = admin.links.create(source="fra", target="osl", price_usd_per_gb=0.02, capacity_mbps=940)
    assert link["capacity_mbps"] == 940

    assert admin.sites.get("osl")["latitude"] == pytest.approx(59.9)
    assert admin.relays.get("osl-1")["port"] == 2222
    assert admin.relays.set("osl-1", risk=0)["risk_groups"] == ["acme"]
    assert admin.relays.set("osl-1", risk_groups=[])["risk"] == 0
    seen = admin.relays.read("osl-1")
    assert admin.relays.set_enabled("osl-1", enabled=False)["enabled"] is False
    with pytest.raises(ApiProblem) as stale:
        admin.relays.set_enabled("osl-1", enabled=True, if_match=seen.etag)
    assert stale.value.status == 412

    admin.links.remove(link["id"])
    admin.relays.remove("osl-1")
    admin.sites.remove("osl")
    with pytest.raises(ApiProblem) as gone:
        admin.sites.get("osl")
    assert gone.value.code == "not-found"


def test_weights_change_one_by_one(api: ServedApi) -> None:
    """One weight is set and the others stay."""
    before = client(api).weights.get()
    after = client(api).weights.set({"loss": 2.5})

    assert after["loss"] == 2.5
    assert {name: after[name] for name in ("delay", "jitter", "hops", "price", "risk")} == {
        name: before[name] for name in ("delay", "jitter", "hops", "price", "risk")
    }


def test_every_page_of_the_real_api(api: ServedApi) -> None:
    """Paging two by two yields each thing once and misses none."""
    admin = client(api)
    made = {admin.organisations.create(name=f"paged-{number}")["id"] for number in range(5)}
    found = [each["id"] for each in admin.organisations.list(page_size=2)]

    assert made <= set(found)
    assert len(found) == len(set(found))


def test_a_repeated_key_orders_once(api: ServedApi) -> None:
    """The same key and order is the same order; the same key for another order is refused."""
    tenant = client(api, "tenant")
    offer = api.ids["offer-machine"]
    first = tenant.orders.create(offer=offer, size="s1", image="i1", idempotency_key="once-only")
    again = tenant.orders.create(offer=offer, size="s1", image="i1", idempotency_key="once-only")
    assert again["id"] == first["id"]

    with pytest.raises(ApiProblem) as reused:
        tenant.orders.create(offer=offer, size="s1", image="i1", name="other", idempotency_key="once-only")
    assert reused.value.code == "idempotency-key-reused"


def test_a_wrong_value_names_field_and_fix(api: ServedApi) -> None:
    """What the gateway refuses reaches the caller with the field and what would be right."""
    with pytest.raises(ApiProblem) as caught:
        client(api, "tenant").orders.create(offer=api.ids["offer-machine"], size="huge", image="i1")

    assert (caught.value.status, caught.value.field) == (422, "size")
    assert caught.value.fix


def test_enrolment(api: ServedApi) -> None:
    """An admin's one-time token enrols a platform once, and its secret is in no answer."""
    url = "https://bergen.example.org"
    enrolment = client(api).enrolments.create(
        platform_name="bergen", endpoints=[{"purpose": "api", "url": url, "dial": "192.0.2.9:443"}], ttl_s=60
    )
    token = enrolment["token"]
    assert token
    owner = Client(api.server)
    facts = {"name": "bergen", "provider": "simulated", "site": "fra", "account": "primary", "region": "no"}
    platform = owner.platforms.enrol(enrolment_token=token, **facts, secret=CANARY, api={"url": url})
    assert platform["endpoints"][0]["state"] == "approved"
    assert CANARY not in repr(platform)
    with pytest.raises(ApiProblem) as again:
        owner.platforms.enrol(enrolment_token=token, **{**facts, "name": "b2"}, secret=CANARY, api={"url": url})
    assert again.value.status in {401, 403}

    itself = Client(api.server, platform["token"])
    assert CANARY not in repr(itself.platforms.set_secret("bergen", CANARY + "2"))
    client(api).platforms.remove("bergen")


def test_waiting_sees_a_change_when_it_happens(api: ServedApi) -> None:
    """A watcher that hangs in the real API is answered by the change itself, and sees every state it passes."""
    admin = client(api)
    connection = admin.connections.request(requester="other", target="other")
    seen: list[str] = []
    first_seen = threading.Event()

    def note(state: str) -> None:
        seen.append(state)
        first_seen.set()

    def fail() -> None:
        assert first_seen.wait(60)
        for event in (ConnectionEvent.BEGIN, ConnectionEvent.FAIL):
            api.write(lambda tx, event=event: connections.move(tx, connection["id"], event, 2e9, code="no-route"))

    background = threading.Thread(target=fail)
    background.start()
    settled = admin.connections.wait(
        connection["id"],
        until=lambda each: each["state"] in SETTLED,
        timeout_s=60,
        on_change=lambda each: note(each["state"]),
    )
    background.join()

    assert (settled["state"], settled["code"]) == ("failed", "no-route")
    assert (seen[0], seen[-1]) == ("requested", "failed")
    admin.connections.close(connection["id"])
    assert admin.connections.get(connection["id"])["state"] == "closed"


def test_waiting_in_vain_ends(api: ServedApi) -> None:
    """Nothing happens: the wait ends by itself and says where the thing stands."""
    with pytest.raises(WaitTimedOut) as caught:
        client(api).connections.wait(api.ids["connection"], until=lambda _: False, timeout_s=0)

    assert caught.value.last_state == "requested"


def test_the_rest_of_the_nouns(api: ServedApi) -> None:
    """Every other resource of the seeded world can be read by the client that knows its shape."""
    admin = client(api)
    assert [each["capability"] for each in admin.entries.list()]
    assert admin.offers.get(api.ids["offer-machine"])["sizes"]
    assert [each["id"] for each in admin.offers.list(capability="size")] == [api.ids["offer-size"]]
    assert admin.pools.set("warm", idle_target=2)["census"]["idle"] == 0
    assert admin.machines.act(api.ids["machine"], "reboot")["state"] == "in-use"
    assert admin.grants.revoke(api.ids["grant-image"])["state"] == "revoked"
    assert [each["capability"] for each in admin.grant_rules.list()] == ["volume"]
    assert list(admin.connections.steps(api.ids["connection"])) == []
    assert list(admin.connections.sessions(api.ids["connection"])) == []
    assert admin.connections.routes(api.ids["connection"])["candidates"] == []
    assert list(admin.connections.decisions(api.ids["connection"])) == []
    with pytest.raises(ApiProblem) as undecided:
        admin.connections.what_if(api.ids["connection"], {"loss": 2.0}, profile="bulk")
    assert undecided.value.code == "wrong-state"
    assert [each["name"] for each in admin.network_status()["relays"]] == ["fra-1"]
    assert [each["name"] for each in admin.background()] == ["pools"]
    assert list(client(api, "tenant").orders.steps(api.ids["order"]))


def test_the_socket_is_a_door_too(tmp_path: Path) -> None:
    """The real API on a Unix socket answers the same client."""
    with served_api(tmp_path, listen=f"unix:{tmp_path / 'api.sock'}") as served:
        assert client(served).whoami()["name"] == "root"
