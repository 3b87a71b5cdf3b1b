"""Everything a driver sends goes by the dialer to an approved endpoint that proves its name, within its limits."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from libcloud.common.base import Connection
from libcloud.http import LibcloudConnection

from catalog.clouds import MachineSpec
from catalog.endpoints import Target
from catalog.errors import (
    CertificateRefused,
    CloudDisconnected,
    CloudError,
    CloudMisbehaved,
    CloudTimedOut,
    CloudUnavailable,
    DialRefused,
)
from catalog.ports import Address, ApprovedEndpoint
from drivers.clouds import routed_http
from drivers.clouds.policy import CallPolicy
from drivers.clouds.routed_http import Call, Route
from gateway.clock import SystemClock
from gateway.demo.clouds.ca import PrivateAuthority
from tests.support.clouds import RunningCloud, moto_cloud, simulated_cloud
from tests.support.dialers import LoopbackDialer

NOWHERE = Address(host="127.0.0.1", port=1)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A simulated cloud over plain HTTP."""
    with simulated_cloud(tmp_path_factory.mktemp("simulated")) as running:
        yield running


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A real EC2 API behind TLS with a private authority."""
    with moto_cloud(tmp_path_factory.mktemp("moto")) as running:
        yield running


def log_in(cloud: RunningCloud, **changes: Any) -> Any:
    """Log in at ``cloud`` and return the service information."""

    async def run() -> Any:
        driver = cloud.driver(**changes)
        try:
            return await driver.log_in()
        finally:
            await driver.close()

    return asyncio.run(run())


def test_the_certificate_is_checked_against_the_endpoints_own_authority(moto: RunningCloud) -> None:
    """The real name under its own authority is accepted: the one positive case beside the refusals below."""
    assert log_in(moto).provider == "ec2"


@pytest.mark.parametrize("authority", ["another private one", "the system's"])
def test_a_certificate_of_another_authority_is_refused(moto: RunningCloud, authority: str) -> None:
    """Neither another company's authority nor the system's vouches for a private cloud."""
    other = PrivateAuthority("Other", now_s=SystemClock().now_s()).ca_pem if authority.startswith("another") else None
    with pytest.raises(CertificateRefused):
        log_in(moto, ca_pem=other)


def test_a_certificate_of_another_name_is_refused(moto: RunningCloud) -> None:
    """The right authority does not help a cloud that shows another name's certificate."""
    with pytest.raises(CertificateRefused):
        log_in(moto, url=f"https://ec2.eu-west-1.amazonaws.com:{moto.address.port}")


def test_an_authority_that_is_no_certificate_is_refused_before_anything_is_sent(moto: RunningCloud) -> None:
    """A broken authority fails when the driver is built."""
    dialer = LoopbackDialer()
    with pytest.raises(CertificateRefused):
        log_in(moto, ca_pem="not a certificate", dialer=dialer)
    assert dialer.dialled == []


@pytest.mark.parametrize(
    ("kind", "deadline_s", "expected"),
    [
        pytest.param("redirect", 20.0, CloudMisbehaved, id="redirect"),
        pytest.param("huge", 20.0, CloudMisbehaved, id="64 MiB body"),
        pytest.param("garbage", 20.0, CloudMisbehaved, id="garbage"),
        pytest.param("drip", 1.0, CloudTimedOut, id="slow drip"),
        pytest.param("hang", 1.0, CloudTimedOut, id="hang"),
        pytest.param("unavailable", 20.0, CloudUnavailable, id="503"),
        pytest.param("drop", 20.0, CloudDisconnected, id="connection cut"),
    ],
)
@pytest.mark.parametrize("provider", ["simulated", "ec2"])
def test_a_misbehaving_cloud_ends_in_a_named_error(
    request: pytest.FixtureRequest, provider: str, kind: str, deadline_s: float, expected: type[CloudError]
) -> None:
    """Each fault has its error, none is followed or read on, and the next call works again.

    A connection that is cut is tried once more, as this is a read; nothing else is.
    """
    cloud: RunningCloud = request.getfixturevalue("simulated" if provider == "simulated" else "moto")
    dialer = LoopbackDialer()
    times = 2 if kind == "drop" else 1
    cloud.faults({"match": "*", "kind": kind, "times": times, "to": "http://127.0.0.1:1/elsewhere"})
    try:
        with pytest.raises(expected):
            log_in(cloud, dialer=dialer, policy=CallPolicy(deadline_s=deadline_s))
    finally:
        cloud.faults()
    assert dialer.dialled == [cloud.address] * times
    assert log_in(cloud).services


def test_a_body_past_the_limit_is_cut_not_parsed(simulated: RunningCloud) -> None:
    """An honest answer of more bytes than the limit is refused for its size; within the limit it is read."""
    with pytest.raises(CloudMisbehaved, match="larger"):
        log_in(simulated, policy=CallPolicy(deadline_s=20, body_limit_bytes=50))
    assert log_in(simulated, policy=CallPolicy(deadline_s=20, body_limit_bytes=500)).services


def test_proxies_and_netrc_of_the_environment_are_ignored(
    simulated: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would take the traffic out of the tunnel, and a netrc entry would replace the credentials."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {simulated.url_host} login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    dialer = LoopbackDialer()

    log_in(simulated, dialer=dialer)

    assert dialer.dialled == [simulated.address]


def test_a_failed_create_is_not_repeated_by_libcloud(simulated: RunningCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libcloud's own retries, which repeat creates, stay off whatever the environment says."""
    monkeypatch.setenv("LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS", "1")
    simulated.faults({"match": "*", "kind": "drop", "times": 1})
    spec = MachineSpec(name="m", size="s1", image="img-debian-12", tags={"crossway-order": "once"})

    async def create() -> None:
        driver = simulated.driver()
        try:
            await driver.create_machine(spec)
        finally:
            await driver.close()

    try:
        with pytest.raises(CloudDisconnected):
            asyncio.run(create())
    finally:
        simulated.faults()


def routed_call(*, url: str = "http://cloud.example", deadline_s: float = 5.0, sockets: int = 8) -> Call:
    """Return a call whose only endpoint is ``url``, dialled nowhere."""
    routed_http.install()
    endpoints = (ApprovedEndpoint(url=url, dial=NOWHERE),)
    route = Route(endpoints, LoopbackDialer(), body_limit_bytes=1000, sockets_limit=sockets)
    return Call(route, deadline_s=deadline_s)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://169.254.169.254/latest", id="metadata service"),
        pytest.param("http://cloud.example:81/", id="another port"),
        pytest.param("https://cloud.example/", id="another scheme"),
        pytest.param("http://cloud.example./", id="trailing dot"),
        pytest.param("http://127.0.0.1:1/", id="the dial address itself"),
        pytest.param("http://cloud.example@other.example/", id="user part"),
    ],
)
def test_only_the_approved_endpoint_is_dialled(url: str) -> None:
    """Whatever is not exactly scheme, host and port of an approved endpoint is refused, and nothing is sent."""
    call = routed_call()
    with call.bound():
        connection = LibcloudConnection(host="cloud.example", port=80)
        with pytest.raises(DialRefused):
            connection.request("GET", url)
    assert call.refusal is not None
    assert call.route.dialer.dialled == []  # type: ignore[attr-defined]


def test_a_call_keeps_no_more_sockets_than_it_may() -> None:
    """One past the limit ends the call, and nothing of it stays open; those before it are shut with the call."""
    call = routed_call(sockets=2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        call.keep(ours)
        call.keep(ours)
        opened = len([*Path("/proc/self/fd").iterdir()])
        with pytest.raises(CloudMisbehaved, match="connections"):
            call.keep(ours)
        assert len([*Path("/proc/self/fd").iterdir()]) == opened
        assert isinstance(call.refusal, CloudMisbehaved)
        call.cut()
        assert theirs.recv(1) == b""


def test_libcloud_outside_of_a_call_fails_closed() -> None:
    """A connection made without a route is refused when it is made, and so is a call that has ended."""
    routed_http.install()
    with pytest.raises(DialRefused):
        LibcloudConnection(host="cloud.example", port=80)
    call = routed_call()
    with call.bound():
        connection = LibcloudConnection(host="cloud.example", port=80)
    with pytest.raises(DialRefused):
        connection.request("GET", "/")


def test_routes_nest_and_come_back() -> None:
    """An inner call has its own route, and the outer one is in force again after it."""
    outer, inner = routed_call(), routed_call(url="http://inner.example")
    with outer.bound():
        with inner.bound():
            assert routed_http.current_call() is inner
        assert routed_http.current_call() is outer


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(
            lambda: Connection.conn_class(host="cloud.example", port=80, proxy_url="http://127.0.0.1:1"), id="proxy"
        ),
        pytest.param(
            lambda: LibcloudConnection(host="x", port=80).set_http_proxy("http://127.0.0.1:1"), id="late proxy"
        ),
    ],
)
def test_a_driver_cannot_ask_for_a_proxy(act: Callable[[], object]) -> None:
    """A proxy is another way out, so asking for one is refused."""
    with routed_call().bound(), pytest.raises(DialRefused):
        act()


def test_certificate_log_ins_stay_routed(tmp_path: Path) -> None:
    """Libcloud's signing adapter, which dials by itself, is replaced by a routed one with the certificate."""
    issued = PrivateAuthority("Any", now_s=SystemClock().now_s()).issue(["client"])
    (tmp_path / "cert.pem").write_text(issued.certificate_pem)
    (tmp_path / "key.pem").write_text(issued.key_pem)
    files = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    call = routed_call(url="https://cloud.example")
    with call.bound():
        connection = LibcloudConnection(host="cloud.example", port=443, **files)
        assert isinstance(connection.session, requests.Session)
        assert isinstance(connection.session.get_adapter("https://cloud.example"), routed_http.RoutedAdapter)
        with pytest.raises(CloudUnavailable):
            connection.request("GET", "/")
    assert call.route.dialer.dialled == [NOWHERE]  # type: ignore[attr-defined]


def test_a_cut_call_opens_nothing_more() -> None:
    """After its deadline a call neither dials nor reads, even if its thread is still running."""
    call = routed_call()
    call.cut()
    with call.bound(), pytest.raises(CloudTimedOut):
        call.connect(Target.of("http://cloud.example"))
    assert call.route.dialer.dialled == []  # type: ignore[attr-defined]
