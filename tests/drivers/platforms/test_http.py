"""The gateway's link against connectors that misbehave, over real sockets."""

import asyncio
import base64
import contextlib
import gzip
import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.errors import (
    CertificateRefused,
    CloudError,
    CloudMisbehaved,
    CloudRefused,
    CloudTimedOut,
    CloudUnavailable,
    InvalidValue,
)
from catalog.messages.handshake import Decision, public_text, sign
from catalog.ports import Address
from drivers.platforms.http import OpenSocket
from gateway.connector import public_key
from gateway.connector.server import Connector
from tests.support import hostile as bad
from tests.support.authority import Authority
from tests.support.clocks import ManualClock
from tests.support.hostile import Behaviour, hostile
from tests.support.platform_links import (
    STRANGER_KEY,
    link_to,
    linked,
    request,
    write_config,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
PUBLIC = public_text(KEY.public_key())
INFORMATION: dict[str, Any] = {"provider": "ec2", "region": "r", "services": ["machine"], "facts": {}}
GRANTED: dict[str, Any] = {"capability": "machine", "verbs": ["list"], "quota": 1, "expires_at_s": 2e9}

Change = Callable[[dict[str, Any]], object]


def ask(behave: Behaviour, *, timeout_s: float = 15.0) -> Decision:
    """Put the standard request to a connector that behaves so."""

    async def main() -> Decision:
        async with hostile(behave) as address:
            return await link_to(address, PUBLIC, ManualClock(), timeout_s=timeout_s).authorize(request())

    return asyncio.run(main())


def ask_information(behave: Behaviour) -> object:
    """Ask a connector that behaves so for its service information."""

    async def main() -> object:
        async with hostile(behave) as address:
            return await link_to(address, PUBLIC, ManualClock()).service_information()

    return asyncio.run(main())


def decision(**change: object) -> Behaviour:
    """A properly signed decision, with some fields changed."""

    def reply(message: dict[str, Any]) -> object:
        honest = {
            "nonce": message["payload"]["nonce"],
            "request_id": message["payload"]["request"]["request_id"],
            "granted": [GRANTED],
            "pending": ["image"],
        }
        return sign(honest | change, KEY)

    return bad.replying(reply)


def tampered(change: Change) -> Behaviour:
    """A signed decision that is changed after signing."""

    def reply(message: dict[str, Any]) -> object:
        nonce = message["payload"]["nonce"]
        signed = sign({"nonce": nonce, "request_id": "grant_1", "granted": [GRANTED], "pending": []}, KEY)
        return change(signed) or signed

    return bad.replying(reply)


def test_an_honest_answer_is_taken() -> None:
    """The hostile server can also be honest: what the changes below break is otherwise accepted."""
    answer = ask(decision())
    assert [grant.capability for grant in answer.granted] == ["machine"]
    assert answer.pending == ("image",)
    assert json.loads(answer.signed)["key"] == PUBLIC


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(bad.raw(b"\x00\xff garbage\r\n\r\n"), id="not HTTP"),
        pytest.param(bad.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), id="another protocol"),
        pytest.param(bad.endless_headers, id="endless headers"),
        pytest.param(bad.http(b"<html>"), id="not JSON"),
        pytest.param(bad.http(b"\xff\xfe"), id="not UTF-8"),
        pytest.param(bad.http(b"[" * 100_000), id="deep nesting"),
        pytest.param(bad.http(b'{"payload":' * 900 + b"1" + b"}" * 900), id="less deep nesting"),
        pytest.param(bad.http(b"{}"), id="empty object"),
        pytest.param(bad.http(b"null"), id="null"),
        pytest.param(bad.http(b" " * (256 * 1024 + 1)), id="too large"),
        pytest.param(bad.endless_body, id="endless body"),
        pytest.param(bad.http(b"", status="201 Created"), id="another success"),
    ],
)
def test_an_answer_outside_the_protocol_is_misbehaviour(behave: Behaviour) -> None:
    """Whatever is not one signed JSON object in a plain 200 within the cap is refused, and nothing else happens."""
    with pytest.raises(CloudMisbehaved):
        ask(behave)


def honest(message: dict[str, Any]) -> bytes:
    """Return a decision that the link takes when it arrives in a plain 200."""
    payload = message["payload"]
    told = {"request_id": payload["request"]["request_id"], "granted": [GRANTED], "pending": []}
    return json.dumps(sign({"nonce": payload["nonce"], **told}, KEY)).encode()


@pytest.mark.parametrize(
    ("status", "headers", "encode"),
    [
        pytest.param("200 OK", {"Content-Encoding": "gzip"}, gzip.compress, id="compressed"),
        pytest.param("307 Temporary Redirect", {"Location": "/elsewhere"}, bytes, id="redirect"),
        pytest.param("302 Found", {"Location": "http://169.254.169.254/"}, bytes, id="redirect away"),
    ],
)
def test_compression_and_redirects_are_not_followed(
    status: str, headers: dict[str, str], encode: Callable[[bytes], bytes]
) -> None:
    """Even an honest decision behind them is refused, and no second question is put."""
    questions: list[bytes] = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        questions.append(await bad.request_body(reader))
        answer = honest(json.loads(questions[0]))
        if len(questions) == 1:
            await bad.answer(writer, encode(answer), status=status, headers=headers)
        else:
            await bad.answer(writer, answer)
        await reader.read()

    with pytest.raises(CloudMisbehaved):
        ask(behave)
    assert len(questions) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m["payload"]["granted"][0].update(quota=99), id="payload changed"),
        pytest.param(lambda m: m.update(signature=base64.b64encode(b"x" * 64).decode()), id="signature changed"),
        pytest.param(lambda m: m.update(signature=""), id="no signature"),
        pytest.param(lambda m: m.update(signature=7), id="signature of another type"),
        pytest.param(lambda m: m.update(key=public_text(STRANGER_KEY.public_key())), id="key changed"),
        pytest.param(lambda m: sign(m["payload"], STRANGER_KEY), id="signed by a stranger"),
        pytest.param(lambda m: m["payload"], id="unsigned"),
        pytest.param(lambda m: [m], id="in a list"),
    ],
)
def test_a_tampered_answer_is_refused(change: Change) -> None:
    """No change to a signed answer, and no other key, survives the check."""
    with pytest.raises(CloudMisbehaved):
        ask(tampered(change))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"nonce": "A" * 32}, id="another nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"request_id": "grant_2"}, id="another request"),
        pytest.param({"granted": None}, id="no list"),
        pytest.param({"granted": [GRANTED, GRANTED]}, id="twice"),
        pytest.param({"granted": [GRANTED] * 1000}, id="thousand"),
        pytest.param({"granted": [GRANTED | {"capability": "volume"}]}, id="not asked"),
        pytest.param({"granted": [GRANTED | {"verbs": ["list", "destroy"]}]}, id="verb not asked"),
        pytest.param({"granted": [GRANTED | {"verbs": "list"}]}, id="verbs as text"),
        pytest.param({"granted": [GRANTED | {"verbs": []}]}, id="no verbs"),
        pytest.param({"granted": [GRANTED | {"quota": -1}]}, id="negative quota"),
        pytest.param({"granted": [GRANTED | {"quota": True}]}, id="bool quota"),
        pytest.param({"granted": [GRANTED | {"quota": 1.5}]}, id="half a machine"),
        pytest.param({"granted": [GRANTED | {"quota": "9"}]}, id="quota as text"),
        pytest.param({"granted": [GRANTED | {"expires_at_s": "never"}]}, id="end as text"),
        pytest.param({"granted": [GRANTED | {"expires_at_s": math.inf}]}, id="infinite end"),
        pytest.param({"granted": [GRANTED | {"expires_at_s": math.nan}]}, id="no number"),
        pytest.param({"granted": [GRANTED | {"expires_at_s": True}]}, id="bool end"),
        pytest.param({"granted": [GRANTED | {"scope": "all"}]}, id="unknown field in a grant"),
        pytest.param({"granted": [{"capability": "machine"}]}, id="no verbs at all"),
        pytest.param({"pending": ["machine"]}, id="granted and pending"),
        pytest.param({"pending": ["volume"]}, id="pending, not asked"),
        pytest.param({"pending": [{}]}, id="pending of another type"),
    ],
)
def test_a_signed_answer_of_the_wrong_shape_is_refused(change: dict[str, object]) -> None:
    """The owner's own signature does not excuse an answer that is malformed or goes beyond what was asked."""
    with pytest.raises(CloudMisbehaved):
        ask(decision(**change))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"provider": "ec2\n[root]"}, id="line break"),
        pytest.param({"provider": "\x1b[2J"}, id="terminal control"),
        pytest.param({"region": "a\u202eb"}, id="bidi override"),
        pytest.param({"region": "\ud800"}, id="lone surrogate"),
        pytest.param({"provider": ""}, id="empty"),
        pytest.param({"provider": "x" * 201}, id="too long"),
        pytest.param({"provider": 5}, id="number"),
        pytest.param({"services": ["machine"] * 65}, id="too many services"),
        pytest.param({"services": ["Ma chine"]}, id="not a name"),
        pytest.param({"facts": {"a\x00": "b"}}, id="control character in a fact's name"),
        pytest.param({"facts": {"a": ["b"]}}, id="fact of another type"),
        pytest.param({"facts": {str(n): "" for n in range(65)}}, id="too many facts"),
    ],
)
def test_service_information_passes_strict_shapes(change: dict[str, object]) -> None:
    """What ends in logs, tables and terminals has bounded length and no unprintable character."""

    def reply(message: dict[str, Any]) -> object:
        nonce = message["payload"]["nonce"]
        try:
            return sign({"nonce": nonce, "service_information": INFORMATION | change}, KEY)
        except UnicodeEncodeError:  # a lone surrogate cannot even be signed
            return {"payload": {"nonce": nonce, "service_information": change}, "key": PUBLIC, "signature": ""}

    with pytest.raises(CloudMisbehaved) as caught:
        ask_information(bad.replying(reply))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        pytest.param(bad.closes_at_once, CloudUnavailable, id="closed"),
        pytest.param(bad.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), CloudUnavailable, id="cut"),
        pytest.param(bad.http(b"", status="500 Oops"), CloudUnavailable, id="500"),
        pytest.param(bad.http(b"", status="429 Slow"), CloudUnavailable, id="429"),
        pytest.param(bad.http(b'{"code":"stale"}', status="403 No"), CloudRefused, id="403"),
    ],
)
def test_other_failures_are_told_apart(behave: Behaviour, error: type[CloudError]) -> None:
    """Closed, cut and 5xx may succeed later; a refusal will not."""
    with pytest.raises(error):
        ask(behave)


@pytest.mark.parametrize("behave", [bad.hang, bad.drip, bad.endless_continue])
def test_the_deadline_is_total(behave: Behaviour) -> None:
    """Silence and every kind of drip end at the deadline: the outcome is unknown."""
    with pytest.raises(CloudTimedOut):
        ask(behave, timeout_s=0.3)


def test_a_tunnel_that_hangs_counts_against_the_deadline() -> None:
    """The deadline also covers opening the socket."""

    async def main() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            host, port = full.getsockname()
            with socket.create_connection((host, port)):  # fills the backlog, so the next connect hangs
                link = link_to(Address(host=host, port=port), PUBLIC, ManualClock(), timeout_s=0.3)
                await link.service_information()

    with pytest.raises(CloudTimedOut):
        asyncio.run(main())


def test_a_tunnel_that_is_down_is_told_as_it_is() -> None:
    """What opening the socket raises arrives unchanged."""
    down = CloudUnavailable("no tunnel")

    async def open_socket(_address: Address, _timeout_s: float) -> socket.socket:
        raise down

    async def main() -> None:
        link = link_to(Address(host="10.0.0.1", port=80), PUBLIC, ManualClock(), dial=open_socket)
        await link.service_information()

    with pytest.raises(CloudUnavailable) as caught:
        asyncio.run(main())
    assert caught.value is down


def test_a_refusals_reason_is_ours() -> None:
    """The code of a refusal becomes our own words for the operator; foreign text is never repeated."""
    with pytest.raises(CloudRefused) as caught:
        ask(bad.http(b'{"code":"stale","detail":"evil"}', status="403 evil"))
    assert "compare both clocks" in caught.value.detail
    assert "evil" not in caught.value.detail + str(caught.value)
    with pytest.raises(CloudRefused) as caught:
        ask(bad.http(b'{"code":"evil"}', status="400 evil"))
    assert caught.value.detail == ""


def test_no_answer_to_the_information_question_is_misbehaviour() -> None:
    """204 says "nothing granted"; as service information it says nothing."""
    with pytest.raises(CloudMisbehaved):
        ask_information(bad.raw(b"HTTP/1.1 204 No Content\r\n\r\n"))


class TestTls:
    """Certificates are checked against the URL's host, whatever address is dialled."""

    @pytest.mark.parametrize(
        ("issued_for", "trusted", "error"),
        [
            pytest.param("connector.north.example", "issuer", None, id="right"),
            pytest.param("connector.south.example", "issuer", CertificateRefused, id="another name"),
            pytest.param("connector.north.example", "another", CertificateRefused, id="another authority"),
        ],
    )
    def test_name_and_authority(
        self, tmp_path: Path, issued_for: str, trusted: str, error: type[CloudError] | None
    ) -> None:
        """The right name by the right authority is taken, everything else is refused before a byte is said."""
        authority = Authority(tmp_path)
        told = authority.pem if trusted == "issuer" else Authority(tmp_path, trusted).pem
        certificate = authority.issue(issued_for)
        more = f'tls_cert_file = "{certificate.cert_file}"\ntls_key_file = "{certificate.key_file}"'
        config = write_config(tmp_path, more=more)

        async def main() -> None:
            async with linked(config, ManualClock(), url="https://connector.north.example", ca_pem=told) as link:
                await link.service_information()

        if error is None:
            asyncio.run(main())
        else:
            with pytest.raises(error):
                asyncio.run(main())

    def test_a_peer_without_tls_is_misbehaviour(self) -> None:
        """Plain text where TLS is due is never spoken to."""

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await reader.read()

        async def main() -> None:
            async with hostile(plain) as address:
                await link_to(address, PUBLIC, ManualClock(), url="https://c.example").service_information()

        with pytest.raises(CloudMisbehaved):
            asyncio.run(main())


def test_a_socketpair_will_do(tmp_path: Path) -> None:
    """A tunnel without a listening port hands out one end of a socketpair; the link works over it."""

    async def main() -> None:
        config = write_config(tmp_path)
        near, far = socket.socketpair()
        async with Connector(config, ManualClock()).listening() as (host, port), asyncio.TaskGroup() as pumps:
            outer = await asyncio.open_connection(sock=far)
            inner = await asyncio.open_connection(host, port)
            pumps.create_task(_pump(outer[0], inner[1]))
            pumps.create_task(_pump(inner[0], outer[1]))
            dial = Address(host="10.0.0.1", port=80)
            link = link_to(dial, public_key(config), ManualClock(), url="http://c.example", dial=_returning(near))
            assert (await link.service_information()).provider == "simulated"

    asyncio.run(main())


def _returning(sock: socket.socket) -> OpenSocket:
    async def open_socket(address: Address, timeout_s: float) -> socket.socket:
        assert (str(address), timeout_s) == ("10.0.0.1:80", 15.0)
        return sock

    return open_socket


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def test_the_environment_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy nor a .netrc of the environment leaves a trace in what is sent through the tunnel."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine connector.example login eve password canary")
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[bytes] = []

    async def behave(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))

    async def main() -> None:
        async with hostile(behave) as address:
            link = link_to(address, PUBLIC, ManualClock(), url="http://connector.example/base/")
            with pytest.raises(CloudUnavailable):
                await link.service_information()

    asyncio.run(main())
    (head,) = heads
    assert head.startswith(b"POST /base/v1/service-information HTTP/1.1\r\nHost: connector.example\r\n")
    assert b"authorization" not in head.lower()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"url": "ftp://x"}, id="scheme"),
        pytest.param({"url": "https://"}, id="no host"),
        pytest.param({"url": "https://user@x"}, id="user"),
        pytest.param({"url": "https://x", "ca_pem": ""}, id="empty authority"),
        pytest.param({"url": "https://x", "ca_pem": "nonsense"}, id="broken authority"),
    ],
)
def test_an_unusable_endpoint_is_refused_before_dialling(change: dict[str, str]) -> None:
    """What can be known beforehand is told beforehand."""
    with pytest.raises(InvalidValue):
        link_to(Address(host="127.0.0.1", port=9), PUBLIC, ManualClock(), **change)


def test_an_unusable_platform_key_is_refused() -> None:
    """A platform that enrolled without a key cannot be believed, so no link is made."""
    with pytest.raises(InvalidValue):
        link_to(Address(host="127.0.0.1", port=9), "", ManualClock())
