"""Every further provider that is accepted: built, asked for one list through the routed dial, and for nothing else.

The server is an emulated one: it proves that what libcloud's driver sends goes by the dial, to the real name, over TLS
that is verified by the approved authority. Where libcloud ships a recorded answer it is read; the others are refused.
"""

import asyncio
import inspect
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from libcloud.compute.base import NodeDriver
from libcloud.compute.providers import DRIVERS

from catalog.clouds import CloudAccount, MachineSpec
from catalog.errors import CloudError, CloudRefused, InvalidValue
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint
from catalog.providers import Standing
from catalog.secrets import Secret
from drivers.clouds.generic import _METHODS
from drivers.clouds.libcloud_facts import ACCEPTED, REFUSED
from drivers.clouds.policy import CallPolicy
from drivers.registry import build, known_providers
from gateway.clock import SystemClock
from gateway.demo.clouds.ca import PrivateAuthority
from tests.support.dialers import LoopbackDialer
from tests.support.emulated import EMULATORS

ANY_HOST = "api.given.example"
RECORDED = files("libcloud") / "test/compute/fixtures"  # by path: its package needs test-only libraries
# Where a list is (with its host, where two have the same path) -> its recorded answer.
ANSWERS = {
    "api.vultr.com/v2/regions": "vultr_v2/list_locations.json",
    "/v2/regions": "digitalocean_v2/list_locations.json",
    "/v4/regions": "linode_v4/list_locations.json",
    "/v1/flavors": "cloudscale/list_sizes.json",
    "/1.2/zone": "upcloud/api_1_2_zone.json",
}
READ = ("cloudscale", "digitalocean", "linode", "upcloud", "vultr")


@dataclass
class Emulated:
    """The server: under every name there is, and what it was asked."""

    address: Address
    ca_pem: str
    asked: list[tuple[str, str]] = field(default_factory=list)  # Host and path


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """Serve recorded answers where there are some, and 401 for everything else."""
    folder: Path = tmp_path_factory.mktemp("emulated")
    authority = PrivateAuthority("Test authority", now_s=SystemClock().now_s())
    hosts = sorted({known.host for known in ACCEPTED.values() if known.host} | {ANY_HOST})
    issued = authority.issue(hosts)
    (folder / "cert.pem").write_text(issued.certificate_pem)
    (folder / "key.pem").write_text(issued.key_pem)
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            host = self.headers["Host"].partition(":")[0]
            asked.append((host, path))
            recorded = "vultr_v2/list_locations.json" if host == "api.vultr.com" else ANSWERS.get(path)
            known = recorded is not None and (path != "/v2/regions" or host != "api.brightbox.com")
            self.answer(200, RECORDED.joinpath(recorded).read_bytes()) if known and recorded else self.answer(
                401, b"{}"
            )

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.headers["Host"].partition(":")[0], self.path.split("?")[0]))
            self.answer(401, b"{}")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # quiet
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            at = Address(host="127.0.0.1", port=server.server_port)
            yield Emulated(address=at, ca_pem=authority.ca_pem, asked=asked)
        finally:
            server.shutdown()
            thread.join(20)


def account(name: str, emulated: Emulated, **changes: Any) -> CloudAccount:
    """Return an account at the provider, whose API is the emulated server under its real name."""
    known = ACCEPTED[name]
    # What has one address only is at its port 443, wherever that is dialled.
    url = f"https://{known.host}" if known.host else f"https://{ANY_HOST}:{emulated.address.port}"
    facts: dict[str, Any] = {
        "platform": PlatformId("p"), "provider": name, "region": "", "account": "primary",
        "endpoint": ApprovedEndpoint(url=url, dial=emulated.address, ca_pem=emulated.ca_pem),
        "secret": Secret("canary-secret"), "options": dict.fromkeys(known.options, "/client/api"),
    }  # fmt: skip
    return CloudAccount(**{**facts, **changes})


def on(driver: Any, call: Any) -> Any:
    """Return what ``call`` makes of ``driver``."""

    async def run() -> Any:
        try:
            return await call(driver)
        finally:
            await driver.close()

    return asyncio.run(run())


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_one_list_goes_through_the_dial_and_nothing_else_does(name: str, emulated: Emulated) -> None:
    """The driver is built and asks for its list under the real name; nothing was dialled but the approved address."""
    dialer = LoopbackDialer()
    before = len(emulated.asked)
    driver = build(account(name, emulated), dialer, CallPolicy(deadline_s=30))
    if name in READ:
        services = on(driver, lambda driver: driver.log_in()).services
        # Machines are offered where they are made, and nowhere else.
        assert set(services) == set(ACCEPTED[name].capabilities) - (set() if ACCEPTED[name].maker else {"machine"})
    else:
        with pytest.raises(CloudError) as caught:
            on(driver, lambda driver: driver.log_in())
        assert "canary-secret" not in str(caught.value) + caught.value.detail
    asked = emulated.asked[before:]
    assert asked
    assert {host for host, _ in asked} == {ACCEPTED[name].host or ANY_HOST}
    assert set(dialer.dialled) == {emulated.address}


@pytest.mark.parametrize("name", READ)
def test_a_recorded_list_is_read(name: str, emulated: Emulated) -> None:
    """What libcloud's project recorded comes back as rows that can be stored."""
    known = ACCEPTED[name]
    driver = build(account(name, emulated), LoopbackDialer(), CallPolicy(deadline_s=30))
    assert on(driver, lambda driver: driver.listing(known.asked)).count > 0


def test_another_address_than_the_provider_s_is_refused_at_once(emulated: Emulated) -> None:
    """A provider whose driver goes to one address only is not sent to another."""
    elsewhere = account(
        "linode", emulated, endpoint=ApprovedEndpoint(url="https://elsewhere.example", dial=emulated.address)
    )
    with pytest.raises(InvalidValue) as caught:
        build(elsewhere, LoopbackDialer())
    assert (caught.value.field, caught.value.fix) == ("endpoint", "https://api.linode.com")


def test_no_machine_is_made_where_none_could_be_found_again(emulated: Emulated) -> None:
    """A creation is refused before anything is sent."""
    before = len(emulated.asked)
    spec = MachineSpec(name="n", size="1", image="1", tags={"crossway-order": "o"})
    driver = build(account("upcloud", emulated), LoopbackDialer(), CallPolicy(deadline_s=30))
    with pytest.raises(CloudRefused, match="takes no mark"):
        on(driver, lambda driver: driver.create_machine(spec))
    assert emulated.asked[before:] == []


LISTING = sorted(name for name, known in ACCEPTED.items() if known.maker is None)
MARKS = {"tag", "tags", "metadata", "label", "labels", "description", "ex_tags", "ex_metadata", "ex_description"}


@pytest.mark.parametrize("name", LISTING)
def test_why_no_machines_are_made_is_said_and_is_so(name: str, emulated: Emulated) -> None:
    """The reason is told; where it is that libcloud sets no mark, or reads no further page, its code does not."""
    driver: Any = build(account(name, emulated), LoopbackDialer())
    kind = driver._bridge.here(lambda: type(driver._driver()), deadline_s=30)
    why = ACCEPTED[name].lists_only
    told = {provider.name: provider for provider in known_providers()}[name]
    assert told.note == f"lists only: {why}"
    if "no mark" in why:
        assert not MARKS & set(inspect.signature(kind.create_node).parameters)
    elif "first page" in why:
        source = inspect.getsource(kind.list_nodes).lower()
        assert "nexttoken" not in source
        assert "pagesize" not in source


def test_only_where_machines_are_made_is_there_no_reason_against_it() -> None:
    """A reason stands at each of the others, and nowhere else."""
    assert [name for name, known in sorted(ACCEPTED.items()) if known.lists_only] == LISTING


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_the_table_says_what_libcloud_s_driver_does(name: str, emulated: Emulated) -> None:
    """A capability is in the table if and only if libcloud's driver has its method."""
    driver: Any = build(account(name, emulated), LoopbackDialer())
    call = driver._bridge.here(lambda: type(driver._driver()), deadline_s=30)
    claimed = {kind for kind, method in _METHODS.items() if getattr(call, method) is not getattr(NodeDriver, method)}
    assert set(ACCEPTED[name].capabilities) == claimed


def test_every_provider_of_libcloud_is_accounted_for() -> None:
    """Accepted or refused with a reason; what libcloud made for its own tests is neither."""
    own = {"ec2", "openstack"}
    assert set(DRIVERS) - {"dummy"} == set(ACCEPTED) | set(REFUSED) | own
    told = {provider.name: provider for provider in known_providers()}
    assert set(told) == set(DRIVERS) - {"dummy"} | {"simulated"}
    assert all(provider.how for provider in told.values())
    assert told["ec2"].capabilities["machine"] is Standing.SERVER
    assert {name for name in (*ACCEPTED, *REFUSED) if told[name].creates} == set(EMULATORS)
    for name in (*ACCEPTED, *REFUSED):
        assert told[name].creates == ("machine" in told[name].capabilities)
        assert (told[name].standing is Standing.EMULATED) == told[name].creates
        assert told[name].may == (
            () if name in REFUSED else ("list", "create", "act")[: 3 if told[name].creates else 1]
        )
    assert {provider.standing for provider in told.values()} == set(Standing)


@pytest.mark.parametrize("name", ["gig_g8", "outscale"])
def test_those_that_go_past_the_dial_are_refused_for_it(name: str) -> None:
    """Libcloud's modules for them call the network themselves."""
    source = Path(import_module(DRIVERS[name][0]).__file__ or "").read_text()
    source += Path(import_module("libcloud.common.gig_g8").__file__ or "").read_text() if name == "gig_g8" else ""
    assert "requests.post(" in source or "requests.get(" in source
    assert "dial" in REFUSED[name][1]
