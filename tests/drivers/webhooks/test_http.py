"""A webhook goes to the address that was named and nowhere else: not inside, not on, not for ever."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest

from catalog.errors import ReceiverUnreachable
from drivers.webhooks.http import HttpWebhookSender
from tests.support.receivers import receiver

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def send(sender: HttpWebhookSender, url: str) -> int:
    """Send something."""
    return asyncio.run(sender.send(url, {"webhook-id": "event_1"}, b'{"type": "x"}'))


def test_what_is_sent_arrives_as_it_is() -> None:
    """Headers and body are the caller's, the type is JSON, and the answer's status comes back."""
    with receiver() as there:
        there.status = 299
        assert send(HttpWebhookSender(LOOPBACK), there.url) == 299
    [sent] = there.sent
    assert (sent.body, sent.headers["webhook-id"]) == (b'{"type": "x"}', "event_1")
    assert sent.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.100.100.200", "168.63.129.16", "[fd00:ec2::254]", "[fe80::1]", "224.0.0.1", "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "255.255.255.255",
    ],
)  # fmt: skip
def test_nothing_inside_is_ever_called(place: str) -> None:
    """Loopback, private, link-local, metadata and mapped addresses, by number or name, get no packet."""
    with pytest.raises(ReceiverUnreachable, match="not public"):
        send(HttpWebhookSender(timeout_s=5.0), f"https://{place}:9/hook")


def test_a_name_that_leads_inside_gets_no_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a name resolves to is looked at when the socket is made: a receiver on loopback hears nothing."""
    real = socket.getaddrinfo

    def inside(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == "hooks.example.net" else host, port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    with receiver() as there:
        port = there.url.split(":")[2].split("/")[0]
        with pytest.raises(ReceiverUnreachable, match="not public"):
            send(HttpWebhookSender(), f"https://hooks.example.net:{port}/hook")
        assert there.sent == []


def test_without_tls_only_what_an_admin_named_is_called() -> None:
    """A public address is refused over http, before anything is sent."""
    with pytest.raises(ReceiverUnreachable, match="without TLS"):
        send(HttpWebhookSender(), "http://1.1.1.1:9/hook")


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    """The status is 302, and nobody calls where it points."""
    with receiver() as there, receiver() as elsewhere:
        there.status, there.location = 302, elsewhere.url
        assert send(HttpWebhookSender(LOOPBACK), there.url) == 302
        assert elsewhere.sent == []


def serve(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> str:
    """Send to a server that answers with ``answer`` and return what the sender says."""
    ended = asyncio.Event()

    async def until_ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    async def story() -> str:
        server = await asyncio.start_server(until_ended, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            try:
                sender = HttpWebhookSender(LOOPBACK, timeout_s=0.5)
                return str(await sender.send(f"http://127.0.0.1:{port}/", {}, b"{}"))
            except ReceiverUnreachable as error:
                return str(error)
            finally:
                await ended.wait()

    return asyncio.run(story())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything and say nothing."""
    del writer
    await reader.read()


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def babbling(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what is no HTTP."""
    writer.write(b"SSH-2.0-secret-of-theirs\r\n")


def test_a_receiver_cannot_hold_or_fill_us() -> None:
    """Silence ends at the deadline, an endless body is left unread, garbage is told in our own words."""
    assert serve(silent) == "no answer within 0.5 s"
    assert serve(endless) == "200"
    assert "secret-of-theirs" not in serve(babbling)
    with pytest.raises(ReceiverUnreachable, match="cannot be connected"):
        send(HttpWebhookSender(LOOPBACK), "http://127.0.0.1:1/")
