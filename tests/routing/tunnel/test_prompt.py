"""The prompt way to log in, held to a real sshd: what goes out early, what never does, and that it can be done without.

What is sent when is read from asyncssh's own log. Whatever changes there of what this way stands on shows here.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

import asyncssh
import pytest

from routing.errors import HopRefused, HostKeyMismatch
from routing.topology import Address
from routing.tunnel.hops import connect_hop
from routing.tunnel.policy import PoolPolicy
from routing.tunnel.prompt import PromptConnection, is_understood
from tests.routing.world import MakeWorld, World, delaying_proxy, echo_server
from tests.support.waiting import wait_until

_LOG_IN = "our log-in is sent"
# In asyncssh's words; every line begins with the connection's number, from 0 in each test.
_OFFER = "] Requesting key exchange"
_VERSION = "] Received version"
_SERVICE = "] Request for service"
_ACCEPTED = "] Auth for user"
_OPEN = "chan=0]   Initial recv window"
_OPENED = "chan=0]   Initial send window"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    """Capture all that asyncssh says; its connections are numbered from 0."""
    monkeypatch.setattr(asyncssh.connection.SSHConnection, "next_conn", 0)
    asyncssh.set_debug_level(2)
    with caplog.at_level(logging.DEBUG, "asyncssh"):
        yield caplog
    asyncssh.set_debug_level(1)


def _place(lines: pytest.LogCaptureFixture, words: str, connection: int = 0) -> int:
    """Return where in the log ``words`` of that connection stand."""
    found = [
        place
        for place, line in enumerate(lines.messages)
        if words in line and (line.startswith(f"[conn={connection}") or words == _LOG_IN)
    ]
    assert found, f"asyncssh never says {words!r}"
    return found[0]


def _note(_connection: asyncssh.SSHClientConnection) -> None:
    logging.getLogger("asyncssh").debug(_LOG_IN)


async def _hop(here: World) -> None:
    relay = here.topology().relays[0]
    hop = await connect_hop(
        relay,
        Address(*here.sshds[0].address),
        through=None,
        credentials=here.credentials,
        policy=here.policy,
        on_log_in=_note,
    )
    hop.connection.close()
    await hop.connection.wait_closed()


def test_this_asyncssh_is_known() -> None:
    """The installed asyncssh is one that the prompt way was read in; else every log-in takes twice the time."""
    assert is_understood()


def test_offer_and_log_in_go_out_unasked(world: MakeWorld, lines: pytest.LogCaptureFixture) -> None:
    """The key exchange is offered before the relay's version came, the log-in sent before the service is granted."""
    asyncio.run(_hop(world(1)))
    assert _place(lines, _OFFER) < _place(lines, _VERSION)
    assert _place(lines, _LOG_IN) < _place(lines, _SERVICE) < _place(lines, _ACCEPTED)


def test_the_next_hop_is_dialled_behind_the_log_in(world: MakeWorld, lines: pytest.LogCaptureFixture) -> None:
    """With three relays, the channel to the second and third is asked for before the relay before them let us in.

    The first is 100 ms away, which is far more than we take to ask.
    """
    here = world(3)

    async def run() -> None:
        async with delaying_proxy(Address(*here.sshds[0].address), 0.05) as near, here.pool() as pool:
            here.sshds[0].port = near.port
            await pool.lease(("r1", "r2", "r3"), here.topology())

    asyncio.run(run())
    for connection in (0, 1):
        asked, let_in, opened = (_place(lines, words, connection) for words in (_OPEN, _ACCEPTED, _OPENED))
        assert asked < let_in < opened


def test_nothing_goes_to_a_relay_with_another_key(world: MakeWorld, lines: pytest.LogCaptureFixture) -> None:
    """Neither log-in nor channel is sent where the host key is not the pinned one: not early, and not at all."""
    here = world(2)
    here.pins["r1"] = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()

    async def run() -> None:
        with pytest.raises(HostKeyMismatch):
            await _hop(here)
        async with here.pool() as pool:
            with pytest.raises(HostKeyMismatch) as refused:
                await pool.lease(("r1", "r2"), here.topology())
            assert refused.value.hop == "r1"

    asyncio.run(run())
    assert not any(_LOG_IN in line or "Requesting service" in line or _OPEN in line for line in lines.messages)
    assert "publickey" not in here.sshds[0].log
    assert "Connection from" not in here.sshds[1].log


def test_a_refused_log_in_opens_nothing(world: MakeWorld) -> None:
    """A channel asked for behind a log-in that is refused fails with it, and the relay never dials the next."""
    here = world(2)
    (here.sshds[0].directory / "authorized_keys").write_text("")

    async def run() -> None:
        async with here.pool() as pool:
            with pytest.raises(HopRefused, match="does not accept our key"):
                await pool.lease(("r1", "r2"), here.topology())

    asyncio.run(run())
    here.sshds[0].wait_connections(0)
    assert here.sshds[0].log.count("Connection from") == 1
    assert "Connection from" not in here.sshds[1].log


def test_an_unknown_asyncssh_is_used_its_own_way(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another version of asyncssh nothing of its inside is touched, and relays are reached all the same."""
    monkeypatch.setattr(asyncssh, "__version__", "2.99.0")
    here = world(2)

    async def run() -> None:
        async with here.pool() as pool:
            lease = await pool.lease(("r1", "r2"), here.topology())
            assert [type(hop.connection) for hop in lease.hops] == [asyncssh.SSHClientConnection] * 2

    asyncio.run(run())


class _Front:
    """Stands before a relay and does, to some of those who connect, what a relay might do.

    ``on_haste``: hang up on who says more than its version before the relay has spoken. ``on_keys``: once somebody has
    taken new keys into use, so that a log-in is on its way, ``end`` the connection or carry nothing back any more
    (``mute``). ``served`` says of every connection whether nothing was done to it.
    """

    def __init__(self, upstream: Address, *, on_haste: bool = False, on_keys: str = "") -> None:
        self._upstream = upstream
        self._on_haste = on_haste
        self.on_keys = on_keys
        self.served: list[bool] = []

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Address]:
        """Give the address."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield Address(*server.sockets[0].getsockname()[:2])
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.readline()
        if self._on_haste:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reader.readexactly(1)
                    self.served.append(False)
                    writer.write(b"SSH-2.0-strict\r\n")
                    writer.close()
                    return
        far_reader, far_writer = await asyncio.open_connection(self._upstream.host, self._upstream.port)
        far_writer.write(said)
        on_keys, self.on_keys = self.on_keys, ""
        self.served.append(not on_keys)
        try:
            async with asyncio.TaskGroup() as group:
                back = group.create_task(_carry(far_reader, writer))
                if on_keys:
                    for _ in range(2):  # the offer, and our half of the key exchange
                        far_writer.write(await _packet(reader))
                    keys = await _packet(reader)
                    if on_keys == "end":
                        back.cancel()
                        return
                    far_writer.write(keys)
                    back.cancel()
                await _carry(reader, far_writer)
        finally:
            writer.close()
            far_writer.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """Return one packet that is not encrypted (RFC 4253, 6)."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big"))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


def test_a_relay_that_breaks_off_is_asked_the_other_way(world: MakeWorld) -> None:
    """A relay that hangs up on the prompt way is reached by asyncssh's own, and after three times by that at once.

    So is what lies beyond it: the second relay is dialled over the connection that stands in the end.
    """
    here = world(2)
    front = _Front(Address(*here.sshds[0].address), on_haste=True)

    async def run() -> None:
        async with front.listening() as near, here.pool(limits=PoolPolicy(idle_s=0)) as pool, echo_server() as target:
            here.sshds[0].port = near.port
            topology = here.topology()
            for _ in range(4):
                lease = await pool.lease(("r1", "r2"), topology)
                assert [type(hop.connection) for hop in lease.hops] == [asyncssh.SSHClientConnection, PromptConnection]
                _, writer = await lease.connection.open_connection(target.host, target.port, encoding=None)
                writer.close()
                await lease.release()

    asyncio.run(run())
    assert front.served == [False, True] * 3 + [True]


def test_who_dialled_over_what_broke_off_dials_again(world: MakeWorld) -> None:
    """A relay that ends the first connection when the log-in is sent, and the next hop dialled, takes nothing along."""
    here = world(2)
    front = _Front(Address(*here.sshds[0].address), on_keys="end")

    async def run() -> None:
        async with front.listening() as near, here.pool() as pool:
            here.sshds[0].port = near.port
            lease = await pool.lease(("r1", "r2"), here.topology())
            assert [type(hop.connection) for hop in lease.hops] == [asyncssh.SSHClientConnection, PromptConnection]

    asyncio.run(run())
    assert front.served == [False, True]


def test_the_next_hop_is_reached_before_we_hear_that_we_are_let_in(world: MakeWorld) -> None:
    """With every answer after the keys withheld, the second relay is nevertheless dialled: nobody waits to hear."""
    here = world(2)
    front = _Front(Address(*here.sshds[0].address), on_keys="mute")

    async def run() -> None:
        async with front.listening() as near, here.pool() as pool, asyncio.TaskGroup() as group:
            here.sshds[0].port = near.port
            reaching = group.create_task(pool.lease(("r1", "r2"), here.topology()))
            dialled = "Connection from"
            await asyncio.to_thread(wait_until, lambda: dialled in here.sshds[1].log, "the second relay is dialled")
            assert not reaching.done()
            reaching.cancel()

    asyncio.run(run())
