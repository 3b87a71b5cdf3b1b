"""A platform whose cloud and connector are hostile by turns harms nobody else, and is offered again once it behaves.

Two platforms in one gateway, in a network of their own in which the metadata address is there and counts who calls.
While one misbehaves, the other's orders, lists, rights, revocation and new grant go on as ever.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catalog.ports import Address
from gateway.client.client import Client
from gateway.clock import SystemClock
from gateway.demo.clouds.ca import PrivateAuthority
from tests.support.clouds import simulated_cloud
from tests.support.doors import Door, door
from tests.support.echo import Echo, echo
from tests.support.hostile import Behaviour, answer, drip, endless_headers, hang, http, raw, request_body
from tests.support.lab import Lab, require_lab
from tests.support.small_world import (
    GRANT_ALL,
    PATIENCE_S,
    PLATFORM,
    SERVICES,
    Estate,
    Program,
    SmallWorld,
    small_world,
    start_connector,
)
from tests.support.sshd import free_port
from tests.support.waiting import wait_until

HOSTILE = "hostile"
METADATA = "169.254.169.254"
NAME = "cloud.hostile.example"
# The one capability that the hostile owner has yet to decide on, so that its connector is asked again and again.
UNDECIDED = "volume"
CAPABILITIES = frozenset(SERVICES)
GIB = 1024**3
# The gateway keeps 8 MiB of an answer at most, of four calls to a platform at once, and what parsing makes of it: less
# than an eighth of the body that is sent here, and keeping any of these endless answers would take more.
GROWTH_LIMIT_BYTES = GIB // 8
SETTINGS = "timeout_s = 2.0\n[discovery]\nperiod_s = 2.0\n[clouds]\ncall_timeout_s = 5.0\nlist_timeout_s = 20.0\n"
ESCAPES = '\x1b[2J\u202e\r\n{"level": "ERROR", "message": "forged"}'


# A row that makes sense as whatever is listed.
ROW = {
    "country": "DE", "vcpu": 1, "memory_mib": 1024, "disk_gib": 1, "price_per_hour": 0.1, "public_key": "ssh-ed25519 A",
    "fingerprint": "SHA256:a", "size_gib": 1, "state": "RUNNING", "addresses": [], "tags": {}, "reason": "",
    "size": "s", "image": "i", "network": None,
}  # fmt: skip


async def endless_pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request on the connection with a page of many rows, and that there is another."""
    for number in range(10**9):
        await request_body(reader)
        rows = [{**ROW, "id": (name := f"x-{number}-{row}"), "name": name} for row in range(500)]
        await answer(writer, json.dumps({"items": rows, "total": 10**9, "next": str(number + 1)}).encode())


async def gibibyte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body of one GiB, as fast as it is taken."""
    await request_body(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % GIB)
    piece = b" " * 65_536
    for _ in range(GIB // len(piece)):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)  # over TLS a lost peer is noticed by the loop only
    await reader.read()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the first bytes with what is no TLS."""
    await reader.read(1)
    writer.write(b"\x16\x03\x03\xff\xffSSH-2.0-garbage\r\n" * 100)
    await writer.drain()
    await reader.read()


REDIRECT = raw(
    f"HTTP/1.1 302 Found\r\nLocation: http://{METADATA}/latest/meta-data/\r\nContent-Length: 0\r\n\r\n".encode()
)
WRONG_TYPES = http(json.dumps({"items": {"id": [7]}, "total": "many", "next": {}, "services": 3}).encode())
WRONG_WORDS = http(json.dumps({"error": ESCAPES}).encode(), status="400 Bad Request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The good platform's world; the hostile one's connector and doors; who called the metadata address."""

    world: SmallWorld
    owner: Client  # of the hostile platform
    tenant: Client
    wire: Door  # before the hostile cloud's TLS
    api: Door  # behind it
    connector: Door
    metadata: Echo

    def offers(self, platform: str) -> dict[str, dict[str, Any]]:
        """Return the platform's offers by capability."""
        return {
            each["capability"]: dict(each) for each in self.world.admin.offers.list() if each["platform"] == platform
        }

    def on_offer(self, platform: str) -> set[str]:
        """Return what the platform has on offer."""
        return {name for name, each in self.offers(platform).items() if each["state"] == "offered"}

    def all_is_well(self) -> bool:
        """Tell whether both platforms offer all that they grant."""
        return self.on_offer(PLATFORM) == CAPABILITIES and self.on_offer(HOSTILE) == CAPABILITIES - {UNDECIDED}

    def proved(self) -> dict[str, str]:
        """Return when each right of the good platform was last proved."""
        return {each["capability"]: each["proved_at"] for each in self.world.admin.platforms.rights(PLATFORM)}

    def peak_bytes(self) -> int:
        """Return the most memory that the gateway's process has had since ``peak_anew``."""
        return int((self._process() / "status").read_text().split("VmHWM:")[1].split()[0]) * 1024

    def peak_anew(self) -> int:
        """Count the most memory from now on, so that no case hides behind an earlier one's, and return the present."""
        (self._process() / "clear_refs").write_text("5")
        return self.peak_bytes()

    def _process(self) -> Path:
        assert self.world.gateway is not None
        return Path(f"/proc/{self.world.gateway.process.pid}")


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    """Both connected, with all on offer, but for what the hostile owner has yet to decide."""
    require_lab()
    folder = tmp_path_factory.mktemp("world")
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(seed=1))
        lab.add_host("site")
        done = lab.run("site", ["ip", "address", "add", f"{METADATA}/32", "dev", "lo"])
        assert done.returncode == 0, done.stderr
        stack.enter_context(lab.enter("site"))
        metadata = stack.enter_context(echo(METADATA, port=80))
        with socket.create_connection((METADATA, 80)):
            wait_until(lambda: metadata.accepted == 1, "who calls the metadata address is counted")
        world = stack.enter_context(small_world(folder, settings=SETTINGS))
        world.start_gateway()
        world.declare_network()
        world.admin.grant_rules.create(platform="*", capability="*")
        world.enrol()
        yield joined(stack, world, metadata)


def joined(stack: ExitStack, world: SmallWorld, metadata: Echo) -> Neighbours:
    """Enrol the hostile platform, whose cloud speaks TLS, beside the good one; connect both."""
    here = world.folder / HOSTILE
    here.mkdir(mode=0o700)
    cloud = stack.enter_context(simulated_cloud(here))
    authority = PrivateAuthority("The hostile authority", now_s=SystemClock().now_s())
    api = stack.enter_context(door(cloud.address, tls=served(here, authority)))
    wire = stack.enter_context(door(api.address))
    port = free_port()
    program = undecided_connector(world, port)
    stack.callback(program.stop)
    connector = stack.enter_context(door(Address(host="127.0.0.1", port=port)))
    estate = Estate(
        name=HOSTILE, cloud=cloud, api=wire.address, connector=connector.address, key_folder=world.folder / "undecided",
        url=f"https://{NAME}:{wire.address.port}", ca_pem=authority.ca_pem,
    )  # fmt: skip
    owner = Client(world.server, world.enrol_estate(estate)["token"], timeout_s=PATIENCE_S)
    for connection in (owner.connections.request()["id"], world.platform.connections.request()["id"]):
        world.wait_connection(connection, "established")
    found = Neighbours(
        world=world, owner=owner, tenant=world.tenant(), wire=wire, api=api, connector=connector, metadata=metadata
    )
    wait_until(found.all_is_well, "both are on offer", patience_s=2 * PATIENCE_S)
    return found


def undecided_connector(world: SmallWorld, port: int) -> Program:
    """Start the hostile owner's connector, which is a good one; what is hostile is the door before it."""
    asks = f'[policy.{UNDECIDED}]\ndecision = "ask"\n'
    policy = GRANT_ALL.replace(f'[policy.{UNDECIDED}]\ndecision = "grant"\n', asks)
    return start_connector(
        world.folder, port, policy=policy, services=SERVICES, provider="simulated", platform=HOSTILE, name="undecided"
    )


def served(folder: Path, authority: PrivateAuthority) -> ssl.SSLContext:
    """Return the server's side of TLS under ``NAME``."""
    issued = authority.issue([NAME])
    (folder / "cert.pem").write_text(issued.certificate_pem)
    (folder / "key.pem").write_text(issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def live_on(neighbours: Neighbours) -> None:
    """Go through the good platform's day: an order, lists, rights on schedule, a revocation, a new grant."""
    world, tenant = neighbours.world, neighbours.tenant
    before = neighbours.proved()
    choice = choice_of(neighbours, PLATFORM)
    order = tenant.orders.create(**choice)
    (volume,) = [
        each for each in world.admin.grants.list() if (each["platform"], each["capability"]) == (PLATFORM, UNDECIDED)
    ]
    world.platform.grants.revoke(volume["id"])
    assert UNDECIDED not in neighbours.on_offer(PLATFORM), "revoked is gone at once"
    done = tenant.orders.wait(
        order["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=PATIENCE_S
    )
    assert done["state"] == "fulfilled", done
    assert order["id"] in {each["id"] for each in tenant.orders.list()}
    world.admin.grants.ask(volume["id"])
    wait_until(lambda: neighbours.on_offer(PLATFORM) == CAPABILITIES, "granted anew", patience_s=PATIENCE_S)
    wait_until(
        # A right that nobody had proved yet was never before.
        lambda: all(at > before.get(name, "") for name, at in neighbours.proved().items()),
        "every right of the good platform is proved on schedule",
        patience_s=PATIENCE_S,
    )


def choice_of(neighbours: Neighbours, platform: str) -> dict[str, str]:
    """Return what to order of the platform."""
    offer = neighbours.world.admin.offers.get(neighbours.offers(platform)["machine"]["id"])
    return {"offer": offer["id"], "size": str(offer["sizes"][0]["id"]), "image": str(offer["images"][0]["id"])}


def nothing_came_of_it(neighbours: Neighbours, peak_before: int) -> None:
    """Check memory, the metadata address, and that the log is one JSON object a line, without control characters."""
    assert neighbours.peak_bytes() - peak_before < GROWTH_LIMIT_BYTES
    assert neighbours.metadata.accepted == 1, "somebody called the metadata address"
    assert neighbours.world.gateway is not None
    log = neighbours.world.gateway.log
    assert not {each for each in log if not each.isprintable()} - {"\n"}
    assert "forged" not in {json.loads(line).get("message") for line in log.splitlines()}


@pytest.mark.timeout(900)  # each of its grants falls silent by itself, twice
@pytest.mark.parametrize(
    ("at", "behaviour", "reason"),
    [
        pytest.param("api", endless_pages, "longer than any list may be", id="endless-pages"),
        pytest.param("api", gibibyte, "larger than any answer may be", id="one-gibibyte"),
        pytest.param("api", REDIRECT, "a redirect, which is never followed", id="redirect-to-metadata"),
        pytest.param("api", WRONG_TYPES, "makes no sense to its driver", id="wrong-types"),
        pytest.param("api", WRONG_WORDS, "the cloud refused the call (HTTP 400)", id="words-that-control-terminals"),
        pytest.param("api", endless_headers, "not HTTP as it should be", id="endless-headers"),
        pytest.param("api", drip, "no complete answer within the deadline", id="drip"),
        pytest.param("api", hang, "no complete answer within the deadline", id="hang"),
        pytest.param("wire", garbage, "does not speak TLS", id="garbage-for-tls"),
    ],
)
def test_a_hostile_cloud_harms_nobody_else(neighbours: Neighbours, at: str, behaviour: Behaviour, reason: str) -> None:
    """Its own offers degrade and say what was wrong; the neighbour's day goes on; it is offered again afterwards."""
    wait_until(neighbours.all_is_well, "both are on offer", patience_s=2 * PATIENCE_S)
    peak = neighbours.peak_anew()
    door: Door = getattr(neighbours, at)
    with door.behaving(behaviour):
        live_on(neighbours)
        wait_until(lambda: not neighbours.on_offer(HOSTILE), "all of it is degraded", patience_s=5 * PATIENCE_S)
        live_on(neighbours)
        told = {name: each["reason"] for name, each in neighbours.offers(HOSTILE).items() if name != UNDECIDED}
        assert door.misbehaved
    assert set(told) == CAPABILITIES - {UNDECIDED}, "degraded, and none of it withdrawn"
    assert all(reason in each for each in told.values()), told
    nothing_came_of_it(neighbours, peak)
    wait_until(neighbours.all_is_well, "it is offered again", patience_s=2 * PATIENCE_S)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(hang, id="hang"),
        pytest.param(drip, id="drip"),
        pytest.param(gibibyte, id="one-gibibyte"),
        pytest.param(WRONG_TYPES, id="wrong-types"),
        pytest.param(REDIRECT, id="redirect-to-metadata"),
    ],
)
def test_a_hostile_connector_harms_nobody_else(neighbours: Neighbours, behaviour: Behaviour) -> None:
    """It grants nothing by it; what it granted before stays on offer, here and at the neighbour."""
    wait_until(neighbours.all_is_well, "both are on offer", patience_s=2 * PATIENCE_S)
    peak = neighbours.peak_anew()
    with neighbours.connector.behaving(behaviour):
        live_on(neighbours)
        wait_until(lambda: neighbours.connector.misbehaved >= 2, "it is asked again and again", patience_s=PATIENCE_S)
    assert neighbours.on_offer(HOSTILE) == CAPABILITIES - {UNDECIDED}
    nothing_came_of_it(neighbours, peak)


def test_tunnels_that_were_lost_stand_again_while_a_cloud_hangs(neighbours: Neighbours) -> None:
    """Both relays die and come back: the neighbour serves, and the cloud's silence is told as the cloud's."""
    wait_until(neighbours.all_is_well, "both are on offer", patience_s=2 * PATIENCE_S)
    world, owners = neighbours.world, (neighbours.owner, neighbours.world.platform)

    def connections() -> dict[str, str]:
        return {each["id"]: each["state"] for owner in owners for each in owner.connections.list()}

    assert set(connections().values()) == {"established"}
    with neighbours.api.behaving(hang):
        for relay in world.relays.values():
            relay.stop()
        wait_until(lambda: set(connections().values()) != {"established"}, "a tunnel is lost", patience_s=PATIENCE_S)
        for relay in world.relays.values():
            relay.start()
        wait_until(
            lambda: set(connections().values()) == {"established"}, "both stand again", patience_s=2 * PATIENCE_S
        )
        live_on(neighbours)
        wait_until(lambda: not neighbours.on_offer(HOSTILE), "all of it is degraded", patience_s=5 * PATIENCE_S)
    wait_until(neighbours.all_is_well, "it is offered again", patience_s=2 * PATIENCE_S)


def test_in_the_end_both_serve(neighbours: Neighbours) -> None:
    """After all that an order at the platform that was hostile is fulfilled as well."""
    done = neighbours.tenant.orders.create(**choice_of(neighbours, HOSTILE))
    order = neighbours.tenant.orders.wait(
        done["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=PATIENCE_S
    )
    assert order["state"] == "fulfilled", order
