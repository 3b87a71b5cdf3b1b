"""What a process probes with: one raw socket for ICMP and one for SYN where they may be had, and pings on relays."""

import asyncio
import functools
import logging
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from routing.errors import RawSocketsRefused
from routing.probe.icmp import EchoSocket, open_icmp_socket
from routing.probe.plan import ProbePolicy
from routing.probe.relay_ping import RelayPing
from routing.probe.syn import OpenedSyn, SynSocket, open_syn_socket

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RawSockets:
    """Raw sockets that were opened while the process had the right to; they stay their opener's."""

    icmp: socket.socket
    syn: OpenedSyn


def open_raw_sockets() -> RawSockets | None:
    """Return raw sockets for ``Probers``; None where this process may not open any (no root, no CAP_NET_RAW)."""
    try:
        icmp = open_icmp_socket()
    except PermissionError:
        return None
    try:
        return RawSockets(icmp=icmp, syn=open_syn_socket())
    except PermissionError:
        icmp.close()
        return None


class Probers:
    """The probers of one process, made when first needed and closed with the context.

    ``raw`` are sockets from before privileges were dropped; without them they are opened here, where that is allowed.
    """

    def __init__(self, policy: ProbePolicy, raw: RawSockets | None = None) -> None:
        self.pings = RelayPing()
        # By host: whether it answers ICMP; False where only SYN was answered, absent where nothing was yet.
        self.answers_icmp: dict[str, bool] = {}
        self._policy = policy
        self._given = raw
        self._opening = asyncio.Lock()
        self._opened = False
        self._sockets: tuple[EchoSocket, SynSocket] | None = None
        self._resources = ExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    async def sockets(self) -> tuple[EchoSocket, SynSocket] | None:
        """Return the raw probers; None where probes go by TCP. Raises RawSocketsRefused if ICMP is required in vain."""
        async with self._opening:
            if not self._opened:
                self._sockets = await self._open()
                self._opened = True
                _announce("icmp" if self._sockets else f"tcp {self._policy.tcp_timing}")
        return self._sockets

    @property
    def foreign(self) -> int:
        """How many packets came that looked like answers and belonged to no probe of ours."""
        return sum(prober.statistics().foreign for prober in self._sockets or ())

    async def _open(self) -> tuple[EchoSocket, SynSocket] | None:
        raw = None
        if self._policy.icmp != "off":
            raw = self._given or open_raw_sockets()
        if raw is None:
            if self._policy.icmp == "require":
                raise RawSocketsRefused("icmp = require, but this process may not open raw sockets (CAP_NET_RAW)")
            return None
        if self._given is None:
            self._resources.callback(raw.icmp.close)
            self._resources.callback(raw.syn.close)
        # In a thread, because loading scapy for the first time takes half a second.
        echo, syn = await asyncio.to_thread(lambda: (EchoSocket(opened=raw.icmp), SynSocket(opened=raw.syn)))
        return self._resources.enter_context(echo), self._resources.enter_context(syn)


@functools.cache
def _announce(method: str) -> None:
    """Say aloud how relays are probed: once per process for each method, not every round."""
    log.info("relays are probed", extra={"method": method})
