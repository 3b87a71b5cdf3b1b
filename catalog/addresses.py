"""The grammars of hosts, dial addresses, URLs and public keys: what passes here has one meaning to every program.

Pure. ``127.1``, ``0x7f.1``, ``2130706433`` or full-width digits are no addresses to a checker and yet loopback to a
resolver, so they are refused instead of understood. Nothing that passes can hold a space, quote or newline.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from catalog.errors import InvalidValue
from catalog.ports import Address

_HOST_LENGTH = 253
_PORTS = 65_535
_PEM_LENGTH = 64 * 1024
_RSA_BITS = 2048
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# What resolvers may take for a number: then the whole name is an IPv4 address in disguise (WHATWG URL, 3.5).
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", re.ASCII)
_DEFAULT_PORTS = {"https": 443, "http": 80}
_KEY_TYPES = {
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
}


def host(text: str, *, field: str = "host") -> str:
    """Return ``text``, a DNS name or canonical IP literal, in lower case. Raises InvalidValue."""
    lower = text.lower() if text.isascii() else ""
    try:
        if str(ipaddress.ip_address(lower)) == lower and "%" not in lower:
            return lower
    except ValueError:
        labels = lower.split(".")
        if len(lower) <= _HOST_LENGTH and all(map(_LABEL.fullmatch, labels)) and not _NUMERIC.fullmatch(labels[-1]):
            return lower
    raise InvalidValue("this is not a host name or a plain IP address", field=field, fix="such as api.example.org")


def port(value: int, *, field: str = "port") -> int:
    """Return ``value`` if it is a TCP port. Raises InvalidValue."""
    if isinstance(value, bool) or not 1 <= value <= _PORTS:
        raise InvalidValue("this is not a TCP port", field=field, fix=f"1..{_PORTS}")
    return value


def address(text: str, *, field: str) -> Address:
    """Return the address in ``host:port`` or ``[ipv6]:port``. Raises InvalidValue."""
    name, colon, number = text.rpartition(":")
    bracketed = name.startswith("[") and name.endswith("]")
    bare = name[1:-1] if bracketed else name
    if not colon or not _PORT.fullmatch(number) or bracketed != (":" in bare):
        raise InvalidValue("this is not an address to dial", field=field, fix="host:port, such as 10.0.0.5:443")
    return Address(host=host(bare, field=field), port=port(int(number), field=field))


def url(text: str, *, field: str = "url") -> str:
    """Return the canonical form of an http or https URL: lower-case host, no default port, no slash at the end.

    Raises InvalidValue for user information, queries, fragments, dot segments, escapes and odd hosts.
    """
    bad = InvalidValue(
        "this is not a URL that the gateway can keep to",
        field=field,
        fix="https://host[:port][/path], no user, query, fragment or escapes",
    )
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS or not rest.isascii() or set(rest) & set("@?#%\\[]"):
        raise bad
    authority, slash, path = rest.partition("/")
    name, colon, number = authority.partition(":")
    if (colon and not _PORT.fullmatch(number)) or not _PATH.fullmatch(slash + path):
        raise bad
    chosen = port(int(number), field=field) if colon else _DEFAULT_PORTS[scheme.lower()]
    suffix = "" if chosen == _DEFAULT_PORTS[scheme.lower()] else f":{chosen}"
    canonical = f"{scheme.lower()}://{host(name, field=field)}{suffix}{(slash + path).rstrip('/')}"
    # The second opinion of the parser that clients use: both must see the same host.
    if urlsplit(canonical).hostname != name.lower():
        raise bad
    return canonical


def authority(text: str, *, field: str) -> str:
    """Return ``text`` if it is one or more PEM certificates and nothing secret. Raises InvalidValue."""
    bad = InvalidValue("this is not a PEM certificate", field=field, fix="-----BEGIN CERTIFICATE-----…")
    if len(text) > _PEM_LENGTH or "PRIVATE KEY" in text:
        raise bad
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise bad from error
    return text


def ssh_public_key(text: str, *, field: str) -> str:
    """Return the OpenSSH public key as ``type base64``, its comment dropped. Raises InvalidValue."""
    bad = InvalidValue("this is not an OpenSSH public key line", field=field, fix="such as ssh-ed25519 AAAA…")
    parts = text.strip(" \n").split(" ")
    if not text.isascii() or len(parts) < 2 or parts[0] not in _KEY_TYPES or not text.strip(" \n").isprintable():  # noqa: PLR2004 type and key
        raise bad
    line = f"{parts[0]} {parts[1]}"
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise bad from error
    if getattr(key, "key_size", _RSA_BITS) < _RSA_BITS and parts[0] == "ssh-rsa":
        raise InvalidValue("this RSA key is too short", field=field, fix=f"{_RSA_BITS} bits or more, or ssh-ed25519")
    return line
