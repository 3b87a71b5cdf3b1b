"""The private authority's certificates prove exactly the names they were issued for."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.demo.clouds.ca import PrivateAuthority


def shake_hands(folder: Path, *, trusted: str, names: list[str], asked: str, authority: PrivateAuthority) -> None:
    """Make a TLS connection to a server with ``names`` as a client that trusts ``trusted`` and asks for ``asked``."""
    issued = authority.issue(names)
    (folder / "cert.pem").write_text(issued.certificate_pem)
    (folder / "key.pem").write_text(issued.key_pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            with serving.wrap_socket(far, server_side=True) as wrapped:
                wrapped.recv(1)
        except ssl.SSLError:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    context = ssl.create_default_context(cadata=trusted)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    try:
        with near, context.wrap_socket(near, server_hostname=asked) as wrapped:
            wrapped.send(b"x")
    finally:
        near.close()
        thread.join(20)


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (["cloud.example"], "cloud.example"),
        (["a.example", "b.example"], "b.example"),
        (["10.0.0.7"], "10.0.0.7"),
        (["::1"], "::1"),
    ],
)
def test_the_names_are_proved_under_strict_checking(tmp_path: Path, names: list[str], asked: str) -> None:
    """DNS names and IP literals alike, with every extension that RFC 5280 asks for."""
    authority = PrivateAuthority("Private", now_s=SystemClock().now_s())
    shake_hands(tmp_path, trusted=authority.ca_pem, names=names, asked=asked, authority=authority)


def test_another_name_and_another_authority_are_refused(tmp_path: Path) -> None:
    """A certificate proves neither a name it does not hold nor anything to who trusts another authority."""
    authority = PrivateAuthority("Private", now_s=SystemClock().now_s())
    other = PrivateAuthority("Private", now_s=SystemClock().now_s())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(tmp_path, trusted=authority.ca_pem, names=["a.example"], asked="b.example", authority=authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(tmp_path, trusted=other.ca_pem, names=["a.example"], asked="a.example", authority=authority)


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    """Certificates end after 30 days."""
    authority = PrivateAuthority("Private", now_s=SystemClock().now_s() - 31 * 86_400)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(tmp_path, trusted=authority.ca_pem, names=["a.example"], asked="a.example", authority=authority)
