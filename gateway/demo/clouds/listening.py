"""What the demo's programs say and are told about where they listen."""

import json
from collections.abc import Sequence
from typing import Any


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` or ``[IPV6]:PORT``; port 0 asks for any. Raises ValueError."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def listening_line(address: Sequence[Any]) -> str:
    """Return the one line that says the program is ready at ``address`` (host, port, ...)."""
    return json.dumps({"listening": [address[0], address[1]]})
