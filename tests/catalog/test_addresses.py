"""The grammars of hosts, addresses, URLs and keys."""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from catalog import addresses
from catalog.errors import InvalidValue
from catalog.ports import Address
from tests.support.stores import HOST_KEY

DISGUISED = [
    "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "127.0.0.01", "127.0.0.1.", "1.2.3", "a.0x7f",
    "①②⑦.⓪.⓪.①", "\uff11\uff12\uff17.0.0.1", "loc\u00adalhost", "\u212aelvin.example", "example.org.", ".example.org",
    "a..b", "-a.example", "a-.example", "a_b.example", "a b", "", "::ffff:127.0.0.1%lo", "[::1]", "0:0::1", "a\n.b",
    "x" * 64 + ".example", ".".join(["a" * 60] * 5),
]  # fmt: skip


@pytest.mark.parametrize("text", DISGUISED)
def test_odd_hosts_are_refused(text: str) -> None:
    """What is no plain name and no canonical IP literal is refused, above all what a resolver takes for an address."""
    with pytest.raises(InvalidValue):
        addresses.host(text)
    with pytest.raises(InvalidValue):
        addresses.url(f"https://{text}/v3")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("API.Example.org", "api.example.org"),
        ("10.0.0.5", "10.0.0.5"),
        ("fd00::5", "fd00::5"),
        ("xn--nxasmq6b.example", "xn--nxasmq6b.example"),
        ("relay1", "relay1"),
        ("1a.2b", "1a.2b"),
    ],
)
def test_plain_hosts_pass(text: str, canonical: str) -> None:
    """Names and canonical addresses pass, in lower case."""
    assert addresses.host(text) == canonical


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-fx.:]{1,20}", fullmatch=True))
@example("1.1")
@example("0x")
def test_what_passes_is_an_address_only_if_it_looks_like_one(text: str) -> None:
    """For any text: a host that passes and is not an IP literal is not taken for a number by the C library either."""
    try:
        host = addresses.host(text)
    except InvalidValue:
        return
    assert re.fullmatch(r"[a-z0-9.:-]+", host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)


@pytest.mark.parametrize(
    "text",
    [
        "https://user@api.example.org", "https://user:word@api.example.org", "https://api.example.org@evil.example",
        "https://api.example.org\\@evil.example", "https://api.example.org#@evil.example", "https://api.example.org?x=1",
        "https://api.example.org/%2e%2e/", "https://api.example.org/../x", "https://api.example.org/./x",
        "https://api.example.org//x", "https://api.example.org:0", "https://api.example.org:65536",
        "https://api.example.org:", "https://api.example.org:0443", "https://api.example.org:\uff1443",
        "https://api.example.org:44 3", "ftp://api.example.org", "file:///etc/passwd", "api.example.org", "https:/x.y",
        "https://", "https:///v3", "https://[::1]/", "https://api.example.org/a b", "https://api.example.org/a\r\nb",
        "https://api.example.org\t", " https://api.example.org", "javascript://x.y",
    ],
)  # fmt: skip
def test_urls_with_more_than_one_reading_are_refused(text: str) -> None:
    """User information, queries, fragments, escapes, dot segments, odd ports and schemes are all refused."""
    with pytest.raises(InvalidValue):
        addresses.url(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("HTTPS://API.Example.org:443/", "https://api.example.org"),
        ("https://api.example.org:8443/v3/", "https://api.example.org:8443/v3"),
        ("http://10.0.0.5:80/v2.1/x_y-z~", "http://10.0.0.5/v2.1/x_y-z~"),
        ("http://h:443", "http://h:443"),
    ],
)
def test_one_url_has_one_form(text: str, canonical: str) -> None:
    """Case of scheme and host, default port and the last slash do not make another URL."""
    assert addresses.url(text) == canonical
    assert addresses.url(canonical) == canonical


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-zA-Z0-9.:@/\\?#%\[\]-]{0,30}"))
def test_a_url_that_passes_means_the_same_host_to_the_standard_parser(text: str) -> None:
    """For any text: what passes has exactly the parts that a client's parser sees, and passes again unchanged."""
    try:
        canonical = addresses.url(text)
    except InvalidValue:
        return
    parts = urlsplit(canonical)
    assert addresses.host(str(parts.hostname)) == parts.hostname
    assert (parts.username, parts.password, parts.query, parts.fragment) == (None, None, "", "")
    assert addresses.url(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.5:443", Address(host="10.0.0.5", port=443)),
        ("[fd00::5]:22", Address(host="fd00::5", port=22)),
        ("Relay.example:1", Address(host="relay.example", port=1)),
    ],
)
def test_dial_addresses_read_and_print_the_same(text: str, address: Address) -> None:
    """``host:port`` and ``[ipv6]:port`` are understood, and printing gives the canonical text back."""
    assert addresses.address(text, field="dial") == address
    assert addresses.address(str(address), field="dial") == address


@pytest.mark.parametrize(
    "text",
    ["", ":22", "h:", "h", "h:0", "h:65536", "h:022", "h:+1", "h: 1", "fd00::5:22", "[h]:22", "[fd00::5]", "h:\uff11"],
)
def test_odd_dial_addresses_are_refused(text: str) -> None:
    """An address without a canonical port, or an IPv6 literal without brackets, is refused with the field's name."""
    with pytest.raises(InvalidValue) as refused:
        addresses.address(text, field="dial")
    assert refused.value.field == "dial"


def _line(key: ed25519.Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_host_keys_of_known_types_pass_without_their_comment() -> None:
    """Ed25519, ECDSA and RSA of 2,048 bits pass; the comment is dropped, because nothing may hide in it."""
    for key in (
        ed25519.Ed25519PrivateKey.generate().public_key(),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        rsa.generate_private_key(65537, 2048).public_key(),
    ):
        assert addresses.ssh_public_key(f"{_line(key)} root@relay\n", field="host_key") == _line(key)


@pytest.mark.parametrize(
    "text",
    [
        "", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-dss AAAAB3NzaC1kc3M=", f"* {HOST_KEY}", f'command="x" {HOST_KEY}',
        f"{HOST_KEY}\n{HOST_KEY}", f"{HOST_KEY} a\nssh-rsa b", HOST_KEY.replace("ssh-ed25519 ", "ssh-rsa "),
        f"@cert-authority * {HOST_KEY}", HOST_KEY.replace(" ", "  "), HOST_KEY[:-4],
    ],
)  # fmt: skip
def test_what_is_not_one_public_key_is_refused(text: str) -> None:
    """Options, patterns, two lines, a type that is not the key's, or half a key are refused."""
    with pytest.raises(InvalidValue) as refused:
        addresses.ssh_public_key(text, field="host_key")
    assert refused.value.field == "host_key"


def test_a_short_rsa_key_is_refused() -> None:
    """RSA below 2,048 bits proves nothing any more."""
    short = _line(rsa.generate_private_key(65537, 1024).public_key())
    with pytest.raises(InvalidValue, match="too short"):
        addresses.ssh_public_key(short, field="host_key")
