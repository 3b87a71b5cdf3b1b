"""Have a long list read by a process of its own (``drivers.clouds.reader``), and give it its connections.

Blocking, for a platform's thread. Measured: parsed in a thread, ten thousand images held the event loop up for 100 ms
at a time; read apart, no longer than it is held up anyway. A process costs some 0.5 s, so that only lists which turn
out to be long are read this way.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from catalog import errors
from catalog.clouds import CloudAccount, Listing
from catalog.endpoints import Target
from catalog.errors import CatalogError, CloudError, CloudMisbehaved, CloudUnavailable, DialRefused
from catalog.listed import Batch
from catalog.messages.handshake import Capability
from catalog.ports import Address
from drivers.clouds.policy import CallPolicy
from drivers.clouds.reader_channel import Channel, ChannelClosed
from drivers.clouds.reader_job import told_of
from drivers.clouds.routed_http import Call

READERS_LIMIT: Final = 4  # of this gateway at once: each takes some 100 MiB
TEXT_LIMIT_BYTES: Final = 64 * 1024 * 1024  # of one list, as stored: 20,000 rows of 3 KiB
_ENDS_WITHIN_S: Final = 5.0
_readers = threading.BoundedSemaphore(READERS_LIMIT)
_ERRORS: Final[Mapping[str, type[CatalogError]]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CloudError)
}
# What the reader needs of our environment: where programs and authorities are, and none of the rest.
_PASSED_ON: Final = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")


def read_apart(account: CloudAccount, policy: CallPolicy, capability: Capability, call: Call) -> Listing:
    """Return the whole list of ``capability``.

    Raises what the reading ended in: CloudError, and CloudUnavailable when no reader came free in time or it ended
    without a word. Whoever cuts ``call`` cuts the reader's connections.
    """
    if not _readers.acquire(timeout=call.remaining_s()):
        raise CloudUnavailable("too many long lists are being read; nothing was sent")
    try:
        with _reader(call) as channel:
            job = {"account": told_of(account), "policy": asdict(policy), "capability": capability.value}
            channel.say(job)
            return _heard(channel, account, call)
    except ChannelClosed:
        call.remaining_s()  # at the deadline that is the reason, whatever it looked like from here
        raise CloudUnavailable("the list could not be read to its end") from None
    finally:
        _readers.release()


def _heard(channel: Channel, account: CloudAccount, call: Call) -> Listing:
    """Return what the reader reads, dialling the account's endpoints for it as often as it asks."""
    targets: dict[Address | None, Target] = {
        endpoint.dial: Target.of(endpoint.url) for endpoint in (account.endpoint, *account.services)
    }
    batches: list[str] = []
    count = size = 0
    while True:
        message = channel.hear()
        if isinstance(message, Batch):
            batches.append(message.text)
            count, size = count + message.count, size + len(message.text)
            if size > TEXT_LIMIT_BYTES:
                raise CloudMisbehaved("the cloud's list is longer than any list may be")
        elif "dial" in message:
            _dial(channel, targets.get(_address(message)), call)
        elif message.get("done") == count:
            return Listing(count=count, batches=tuple(batches))
        else:
            raise _error(message)


def _address(message: Mapping[str, Any]) -> Address | None:
    match message["dial"]:
        case [str(host), int(port)]:
            return Address(host=host, port=port)
    return None


def _dial(channel: Channel, target: Target | None, call: Call) -> None:
    if target is None:
        raise call.refused(DialRefused("the reader of a list asked for an address that no admin approved"))
    try:
        connected = call.connect(target)
    except CloudError as error:
        channel.say({"code": error.code})
        return
    with connected:
        channel.say({"dialled": True})
        channel.hand_over(connected)


def _error(message: Mapping[str, Any]) -> CatalogError:
    kind = _ERRORS.get(str(message.get("error")), CloudMisbehaved)
    fix = message.get("fix")
    return kind(
        str(message.get("message", "the reader of the list makes no sense")),
        fix=None if fix is None else str(fix),
        detail=str(message.get("detail", "")),
    )


@contextmanager
def _reader(call: Call) -> Iterator[Channel]:
    """Start a reader, give the channel to it, and see to its end."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            descriptor = theirs.fileno()
            command = [sys.executable, "-P", "-m", "drivers.clouds.reader", str(descriptor)]
            process = subprocess.Popen(  # noqa: S603 - our own program
                command, env=_environment(), pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        try:
            call.keep(ours)
            yield Channel(ours)
        finally:
            ours.close()
            try:
                process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
