"""Read one list of a cloud in a process of its own: ``python -m drivers.clouds.reader DESCRIPTOR``.

Parsing ten thousand rows holds Python's lock for seconds, a few milliseconds at a time; here it holds nobody up. The
process has no way into the network: every connection is dialled by the gateway, through the platform's tunnel, and
handed over. It ends with its list, and takes the memory along that the list took.
"""

import os
import resource
import socket
import sys
from typing import Any, Final

from catalog.errors import CatalogError, CloudMisbehaved, CloudTimedOut, CloudUnavailable
from catalog.listed import Batch
from catalog.messages.handshake import Capability
from catalog.ports import Address
from drivers import registry
from drivers.clouds.generic import GenericCloud
from drivers.clouds.policy import CallPolicy
from drivers.clouds.reader_channel import Channel, ChannelClosed
from drivers.clouds.reader_job import account_of

_MEMORY_LIMIT_BYTES: Final = 1024 * 1024 * 1024  # of address space: an answer that would take more ends this process
_NICENESS: Final = 10  # whoever waits for an answer goes before a list


class HandedSockets:
    """catalog.ports.Dialer whose dials are made by the gateway."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def dial(self, address: Address, *, timeout_s: float) -> socket.socket:
        """Return a connected socket, as the gateway hands it over."""
        self._channel.say({"dial": [address.host, address.port], "timeout_s": timeout_s})
        answer = self._channel.hear_message()
        if "dialled" in answer:
            return self._channel.take_over()
        if answer.get("code") == CloudTimedOut.code:
            raise CloudTimedOut("the cloud did not answer the dial")
        raise CloudUnavailable("the cloud cannot be reached")


def main(descriptor: int) -> None:
    """Do the one job that the gateway says over ``descriptor``, a Unix socket."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        job = channel.hear_message()
        channel.say(_ended(channel, job))
    except ChannelClosed:
        return  # the gateway has ended, or wants the list no more


def _ended(channel: Channel, job: dict[str, Any]) -> dict[str, Any]:
    """Do ``job`` and return its last message."""
    counted = 0

    def put(batch: Batch) -> None:
        nonlocal counted
        counted += batch.count
        channel.put(batch)

    try:
        cloud = registry.build(account_of(job["account"]), HandedSockets(channel), CallPolicy(**job["policy"]))
        if not isinstance(cloud, GenericCloud):
            raise CloudMisbehaved("this provider's lists are not read apart")
        cloud.read_here(Capability(job["capability"]), put)
    except CatalogError as error:
        return {"error": error.code, "message": str(error), "fix": error.fix, "detail": error.detail}
    except MemoryError:
        return {"error": CloudMisbehaved.code, "message": "the cloud's answer takes more memory than any answer may"}
    return {"done": counted}


if __name__ == "__main__":
    main(int(sys.argv[1]))
