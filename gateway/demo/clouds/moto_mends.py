"""Where moto's EC2 differs from Amazon's in ways that libcloud stumbles over, and the mends. Pure.

They stand on the demo's and tests' side only: what reaches the product is what Amazon sends.
"""

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode

# moto leaves out the slash at the end of the namespace; libcloud then finds nothing in any list.
_NAMESPACE: Final = re.compile(rb'(xmlns="http://ec2\.amazonaws\.com/doc/\d{4}-\d\d-\d\d)"')
# Amazon's errors have no namespace; with one, libcloud finds neither code nor message.
_ERROR_ROOT: Final = re.compile(rb'<Response xmlns="[^"]*">')
# Amazon confirms with <return>true</return>; without it reboot_node() says False.
_EMPTY_ANSWER: Final = re.compile(rb'(<\w+Response xmlns="[^"]*">)(\s*<requestId>)')
_INDEXED: Final = re.compile(r"([A-Za-z]+)\.(\d+)(.*)")
_HEAD_BYTES: Final = 400


def query_from_one(query: str) -> str:
    """Return ``query`` with lists that start at 0 moved to start at 1: libcloud counts some from 0, moto wants 1."""
    pairs = parse_qsl(query, keep_blank_values=True)
    from_zero = {found[1] for name, _ in pairs if (found := _INDEXED.fullmatch(name)) and found[2] == "0"}
    if not from_zero:
        return query
    return urlencode([(_next_index(name, from_zero), value) for name, value in pairs])


def as_amazon_answers(body: bytes) -> bytes:
    """Return moto's answer as Amazon would have written it; what is no EC2 answer stays as it is."""
    head = body[:_HEAD_BYTES]
    if b"ec2.amazonaws.com/doc" not in head and b"<Response xmlns=" not in head:
        return body
    without_error_namespace = _ERROR_ROOT.sub(b"<Response>", body, count=1)
    with_slash = _NAMESPACE.sub(rb'\1/"', without_error_namespace, count=1)
    return _EMPTY_ANSWER.sub(rb"\1<return>true</return>\2", with_slash, count=1)


def error_body(code: str, message: str) -> bytes:
    """Return an EC2 error document."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error>'
        f"<Code>{code}</Code><Message>{message}</Message>"
        "</Error></Errors><RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
    ).encode()


def _next_index(name: str, from_zero: set[str]) -> str:
    found = _INDEXED.fullmatch(name)
    if found is None or found[1] not in from_zero:
        return name
    return f"{found[1]}.{int(found[2]) + 1}{found[3]}"
