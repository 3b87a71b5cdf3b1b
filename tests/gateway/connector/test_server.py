"""A connector over real sockets: who is answered, what is refused, what survives SIGKILL."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.errors import CloudMisbehaved, CloudRefused, CloudUnavailable, InvalidValue
from catalog.messages.handshake import Decision, public_text, sign
from catalog.ports import Address
from gateway.clock import SystemClock
from gateway.connector import answer, list_pending, public_key
from gateway.connector.server import Connector
from tests.support.clocks import ManualClock
from tests.support.platform_links import (
    GATEWAY,
    GATEWAY_KEY,
    PLATFORM,
    STRANGER_KEY,
    link_to,
    linked,
    request,
    write_config,
)

NARROW = '[policy.machine]\ndecision = "grant"\nverbs = ["list"]'
PROGRAM = "import sys; from gateway.connector import main; sys.exit(main())"


def exchanged(config: Path, *messages: bytes, deadline_s: float = 10.0) -> list[bytes]:
    """Send each of ``messages`` on a connection of its own to one connector; return what came back until it closed."""

    async def main() -> list[bytes]:
        answers = []
        async with Connector(config, ManualClock()).listening(deadline_s=deadline_s) as (host, port):
            for message in messages:
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(message)
                answers.append(await reader.read())
                writer.close()
        return answers

    return asyncio.run(main())


def post(path: str, body: bytes, *, method: str = "POST") -> bytes:
    """Return one HTTP request as bytes."""
    return b"%s %s HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n%s" % (
        method.encode(),
        path.encode(),
        len(body),
        body,
    )


def question(nonce: str = "n" * 32) -> bytes:
    """Return a signed question for the service information, at the manual clock's time."""
    payload = {"nonce": nonce, "gateway": GATEWAY, "platform": PLATFORM, "issued_at_s": ManualClock().now_s()}
    return json.dumps(sign(payload, GATEWAY_KEY)).encode()


INFORMATION = "/v1/service-information"


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        pytest.param(b"\x16\x03\x01 hello\r\n\r\n", 400, "malformed", id="not HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 400, "malformed", id="long header"),
        pytest.param(post(INFORMATION, b"{"), 400, "malformed", id="garbage"),
        pytest.param(post("/v1/else", question()), 404, "unknown-path", id="path"),
        pytest.param(post(INFORMATION, b"", method="GET"), 405, "wrong-method", id="method"),
        pytest.param(post(INFORMATION, b"x" * (256 * 1024 + 1)), 413, "too-large", id="too large"),
        pytest.param(post(INFORMATION, question() + b" " * (256 * 1024)), 413, "too-large", id="honest but too large"),
        pytest.param(
            b"POST " + INFORMATION.encode() + b" HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            "malformed",
            id="broken chunks",
        ),
        pytest.param(
            b"POST " + INFORMATION.encode() + b" HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"50000\r\n" + b"x" * 0x50000 + b"\r\n0\r\n\r\n",
            413,
            "too-large",
            id="too large in chunks",
        ),
    ],
)
def test_a_bad_request_is_refused_with_its_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, message: bytes, status: int, code: str
) -> None:
    """Each refusal has a status and a code, logs no traceback, and the next honest question is answered."""
    refused, fine = exchanged(write_config(tmp_path), message, post(INFORMATION, question()))
    assert refused.split(b" ")[1] == b"%d" % status
    assert b"aiohttp" not in refused
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert json.loads(refused.split(b"\r\n\r\n", 1)[1])["code"] == code
    assert fine.startswith(b"HTTP/1.1 200 ")


def test_a_replay_is_refused(tmp_path: Path) -> None:
    """The very same signed request, sent again by whoever saw it, gets no second answer."""
    first, second = exchanged(write_config(tmp_path), *[post(INFORMATION, question())] * 2)
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 409 ")


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"", id="no byte"),
        pytest.param(b"POST /v1/service-infor", id="half a header"),
        pytest.param(post(INFORMATION, question())[:-5], id="half a body"),
    ],
)
def test_a_slow_question_is_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture, beginning: bytes) -> None:
    """A connection that does not finish its question in time is closed by us, and that is no error to log."""
    try:
        (said,) = exchanged(write_config(tmp_path), beginning, deadline_s=0.2)
    except ConnectionResetError:
        said = b""
    assert said == b""
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_too_many_connections_do_not_stop_the_connector(tmp_path: Path) -> None:
    """Of 200 idle connections the surplus is cut; once they are gone, questions are answered again."""

    async def main() -> None:
        clock = ManualClock()
        config = write_config(tmp_path)
        # The deadline of a connection is put far away, so that only the cap can cut one; ours is a guard.
        async with (
            asyncio.timeout(60),
            Connector(config, clock).listening(deadline_s=3600) as (host, port),
        ):
            idle = [await asyncio.open_connection(host, port) for _ in range(200)]
            cut = 0
            for reader, _ in idle[64:]:  # the connector keeps 64; every later one ends by itself
                try:
                    cut += await reader.read() == b""
                except ConnectionResetError:
                    cut += 1
            assert cut == 136
            for _, writer in idle:
                writer.close()
            link = link_to(Address(host=host, port=port), public_key(config), clock)
            answered = None
            while answered is None:  # until the connector has noticed that the idle ones are gone
                with contextlib.suppress(CloudUnavailable):
                    answered = await link.service_information()

    asyncio.run(main())


def test_a_gateway_with_another_key_is_refused(tmp_path: Path) -> None:
    """The connector answers the one gateway whose key stands in its file, and leaves no trace of others."""

    async def main() -> None:
        clock = ManualClock()
        config = write_config(tmp_path)
        async with Connector(config, clock).listening() as (host, port):
            stranger = link_to(Address(host=host, port=port), public_key(config), clock, gateway_key=STRANGER_KEY)
            with pytest.raises(CloudRefused) as caught:
                await stranger.authorize(request())
            assert "not signed by the gateway" in caught.value.detail
        assert list_pending(config) == []

    asyncio.run(main())


def test_a_connector_with_another_key_is_not_believed(tmp_path: Path) -> None:
    """An answer signed by another key than the enrolled one is refused by the gateway."""

    async def main() -> None:
        clock = ManualClock()
        async with Connector(write_config(tmp_path), clock).listening() as (host, port):
            link = link_to(Address(host=host, port=port), public_text(STRANGER_KEY.public_key()), clock)
            with pytest.raises(CloudMisbehaved, match="another key"):
                await link.service_information()

    asyncio.run(main())


def test_another_platforms_connector_is_not_mistaken(tmp_path: Path) -> None:
    """A question for another platform is refused, though gateway and keys are right."""

    async def main() -> None:
        clock = ManualClock()
        config = write_config(tmp_path)
        async with Connector(config, clock).listening() as (host, port):
            address = Address(host=host, port=port)
            link = link_to(address, public_key(config), clock, platform_name="south-cloud")
            with pytest.raises(CloudRefused):
                await link.service_information()

    asyncio.run(main())


def test_a_request_id_with_other_content_is_refused(tmp_path: Path) -> None:
    """The gateway learns that the id was used for something else."""

    async def main() -> None:
        async with linked(write_config(tmp_path), ManualClock()) as link:
            await link.authorize(request())
            with pytest.raises(CloudRefused) as caught:
                await link.authorize(request(machine=("destroy",)))
            assert "same request id" in caught.value.detail

    asyncio.run(main())


def test_nothing_is_answered_before_it_is_durable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the state file cannot be written there is no answer but "ask again"; then the decision is made."""

    async def main() -> None:
        config = write_config(tmp_path)
        async with linked(config, ManualClock()) as link:
            with contextlib.closing(sqlite3.connect(tmp_path / "connector.db", isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                with pytest.raises(CloudUnavailable):
                    await link.authorize(request())
                other.execute("ROLLBACK")
            assert (await link.authorize(request())).granted

    asyncio.run(main())
    assert "decision not durable, nothing answered" in caplog.messages


def test_a_reload_takes_the_new_policy_and_keeps_the_old_over_a_mistake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A narrower file narrows new requests; a broken file changes nothing and is logged with its mistake."""

    async def main() -> None:
        clock = ManualClock()
        config = write_config(tmp_path)
        connector = Connector(config, clock)
        async with connector.listening() as (host, port):
            link = link_to(Address(host=host, port=port), public_key(config), clock)
            before = await link.authorize(request("grant_1"))
            write_config(tmp_path, NARROW)
            connector.reload()
            assert [grant.verbs for grant in (await link.authorize(request("grant_2"))).granted] == [("list",)]
            assert (await link.authorize(request("grant_1"))).granted == before.granted
            write_config(tmp_path, NARROW + "\nqouta = 1")
            connector.reload()
            assert [grant.verbs for grant in (await link.authorize(request("grant_3"))).granted] == [("list",)]

    asyncio.run(main())
    (record,) = [record for record in caplog.records if record.message == "policy not reloaded, the old one stays"]
    assert "qouta" in record.__dict__["reason"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"listen": "203.0.113.1:8790"}, "connector.listen", id="not our address"),
        pytest.param({"listen": "fd:900"}, "connector.listen", id="no such fd"),
        pytest.param(
            {"more": 'tls_cert_file = "absent.pem"\ntls_key_file = "absent.key"'}, "connector.tls_cert_file", id="TLS"
        ),
    ],
)
def test_an_unusable_door_is_named(tmp_path: Path, change: dict[str, str], told: str) -> None:
    """What cannot be listened on, or shown as a certificate, is an error that names its key."""

    async def main() -> None:
        async with Connector(write_config(tmp_path, **change), ManualClock()).listening():
            pass

    with pytest.raises(InvalidValue, match=told):
        asyncio.run(main())


class TestProcess:
    """The real program, killed and signalled."""

    @contextlib.contextmanager
    def running(self, tmp_path: Path, listener: socket.socket) -> Iterator[subprocess.Popen[str]]:
        """Run ``crossway connector`` on the inherited ``listener``; kill it at the end, whatever it does."""
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--config", str(tmp_path / "connector.toml"), "serve"],
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def ask(self, config: Path, listener: socket.socket, request_id: str = "grant_1") -> Decision:
        """Put the standard request; the listener's backlog holds it until the program is up."""
        host, port = listener.getsockname()
        link = link_to(Address(host=host, port=port), public_key(config), SystemClock(), timeout_s=30)
        return asyncio.run(link.authorize(request(request_id)))

    def test_decisions_survive_sigkill(self, tmp_path: Path) -> None:
        """Granted, killed, restarted: the same request gets the same grant to the last digit of its end.

        What the owner answers while nothing runs counts as well.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = write_config(tmp_path, listen=f"fd:{listener.fileno()}")
            with self.running(tmp_path, listener) as process:
                first = self.ask(config, listener)
                process.send_signal(signal.SIGKILL)
                process.wait()
            answer(config, "grant_1", "image", "grant")
            with self.running(tmp_path, listener) as process:
                second = self.ask(config, listener)
                process.send_signal(signal.SIGKILL)
                process.wait()
            with self.running(tmp_path, listener):
                third = self.ask(config, listener)
        assert (first.granted[0].capability, first.pending) == ("machine", ("image",))
        assert first.granted[0] in second.granted
        assert (len(second.granted), second.pending) == (2, ())
        assert third.granted == second.granted

    def test_sighup_reloads_and_sigterm_ends(self, tmp_path: Path) -> None:
        """SIGHUP narrows what later requests get; SIGTERM ends the program with code 0."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = write_config(tmp_path, listen=f"fd:{listener.fileno()}")
            with self.running(tmp_path, listener) as process:
                assert [grant.verbs for grant in self.ask(config, listener).granted] == [("create", "list")]
                write_config(tmp_path, NARROW, listen=f"fd:{listener.fileno()}")
                process.send_signal(signal.SIGHUP)
                assert process.stderr is not None
                while "policy reloaded" not in (line := process.stderr.readline()):
                    assert line, "the connector ended before it reloaded"
                assert f'"file": "{config}"' in line
                assert [grant.verbs for grant in self.ask(config, listener, "grant_2").granted] == [("list",)]
                process.send_signal(signal.SIGTERM)
                assert process.wait() == os.EX_OK
