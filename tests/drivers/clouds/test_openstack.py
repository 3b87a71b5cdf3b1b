"""OpenStack through libcloud, against answers recorded by libcloud's own project; a whole one is in tests/openstack."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

import pytest

from catalog.clouds import CloudAccount, MachineAction, MachineSpec
from catalog.errors import CloudCredentialsRefused, CloudMisbehaved, CloudQuotaExhausted, CloudRefused, DialRefused
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint
from catalog.secrets import Secret
from drivers.clouds.policy import CallPolicy
from drivers.registry import build
from tests.support.dialers import LoopbackDialer
from tests.support.listed import listed

RECORDED = files("libcloud") / "test/compute/fixtures/openstack_v1_1"  # by path: its package needs test-only libraries
ANSWERS = {
    "/compute/servers/detail": "_servers_detail.json",
    "/compute/flavors/detail": "_flavors_detail.json",
    "/compute/servers/12064": "_servers_12064.json",
    "/compute/os-keypairs": "_os_keypairs.json",
    "/network/v2.0/networks": "_v2_0__networks.json",
}
KINDS = {"compute": "nova", "image": "glance", "network": "neutron", "volumev3": "cinderv3", "identity": "keystone"}


def token(base: str) -> bytes:
    """Return what Keystone answers to a log-in: a token and a catalog whose services live under ``base``."""
    regions = ("RegionOne", "Elsewhere")
    catalog = [
        {
            "type": kind,
            "name": name,
            "endpoints": [{"url": f"{base}/{kind}", "region": region, "interface": "public"} for region in regions],
        }
        for kind, name in KINDS.items()
    ]
    facts = {
        "expires_at": "2099-01-01T00:00:00.000000Z", "user": {"id": "u", "name": "demo"}, "roles": [],
        "project": {"id": "p", "name": "demo"}, "catalog": catalog,
    }  # fmt: skip
    return json.dumps({"token": facts}).encode()


@contextmanager
def recorded_cloud(
    base: str | None = None, *, refusal: tuple[int, str] = (404, ""), changes: list[Any] | None = None
) -> Iterator[Address]:
    """Serve the recorded answers; the catalog points to ``base``, by default to the endpoint itself.

    Whatever would change something is answered by ``refusal``: a status, and Nova's words for it. It is kept in
    ``changes``.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path.startswith("/compute"):
                if changes is not None:
                    changes.append(json.loads(asked))
                status, words = refusal
                self.answer(status, json.dumps({"refused": {"code": status, "message": words}}).encode())
                return
            right = self.path == "/v3/auth/tokens" and "right-secret" in asked
            self.answer(201 if right else 401, token(base or f"http://{self.headers['Host']}") if right else b"{}")

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            known = path in ANSWERS
            self.answer(200 if known else 404, RECORDED.joinpath(ANSWERS[path]).read_bytes() if known else b"{}")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Subject-Token", "a-token")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # quiet
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Address(host="127.0.0.1", port=server.server_port)
        finally:
            server.shutdown()
            thread.join(20)


def on(
    address: Address,
    story: Callable[[Any], Awaitable[Any]],
    dialer: LoopbackDialer | None = None,
    policy: CallPolicy | None = None,
    **changes: Any,
) -> Any:
    """Run ``story`` with a driver of the cloud at ``address`` and return what it returns."""
    limits = policy or CallPolicy(deadline_s=20)
    facts: dict[str, Any] = {
        "platform": PlatformId("p"), "provider": "openstack", "region": "RegionOne", "account": "demo",
        "endpoint": ApprovedEndpoint(url=f"http://keystone.example:{address.port}", dial=address),
        "secret": Secret("right-secret"), "options": {"project": "demo"},
    }  # fmt: skip

    async def run() -> Any:
        driver = build(CloudAccount(**{**facts, **changes}), dialer or LoopbackDialer(), limits)
        try:
            return await story(driver)
        finally:
            await driver.close()

    return asyncio.run(run())


def test_log_in_reads_the_catalog_alone() -> None:
    """The services come from the token's catalog, by the approved endpoint's one address."""
    dialer = LoopbackDialer()
    with recorded_cloud() as address:
        information = on(address, lambda driver: driver.log_in(), dialer)
    assert information.services == ("machine", "image", "size", "network", "key-pair", "volume")
    assert set(dialer.dialled) == {address}


def test_wrong_credentials_are_told_apart() -> None:
    """Keystone's 401 is CloudCredentialsRefused."""
    with recorded_cloud() as address, pytest.raises(CloudCredentialsRefused):
        on(address, lambda driver: driver.log_in(), secret=Secret("wrong"))


def test_a_region_without_services_is_noticed() -> None:
    """A catalog that holds nothing for our region is no service list."""
    with recorded_cloud() as address, pytest.raises(CloudMisbehaved):
        on(address, lambda driver: driver.log_in(), region="RegionTwo")


def test_networks_are_listed_and_named_in_a_creation() -> None:
    """What Neutron lists comes back with what it says of each; Nova is told the one that was ordered, and no other."""
    spec = MachineSpec(name="n", size="1", image="i", tags={}, network="f13738ea-0e79-40b2-9e4a-8f4f12a0cc8d")

    async def story(driver: Any) -> list[Any]:
        with pytest.raises(CloudRefused):
            await driver.create_machine(spec)
        return [row for text in (await driver.listing("network")).batches for row in json.loads(text)]

    changes: list[Any] = []
    with recorded_cloud(changes=changes, refusal=(400, "no")) as address:
        found = on(address, story)
    recorded = json.loads(RECORDED.joinpath("_v2_0__networks.json").read_text())["networks"]
    assert {row["cloud_id"]: row["name"] for row in found} == {row["id"]: row["name"] for row in recorded}
    assert {row["facts"]["external"] for row in found} <= {"true", "false"}
    assert [change["server"]["networks"] for change in changes] == [[{"uuid": spec.network}]]


def test_lists_are_read_through_the_endpoint() -> None:
    """Machines, sizes and key pairs of the recording come back in the catalog's own words."""

    async def story(driver: Any) -> None:
        machines = await listed(driver, "machine")
        assert [machine.name for machine in machines] == ["lc-test-2", "lc-test"]
        sizes = await listed(driver, "size")
        assert all(size.memory_mib for size in sizes)
        assert {size.name: size.vcpu for size in sizes}["15.5GB slice"] == 8
        assert [pair.name for pair in await listed(driver, "key-pair")]
        assert await listed(driver, "location") == []

    with recorded_cloud() as address:
        on(address, story)


def test_a_catalog_that_points_elsewhere_is_not_followed() -> None:
    """The catalog is the platform's word: an address in it that no admin approved gets no token."""
    dialer = LoopbackDialer()
    with recorded_cloud(base="http://169.254.169.254:80") as address, pytest.raises(DialRefused):
        on(address, lambda driver: listed(driver, "machine"), dialer)
    assert set(dialer.dialled) == {address}


def test_a_location_is_refused() -> None:
    """Nova places by itself; asking for a place that does not exist is refused, not ignored."""
    spec = MachineSpec(name="n", size="1", image="1", tags={}, location="somewhere")
    with recorded_cloud() as address, pytest.raises(CloudRefused):
        on(address, lambda driver: driver.create_machine(spec))


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (403, "Quota exceeded for instances: Requested 1, but already used 4 of 4 instances", CloudQuotaExhausted),
        (413, "Quota exceeded for cores", CloudQuotaExhausted),
        (403, "Policy doesn't allow os_compute_api:servers:create to be performed.", CloudRefused),
    ],
)
def test_a_used_up_quota_is_told_from_a_no(status: int, words: str, error: type[CloudRefused]) -> None:
    """What may be asked again later is told apart from what may not, by what Nova says."""
    spec = MachineSpec(name="n", size="1", image="1", tags={})
    with recorded_cloud(refusal=(status, words)) as address, pytest.raises(CloudRefused) as refused:
        on(address, lambda driver: driver.create_machine(spec))
    assert type(refused.value) is error
    assert refused.value.retryable is (error is CloudQuotaExhausted)


def test_starting_what_runs_is_done_and_stopping_it_is_not() -> None:
    """Nova refuses with 409 to start what is active: that is as good as done, and any other conflict is a refusal."""

    async def story(driver: Any) -> None:
        await driver.act("12064", MachineAction.START)
        with pytest.raises(CloudRefused):
            await driver.act("12064", MachineAction.STOP)

    with recorded_cloud(refusal=(409, "Cannot do that to instance 12064 while it is in vm_state active")) as address:
        on(address, story)


def test_a_service_elsewhere_is_reached_at_its_own_endpoint() -> None:
    """A service on another port, as most clouds have them, is dialled at the address that was approved for it."""
    dialer = LoopbackDialer()
    with recorded_cloud() as compute, recorded_cloud(base=f"http://nova.example:{compute.port}") as identity:
        nova = ApprovedEndpoint(url=f"http://nova.example:{compute.port}", dial=compute)
        machines = on(identity, lambda driver: listed(driver, "machine"), dialer, services=(nova,))
    assert len(machines) == 2
    assert set(dialer.dialled) == {identity, compute}
