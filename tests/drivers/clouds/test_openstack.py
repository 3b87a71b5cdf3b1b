"""OpenStack through libcloud, against answers recorded by libcloud's own project; not a whole OpenStack."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

import pytest

from catalog.errors import CloudCredentialsRefused, CloudMisbehaved, CloudRefused, DialRefused
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint, CloudAccount, MachineSpec
from catalog.secrets import Secret
from drivers.clouds.policy import CallPolicy
from drivers.registry import build
from tests.support.dialers import LoopbackDialer

RECORDED = files("libcloud") / "test/compute/fixtures/openstack_v1_1"  # by path: its package needs test-only libraries
ANSWERS = {
    "/compute/servers/detail": "_servers_detail.json",
    "/compute/flavors/detail": "_flavors_detail.json",
    "/compute/os-keypairs": "_os_keypairs.json",
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
def recorded_cloud(base: str | None = None) -> Iterator[Address]:
    """Serve the recorded answers; the catalog points to ``base``, by default to the endpoint itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
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
    address: Address, story: Callable[[Any], Awaitable[Any]], dialer: LoopbackDialer | None = None, **changes: Any
) -> Any:
    """Run ``story`` with a driver of the cloud at ``address`` and return what it returns."""
    facts: dict[str, Any] = {
        "platform": PlatformId("p"), "provider": "openstack", "region": "RegionOne", "account": "demo",
        "endpoint": ApprovedEndpoint(url=f"http://keystone.example:{address.port}", dial=address),
        "secret": Secret("right-secret"), "options": {"project": "demo"},
    }  # fmt: skip

    async def run() -> Any:
        driver = build(CloudAccount(**{**facts, **changes}), dialer or LoopbackDialer(), CallPolicy(deadline_s=20))
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
    assert information.services == ("machine", "image", "size", "key-pair", "volume")
    assert set(dialer.dialled) == {address}


def test_wrong_credentials_are_told_apart() -> None:
    """Keystone's 401 is CloudCredentialsRefused."""
    with recorded_cloud() as address, pytest.raises(CloudCredentialsRefused):
        on(address, lambda driver: driver.log_in(), secret=Secret("wrong"))


def test_a_region_without_services_is_noticed() -> None:
    """A catalog that holds nothing for our region is no service list."""
    with recorded_cloud() as address, pytest.raises(CloudMisbehaved):
        on(address, lambda driver: driver.log_in(), region="RegionTwo")


def test_lists_are_read_through_the_endpoint() -> None:
    """Machines, sizes and key pairs of the recording come back in the catalog's own words."""

    async def story(driver: Any) -> None:
        machines = await driver.machines()
        assert [machine.name for machine in machines] == ["lc-test-2", "lc-test"]
        assert all(size.memory_mib for size in await driver.sizes())
        assert [pair.name for pair in await driver.key_pairs()]
        assert await driver.locations() == []

    with recorded_cloud() as address:
        on(address, story)


def test_a_catalog_that_points_elsewhere_is_not_followed() -> None:
    """The catalog is the platform's word: an address in it that no admin approved gets no token."""
    dialer = LoopbackDialer()
    with recorded_cloud(base="http://169.254.169.254:80") as address, pytest.raises(DialRefused):
        on(address, lambda driver: driver.machines(), dialer)
    assert set(dialer.dialled) == {address}


def test_a_location_is_refused() -> None:
    """Nova places by itself; asking for a place that does not exist is refused, not ignored."""
    spec = MachineSpec(name="n", size="1", image="1", tags={}, location="somewhere")
    with recorded_cloud() as address, pytest.raises(CloudRefused):
        on(address, lambda driver: driver.create_machine(spec))
