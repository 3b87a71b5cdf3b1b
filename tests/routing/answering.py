"""Run code in a network namespace of its own, and answer echo requests there as badly as told.

In the namespace the code is root over an idle loopback interface, whoever runs the tests.
"""

import collections
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_NAMESPACE = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--net"]
_PRELUDE = """
import asyncio, json, subprocess
from tests.routing.answering import *
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
"""
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_IGNORE_ECHO = Path("/proc/sys/net/ipv4/icmp_echo_ignore_all")

# What an answerer gets and gives: the message after the IP header, and the address it was sent to or comes from.
Message = tuple[bytes, str]
Answers = Callable[[Message], list[Message]]


def run_alone(code: str, **values: object) -> Any:
    """Run ``code`` in a namespace, with ``values`` as its globals, and return what it assigned to ``said``."""
    given = f"globals().update(json.loads({json.dumps(values)!r}))\n"
    done = subprocess.run(
        [*_NAMESPACE, sys.executable, "-c", f"{_PRELUDE}{given}{code}\nprint(json.dumps(said))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def echo_answered(answers: Answers) -> Iterator[collections.Counter[str]]:
    """Answer each echo request of this namespace by ``answers``, and by nothing else; yield requests by address.

    For the namespaces of ``run_alone`` only: it silences the kernel.
    """
    _IGNORE_ECHO.write_text("1")
    asked: collections.Counter[str] = collections.Counter()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as heard:
        heard.setsockopt(255, 1, struct.pack("=I", 0xFFFFFFFF & ~(1 << _ECHO_REQUEST)))
        heard.settimeout(0.05)
        over = threading.Event()
        answerer = threading.Thread(target=_answer, args=(heard, answers, asked, over))
        answerer.start()
        try:
            yield asked
        finally:
            over.set()
            answerer.join()
            _IGNORE_ECHO.write_text("0")


def reply_to(request: bytes, *, identifier: int = 0, sequence: int = 0, token: int = 0) -> bytes:
    """Return the echo reply to ``request``; what is given is added (modulo its size) to what the reply repeats."""
    kind_and_sum = struct.pack("!BBH", _ECHO_REPLY, 0, 0)
    asked_identifier, asked_sequence, asked_token = struct.unpack_from("!HHQ", request, 4)
    changed = struct.pack(
        "!HHQ",
        (asked_identifier + identifier) % 2**16,
        (asked_sequence + sequence) % 2**16,
        (asked_token + token) % 2**64,
    )
    return with_checksum(kind_and_sum + changed + request[16:])


def with_checksum(message: bytes) -> bytes:
    """Return an ICMP message of even length with its checksum (RFC 792) put in."""
    total = sum_of_words(message[:2] + bytes(2) + message[4:])
    return message[:2] + (~total & 0xFFFF).to_bytes(2, "big") + message[4:]


def sum_of_words(data: bytes) -> int:
    """Return the one's complement sum of ``data``, of even length, in 16-bit words."""
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _answer(heard: socket.socket, answers: Answers, asked: collections.Counter[str], over: threading.Event) -> None:
    with contextlib.ExitStack() as stack:
        voices: dict[str, socket.socket] = {}
        while not over.is_set():
            try:
                datagram = heard.recv(2048)
            except TimeoutError:
                continue
            destination = socket.inet_ntoa(datagram[16:20])
            source = socket.inet_ntoa(datagram[12:16])
            asked[destination] += 1
            for reply, voice in answers((datagram[20:], destination)):
                if voice not in voices:
                    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
                    voices[voice] = stack.enter_context(raw)
                    voices[voice].bind((voice, 0))
                voices[voice].sendto(reply, (source, 0))
