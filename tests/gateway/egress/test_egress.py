"""A provisioner in another process calls clouds through the gateway: as far as the grants allow, and no further."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from catalog import consent
from catalog.clouds import CloudAccount, CloudDriver, MachineAction, MachineSpec
from catalog.errors import (
    CallsExhausted,
    CloudDisconnected,
    CloudError,
    CloudMisbehaved,
    CloudQuotaExhausted,
    CloudRefused,
    CloudTimedOut,
    CloudUnavailable,
)
from catalog.messages.contracts import TAG_MACHINE
from catalog.model.consent import Grant
from catalog.ports import Address, Dialer
from catalog.store import rows
from gateway.connections.enforcement import Enforcement
from gateway.egress.asked import ASKS_LIMIT
from gateway.egress.client import EgressClouds, egress_clouds
from gateway.egress.frames import SUBSYSTEM, VERSION, read_frame, write_frame
from gateway.egress.keys import EgressKeys
from gateway.egress.server import USER, egress_server
from gateway.errors import InvalidSettings
from routing.tunnel.policy import TunnelPolicy
from tests.support.connecting import Connecting
from tests.support.sshd import free_port
from tests.support.waiting import until

SPEC = MachineSpec(name="m", size="s1", image="i1", tags={TAG_MACHINE: "machine_1", "crossway-owner": "us"})
POLICY = TunnelPolicy(hop_timeout_s=20, keepalive_s=0.2, keepalive_count=100)
OWNER = "gateway_1"


class Egress:
    """A gateway that lets provisioners in, and one provisioner. ``dialers`` are what its drivers were built with."""

    def __init__(self, world: Connecting, folder: Path) -> None:
        self.world = world
        self.keys = EgressKeys.load_or_create(folder / "egress.secret")
        self.address = Address(host="127.0.0.1", port=free_port())
        self.dialers: list[Dialer] = []
        self.accounts: list[CloudAccount] = []

    @property
    def known(self) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
        """The gateway's key, and no other, as asyncssh wants to be told."""
        return [self.keys.gateway.convert_to_public()], [], []

    @asynccontextmanager
    async def gateway(self, *, answer_s: float = 60.0) -> AsyncIterator[None]:
        """Let provisioners in."""
        world = self.world
        enforcement = Enforcement(
            world.store.database, world.store.clock, world.clouds.calls, world.live, world.keeper.let_go, review_s=0.05
        )
        async with (
            egress_server(
                self.address, self.keys, clouds=world.clouds, live=world.live, owner=OWNER, answer_s=answer_s
            ),
            asyncio.TaskGroup() as tasks,
        ):
            enforcing = tasks.create_task(enforcement.run())
            try:
                yield
            finally:
                enforcing.cancel()

    @asynccontextmanager
    async def provisioner(self, keys: EgressKeys | None = None) -> AsyncIterator[EgressClouds]:
        """Be a provisioner."""
        made = egress_clouds(self.address, keys or self.keys, policy=POLICY, build_driver=self._build)
        async with made as clouds:
            yield clouds

    @asynccontextmanager
    async def both(self) -> AsyncIterator[tuple[EgressClouds, CloudDriver]]:
        """Connect the platform; return the provisioner's clouds and its driver, once its line stands."""
        async with self.world.target():
            await self.world.connect()
            async with self.gateway(), self.provisioner() as clouds:
                assert await clouds.owner() == OWNER
                yield clouds, await clouds.driver(self.world.platform)
            await self.world.disconnect()

    def _build(self, account: CloudAccount, dialer: Dialer) -> CloudDriver:
        self.accounts.append(account)
        self.dialers.append(dialer)
        return self.world.cloud


@pytest.fixture
def egress(world: Connecting, tmp_path: Path) -> Egress:
    """Return the two, neither of which runs yet."""
    return Egress(world, tmp_path)


async def machine_grant(world: Connecting) -> Grant:
    """Return the grant of machines."""
    found = await world.store.database.read(lambda tx: rows.where(tx, Grant))
    return next(each for each in found if each.capability == "machine")


def test_a_provisioner_s_calls_are_made_there_and_counted_here(egress: Egress) -> None:
    """It finds, makes, reads and destroys with its own driver, for the account that the gateway has, counted by it."""
    world = egress.world

    async def run() -> None:
        async with egress.both() as (_, driver):
            connection = world.live.to_platform(world.platform).connection
            before = [each.calls for each in await world.open_sessions(connection)]
            assert list(await driver.find_machines(SPEC.tags)) == []
            made = await driver.create_machine(SPEC)
            assert [each.cloud_id for each in await driver.find_machines(SPEC.tags)] == [made.cloud_id]
            assert await driver.machine(made.cloud_id) is not None
            await driver.act(made.cloud_id, MachineAction.DESTROY)
            assert world.cloud.ledger == [SPEC]
            assert world.cloud.destroyed == [made.cloud_id]
            after = [each.calls for each in await world.open_sessions(connection)]
            assert after == [each + 5 for each in before]
        [account] = egress.accounts
        assert (account.platform, account.secret.reveal()) == (world.platform, world.built[0].secret.reveal())

    asyncio.run(run())


@pytest.mark.parametrize(
    "error",
    [
        CloudUnavailable("busy", fix="later"),
        CloudDisconnected("cut"),
        CloudQuotaExhausted("no more", field="machine", detail="403"),
        CloudTimedOut("no answer"),
        CallsExhausted("ten a minute", again_s=7),
    ],
    ids=lambda each: each.code,
)
def test_an_error_of_the_cloud_arrives_as_it_was(egress: Egress, error: CloudError) -> None:
    """Its kind, words, remedy and the time to wait come back to whoever asked, through both processes."""

    async def fails(tags: object) -> None:
        del tags
        raise error

    async def run() -> None:
        async with egress.both() as (_, driver):
            egress.world.cloud.find_machines = fails  # type: ignore[method-assign,assignment]
            with pytest.raises(type(error)) as caught:
                await driver.find_machines({})
            told = caught.value
            assert (str(told), told.field, told.fix, told.detail) == (str(error), error.field, error.fix, error.detail)
            if isinstance(error, CloudUnavailable):
                assert isinstance(told, CloudUnavailable)
                assert told.retry_after_s == error.retry_after_s

    asyncio.run(run())


def test_what_is_not_granted_is_never_called(egress: Egress) -> None:
    """After the grant's end the gateway refuses, and the cloud hears nothing of a creation."""
    world = egress.world

    async def run() -> None:
        async with egress.both() as (_, driver):
            grant, now_s = await machine_grant(world), world.store.now_s
            await world.store.database.write(lambda tx: consent.revoke(tx, grant.id, now_s))
            with pytest.raises(CloudRefused):
                await driver.create_machine(SPEC)
        assert world.cloud.creations_begun == 0

    asyncio.run(run())


def test_a_creation_under_way_is_cut_when_its_grant_ends(egress: Egress) -> None:
    """The provisioner's call is stopped and ends unknown, though its cloud never answers."""
    world = egress.world
    world.cloud.hold_creations = asyncio.Event()

    async def run() -> None:
        async with egress.both() as (_, driver), asyncio.TaskGroup() as tasks:

            async def end() -> None:
                await world.cloud.creation_begun.wait()
                grant, now_s = await machine_grant(world), world.store.now_s
                await world.store.database.write(lambda tx: consent.revoke(tx, grant.id, now_s))

            tasks.create_task(end())
            with pytest.raises(CloudTimedOut, match="not known"):
                await driver.create_machine(SPEC)
            assert len(world.clouds.calls) == 0

    asyncio.run(run())


def test_only_what_a_provisioner_needs_can_be_asked(egress: Egress) -> None:
    """Lists of an account, and machines that are in use, are none of its business, whatever is granted."""

    async def run() -> None:
        async with egress.both() as (_, driver):
            for call in (
                driver.log_in(), driver.rights(), driver.listing("size"), driver.prove("machine"),
                driver.act("m1", MachineAction.STOP), driver.rebuild("m1", "i1"), driver.console("m1"),
            ):  # fmt: skip
                with pytest.raises(CloudRefused, match="no provisioner may ask"):
                    await call

    asyncio.run(run())


def test_more_questions_than_are_answered_at_once_all_are(egress: Egress) -> None:
    """What is beyond the limit waits for its turn, and keeps no answer from being heard."""
    most = 0
    under_way: list[object] = []

    async def finds(tags: object) -> list[Any]:
        nonlocal most
        under_way.append(tags)
        most = max(most, len(under_way))
        await asyncio.sleep(0)
        under_way.remove(tags)
        return []

    async def run() -> None:
        async with egress.both() as (_, driver):
            egress.world.cloud.find_machines = finds  # type: ignore[method-assign,assignment]
            async with asyncio.TaskGroup() as tasks:
                asks = [tasks.create_task(driver.find_machines({"n": str(n)})) for n in range(ASKS_LIMIT + 20)]
            assert [list(each.result()) for each in asks] == [[]] * (ASKS_LIMIT + 20)
            assert 1 < most <= ASKS_LIMIT

    asyncio.run(run())


def test_what_a_provisioner_gives_up_waiting_for_is_given_up(egress: Egress) -> None:
    """Its call is stopped, the gateway waits for no answer, and nothing may be dialled for it any more."""
    world = egress.world
    world.cloud.hold_creations = asyncio.Event()

    async def run() -> None:
        async with egress.both() as (_, driver):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await driver.create_machine(SPEC)
            await until(lambda: len(world.clouds.calls) == 0)
            endpoint = egress.accounts[0].endpoint.dial
            assert await asyncio.to_thread(outcome, egress.dialers[0], endpoint) == "refused"

    asyncio.run(run())


def test_a_provisioner_that_never_answers_is_not_waited_for(egress: Egress) -> None:
    """Longer than any call takes nobody waits: the question ends unknown, and the call is cut."""

    async def run() -> None:
        world = egress.world
        async with world.target():
            await world.connect()
            async with egress.gateway(answer_s=0.1), raw_line(egress) as (reader, writer):
                write_frame(writer, {"reads": [VERSION]})
                await read_frame(reader)
                question = {"platform": world.platform, "method": "find_machines", "arguments": {"tags": {"a": "b"}}}
                write_frame(writer, {"ask": 1, **question})
                call = await read_frame(reader)
                assert await read_frame(reader) == {"cut": call["call"]}
                assert (await read_frame(reader))["error"]["code"] == CloudTimedOut.code
            await world.disconnect()

    asyncio.run(run())


def test_addresses_are_dialled_for_calls_under_way_and_no_others(egress: Egress) -> None:
    """The platform's approved endpoint is reached during a call there; nothing else, and nothing afterwards."""
    world = egress.world
    outcomes: list[str] = []

    async def dials(tags: object) -> list[Any]:
        del tags
        [dialer] = egress.dialers
        endpoint = egress.accounts[0].endpoint.dial
        elsewhere = Address(host=endpoint.host, port=free_port())
        outcomes.extend([await asyncio.to_thread(outcome, dialer, each) for each in (endpoint, elsewhere)])
        return []

    async def run() -> None:
        async with egress.both() as (_, driver):
            world.cloud.find_machines = dials  # type: ignore[method-assign,assignment]
            await driver.find_machines({})
            outcomes.append(await asyncio.to_thread(outcome, egress.dialers[0], egress.accounts[0].endpoint.dial))

    asyncio.run(run())
    assert outcomes == ["connected", "refused", "refused"]


def outcome(dialer: Dialer, address: Address) -> str:
    """Dial, and say what came of it."""
    try:
        found: socket.socket = dialer.dial(address, timeout_s=20)
    except CloudUnavailable:
        return "refused"
    found.close()
    return "connected"


def test_a_call_ends_unknown_when_the_line_breaks(egress: Egress) -> None:
    """A gateway that goes away in mid-creation leaves the outcome open; the next one is reached by itself."""
    world = egress.world
    world.cloud.hold_creations = asyncio.Event()

    async def run() -> None:
        async with world.target():
            await world.connect()
            async with egress.provisioner() as clouds:
                async with asyncio.TaskGroup() as tasks, egress.gateway():
                    await clouds.owner()
                    driver = await clouds.driver(world.platform)
                    creating = tasks.create_task(ended(driver))
                    await world.cloud.creation_begun.wait()
                assert isinstance(creating.result(), CloudTimedOut)
                with pytest.raises(CloudUnavailable):
                    await driver.find_machines({})
                world.cloud.hold_creations = None
                async with egress.gateway():
                    await clouds.owner()
                    await (await clouds.driver(world.platform)).create_machine(SPEC)
            await world.disconnect()
        assert len(world.cloud.ledger) == 1

    asyncio.run(run())


async def ended(driver: CloudDriver) -> BaseException | None:
    """Create a machine and return what that failed with."""
    try:
        await driver.create_machine(SPEC)
    except CloudError as error:
        return error
    return None


@pytest.mark.parametrize("key", ["another secret's", "no key"])
def test_strangers_are_not_let_in(egress: Egress, tmp_path: Path, key: str) -> None:
    """Without the secret nobody comes in, as whomever they log in."""
    other = EgressKeys.load_or_create(tmp_path / "another.secret")

    async def run() -> None:
        async with egress.world.target(), egress.gateway():
            keys = [other.provisioner] if key == "another secret's" else None
            with pytest.raises(asyncssh.PermissionDenied):
                await asyncssh.connect(
                    egress.address.host, egress.address.port, username=USER, client_keys=keys, known_hosts=egress.known,
                    agent_path=None, config=None, preferred_auth=["publickey", "password", "keyboard-interactive"],
                )  # fmt: skip

    asyncio.run(run())


def test_a_provisioner_speaks_to_its_own_gateway_only(egress: Egress, tmp_path: Path) -> None:
    """To one that has another secret it says nothing: the host key is not the one that it derives."""
    other = EgressKeys.load_or_create(tmp_path / "another.secret")

    async def run() -> None:
        async with egress.world.target(), egress.gateway(), egress.provisioner(other) as clouds:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    await clouds.owner()

    asyncio.run(run())


@asynccontextmanager
async def raw_line(egress: Egress) -> AsyncIterator[tuple[Any, Any]]:
    """Open the subsystem as a provisioner with the right key does; return what to read from and to write to."""
    async with asyncssh.connect(
        egress.address.host, egress.address.port, username=USER, client_keys=[egress.keys.provisioner],
        known_hosts=egress.known, agent_path=None, config=None,
    ) as connection:  # fmt: skip
        writer, reader, _ = await connection.open_session(subsystem=SUBSYSTEM, encoding=None)
        yield reader, writer


def test_versions_are_agreed_on(egress: Egress) -> None:
    """A provisioner that also reads a later version is answered in ours; one that does not read ours is told so."""

    async def run() -> None:
        async with egress.world.target(), egress.gateway():
            async with raw_line(egress) as (reader, writer):
                write_frame(writer, {"reads": [VERSION, VERSION + 1], "new": "field"})
                assert await read_frame(reader) == {"version": VERSION, "owner": OWNER}
            async with raw_line(egress) as (reader, writer):
                write_frame(writer, {"reads": [VERSION + 1]})
                assert (await read_frame(reader))["error"]["code"] == CloudRefused.code

    asyncio.run(run())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"\xff\xff\xff\xff", id="more than may be said at once"),
        pytest.param(b"\x00\x00\x00\x02[]", id="no object"),
        pytest.param(b"\x00\x00\x00\x02{]", id="no JSON"),
        pytest.param(b'\x00\x00\x00\x0e{"answer": []}', id="no number"),
    ],
)
def test_who_speaks_no_frames_is_sent_away(egress: Egress, said: bytes) -> None:
    """The line ends, and the next one serves."""

    async def run() -> None:
        async with egress.world.target(), egress.gateway():
            async with raw_line(egress) as (reader, writer):
                write_frame(writer, {"reads": [VERSION]})
                await read_frame(reader)
                writer.write(said)
                with pytest.raises(asyncio.IncompleteReadError):
                    await read_frame(reader)
            async with egress.provisioner() as clouds:
                assert await clouds.owner() == OWNER

    asyncio.run(run())


def test_an_answer_that_makes_no_sense_is_the_provisioner_s_failure(egress: Egress) -> None:
    """What the gateway cannot make sense of ends the question with that, and not the line."""

    async def run() -> None:
        world = egress.world
        async with world.target():
            await world.connect()
            async with egress.gateway(), raw_line(egress) as (reader, writer):
                write_frame(writer, {"reads": [VERSION]})
                await read_frame(reader)
                question = {"platform": world.platform, "method": "find_machines", "arguments": {"tags": {"a": "b"}}}
                write_frame(writer, {"ask": 1, **question})
                call = await read_frame(reader)
                write_frame(writer, {"answer": call["call"], "result": [{"cloud_id": 5}]})
                assert (await read_frame(reader))["error"]["code"] == CloudMisbehaved.code
                write_frame(writer, {"ask": 2, **question, "method": "close"})
                assert (await read_frame(reader))["error"]["code"] == CloudMisbehaved.code
            await world.disconnect()

    asyncio.run(run())


NOT_SECRETS = {
    "nothing": "",
    "no base64": "short",
    "too short": base64.b64encode(b"x" * 31).decode(),
    "no ASCII": "ü" * 44,
}


@pytest.mark.parametrize("text", NOT_SECRETS.values(), ids=NOT_SECRETS)
def test_a_file_that_holds_no_such_secret_is_refused(tmp_path: Path, text: str) -> None:
    """It says which setting names the file, and what would be right."""
    path = tmp_path / "egress.secret"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InvalidSettings, match="gateway and provisioners share") as caught:
        EgressKeys.load(path)
    assert caught.value.field == "provision.secret_file"


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """The second start reads what the first one made; others can read nothing."""
    path = tmp_path / "egress.secret"
    first, second = EgressKeys.load_or_create(path), EgressKeys.load_or_create(path)
    assert first.gateway.public_data == second.gateway.public_data != first.provisioner.public_data
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(InvalidSettings, match="others may read"):
        EgressKeys.load(path)
