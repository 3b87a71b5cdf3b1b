"""Dialling out to a real sshd: what it gives is announced, leads where the file says, and comes back when lost."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.messages.signed_request import SCHEME
from catalog.ports import Address
from gateway.client.address import parse_address
from gateway.clock import SystemClock
from gateway.connector.dial_out import DialingOut, DialPolicy
from gateway.connector.gateway_door import ANNOUNCEMENTS_PATH, GatewayDoor
from gateway.connector.outward import DialOut, GatewayAccess, RelayAccess
from tests.support.echo import Echo, echo
from tests.support.sshd import Sshd
from tests.support.waiting import wait_until

PATIENCE_S = 60.0
EAGER = DialPolicy(pause_first_s=0.05, pause_longest_s=0.2)
REMOTE = "Match User *\n  AllowTcpForwarding remote\n  PermitListen 127.0.0.1:*\n"
OPTIONS = 'restrict,port-forwarding,permitlisten="127.0.0.1:*",permitopen="none.invalid:1"'


class Announced:
    """A gateway that takes announcements; the next ``refuse`` ones are answered with ``refusal``."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Mapping[str, int]] = asyncio.Queue()
        self.refuse = 0
        self.refusal = 403

    async def take(self, request: web.Request) -> web.Response:
        """Note it."""
        assert request.headers["Authorization"].startswith(SCHEME)
        if self.refuse:
            self.refuse -= 1
            headers = {"Location": ANNOUNCEMENTS_PATH}
            return web.json_response({"code": "denied", "detail": "not it"}, status=self.refusal, headers=headers)
        body = json.loads(await request.read())
        assert body["relay"] == "one"
        self.told.put_nowait(body["ports"])
        return web.json_response({})


@asynccontextmanager
async def dialling(relay: Sshd, key: asyncssh.SSHKey, target: Echo, *, host_key: str = "") -> AsyncIterator[Announced]:
    """Dial out to ``relay``, bringing ``target`` along, while the block lasts."""
    gateway = Announced()
    app = web.Application()
    app.router.add_post(ANNOUNCEMENTS_PATH, gateway.take)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    door = GatewayDoor(
        access=GatewayAccess(server=parse_address(f"http://127.0.0.1:{listener.getsockname()[1]}")),
        platform="north",
        gateway_key="key",
        key=Ed25519PrivateKey.generate(),
        clock=SystemClock(),
    )
    access = RelayAccess(
        name="one",
        address=Address(host=relay.host, port=relay.port),
        user=relay.user,
        host_key=host_key or relay.host_key,
    )
    to = Address(host=target.address[0], port=target.address[1])
    plan = DialOut(key_file=Path("unused"), relays=(access,), targets={"api": to})
    try:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            dialing = tasks.create_task(DialingOut(plan=plan, key=key, door=door, policy=EAGER).run())
            yield gateway
            dialing.cancel()
    finally:
        await runner.cleanup()


def run(directory: Path, story: Callable[[Sshd, asyncssh.SSHKey, Echo], Awaitable[None]]) -> None:
    """Run ``story`` with a relay that lets the key dial out, and a server to bring along."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    line = f"{OPTIONS} {key.export_public_key().decode().strip()}"
    with Sshd(directory, line, config=REMOTE) as relay, echo("127.0.0.1") as target:
        asyncio.run(story(relay, key, target))


async def shouted(port: int) -> bytes:
    """Return what the relay's loopback answers at ``port``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def test_the_relays_port_leads_to_the_target_and_outlives_the_relay(tmp_path: Path) -> None:
    """After the relay's end the connector comes back by itself, and the port that is announced works."""

    async def story(relay: Sshd, key: asyncssh.SSHKey, target: Echo) -> None:
        async with dialling(relay, key, target) as gateway:
            assert await shouted((await gateway.told.get())["api"]) == b"HELLO heard 5"
            await asyncio.to_thread(relay.stop)
            await asyncio.to_thread(relay.start)
            assert await shouted((await gateway.told.get())["api"]) == b"HELLO heard 5"

    run(tmp_path, story)


@pytest.mark.parametrize("refusal", [pytest.param(403, id="refused"), pytest.param(307, id="a redirect")])
def test_an_announcement_that_is_not_heard_is_made_again(tmp_path: Path, refusal: int) -> None:
    """An exit that an admin approves later is taken up without anybody touching the connector; so is a mended proxy."""

    async def story(relay: Sshd, key: asyncssh.SSHKey, target: Echo) -> None:
        async with dialling(relay, key, target) as gateway:
            gateway.refuse, gateway.refusal = 2, refusal
            assert await shouted((await gateway.told.get())["api"]) == b"HELLO heard 5"
            assert gateway.refuse == 0

    run(tmp_path, story)


def test_a_relay_with_another_host_key_gets_nothing(tmp_path: Path) -> None:
    """The key is never shown to it, and nothing is announced, however often it is tried."""

    async def story(relay: Sshd, key: asyncssh.SSHKey, target: Echo) -> None:
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
        async with dialling(relay, key, target, host_key=other) as gateway:
            await asyncio.to_thread(_wait_refused, relay, 2)
            assert gateway.told.empty()
        assert "Accepted" not in relay.log

    run(tmp_path, story)


def _wait_refused(relay: Sshd, times: int) -> None:
    wait_until(lambda: relay.log.count("Connection from") >= times, "it tried again")


Attempt = Callable[[asyncssh.SSHClientConnection, Sshd], Awaitable[object]]


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda connection, _: connection.run("true", check=True), id="a command"),
        pytest.param(lambda connection, _: connection.create_process(term_type="xterm"), id="a shell"),
        pytest.param(lambda connection, relay: connection.open_connection(relay.host, relay.port), id="a dial"),
        pytest.param(
            lambda connection, _: connection.forward_remote_port("0.0.0.0", 0, "x", 1),
            id="listening for all",
        ),
    ],
)
def test_the_relays_key_line_allows_nothing_else(tmp_path: Path, attempt: Attempt) -> None:
    """No command, no shell, no forwarding to anywhere, no listening but on loopback: by the options alone."""

    async def story(relay: Sshd, key: asyncssh.SSHKey, _target: Echo) -> None:
        host_key = asyncssh.import_public_key(relay.host_key)
        async with asyncssh.connect(
            relay.host, relay.port, username=relay.user, known_hosts=([host_key], [], []), client_keys=[key],
            config=None, agent_path=None,
        ) as connection:  # fmt: skip
            with pytest.raises((asyncssh.Error, asyncssh.ChannelListenError, OSError)):
                await attempt(connection, relay)

    run(tmp_path, story)
