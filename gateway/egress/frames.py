"""How gateway and provisioner speak over a line: frames of four bytes of length, big-endian, and one JSON object.

The provisioner begins with ``{"reads": READS}``; the gateway answers ``{"version": …, "owner": …}``, the highest that
both read, and from then on both speak that version; or it ends the line. After that, in any order and many at once:

    {"ask": n, "platform", "method", "arguments"}      may this be called?                    (provisioner)
    {"call": k, "ask": n, "account", "method", "arguments"}    yes: call this, and say what came of it    (gateway)
    {"answer": k, "result" | "error"}                  that came of it                        (provisioner)
    {"cut": k}                                         stop it: it is not covered any more    (gateway)
    {"end": n, "result" | "error"}                     what the asking comes to               (gateway)
"""

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import asyncssh

from catalog.errors import CloudMisbehaved

VERSION: Final = 1
READS: Final = (VERSION,)  # with the next version: that and this one
SUBSYSTEM: Final = "crossway-egress"
FRAME_LIMIT_BYTES: Final = 16 * 1024 * 1024
_LENGTH_BYTES: Final = 4

Frame = Mapping[str, Any]


class Reader(Protocol):
    """What frames are read from."""

    async def readexactly(self, n: int, /) -> bytes:
        """Return ``n`` bytes. Raises IncompleteReadError at the end."""
        ...


class Writer(Protocol):
    """What frames are written to."""

    def write(self, data: bytes, /) -> None:
        """Queue ``data``."""
        ...


async def read_frame(reader: Reader) -> Frame:
    """Return the next frame. Raises IncompleteReadError at the end, CloudMisbehaved for what is no frame."""
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    if length > FRAME_LIMIT_BYTES:
        raise CloudMisbehaved("the other side of the line said more at once than it may")
    try:
        frame = json.loads(await reader.readexactly(length))
    except ValueError as error:
        raise CloudMisbehaved("the other side of the line does not speak JSON") from error
    if not isinstance(frame, dict):
        raise CloudMisbehaved("the other side of the line said something other than an object")
    return frame


def write_frame(writer: Writer, frame: Frame) -> None:
    """Queue one frame; dropped when the line has ended, which whoever reads from it hears."""
    body = json.dumps(frame, separators=(",", ":")).encode()
    with contextlib.suppress(OSError):
        writer.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)


def number_of(frame: Frame, name: str) -> int:
    """Return the number that ``frame`` has under ``name``. Raises CloudMisbehaved where it has none."""
    number = frame.get(name)
    if not isinstance(number, int):
        raise CloudMisbehaved(f"the other side of the line said no number of its '{name}'")
    return number


async def until_ended(hear: Callable[[], Awaitable[None]]) -> Exception:
    """Call ``hear``, which hears frames for ever, and return what ended it."""
    try:
        await hear()
    except (EOFError, OSError, asyncssh.Error, CloudMisbehaved) as error:
        return error
    raise AssertionError("hearing ends with its line alone")
