"""Where a gateway listens: ``http://host:port``, ``https://host[:port]``, ``host:port`` or ``unix:/path``. Pure."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit


class AddressInvalid(ValueError):
    """The text names no place a gateway could listen at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """One gateway's address, taken apart. ``path`` is set for ``unix`` only, ``host`` and ``port`` otherwise."""

    kind: Literal["http", "https", "unix"]
    host: str = "localhost"
    port: int = 0
    path: str = ""

    @property
    def is_local(self) -> bool:
        """True when nobody else can read along: a Unix socket or the loopback interface."""
        return self.kind == "unix" or self.host in {"localhost", "::1"} or self.host.startswith("127.")

    @property
    def origin(self) -> str:
        """What stands before the path of a URL there; over a Unix socket the host is only a word."""
        return "http://localhost" if self.kind == "unix" else str(self)

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


def parse_address(text: str) -> ServerAddress:
    """Return the address that ``text`` names. Raises AddressInvalid, saying what is wrong and what would be right."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise AddressInvalid(f"{text!r} needs an absolute path, such as unix:/run/crossway/api.sock")
        return ServerAddress(kind="unix", path=path)
    return _parse_tcp(text)


def _parse_tcp(text: str) -> ServerAddress:
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        port = url.port
    except ValueError as error:
        raise AddressInvalid(f"{text!r} is not an address: {error}") from error
    if url.scheme not in {"http", "https"}:
        raise AddressInvalid(f"{text!r} starts with {url.scheme}://; say http://host:port, https://host or unix:/path")
    if not url.hostname or url.username is not None or url.password is not None:
        raise AddressInvalid(f"{text!r} needs a host and no user, such as http://127.0.0.1:8780")
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise AddressInvalid(f"{text!r} has something after the port; the client adds the paths itself")
    if port is None and url.scheme == "http":
        raise AddressInvalid(f"{text!r} needs a port, such as http://{url.hostname}:8780")
    if url.scheme == "https":
        return ServerAddress(kind="https", host=url.hostname, port=port or 443)
    return ServerAddress(kind="http", host=url.hostname, port=port or 80)
