"""Carry out a probe plan: every link at once, within limits, each by the method that suits it.

Gateway to relay goes by ICMP where raw sockets are allowed and by TCP otherwise; which one is said in the log and in
each measurement. Targets are probed on the port that will be used. Links that start at a relay are timed over
that relay's SSH connection.
"""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import socket
from dataclasses import dataclass

from routing.errors import RawSocketsRefused, RoutingError
from routing.ports import Clock
from routing.probe.icmp import EchoSocket, raw_sockets_allowed
from routing.probe.plan import PlannedLink, ProbePlan, ProbePolicy
from routing.probe.summary import LinkMeasurement
from routing.probe.tcp import TcpMethod, probe_tcp
from routing.probe.via_relay import probe_via_relay
from routing.topology import Address, Node, NodeKind, Topology
from routing.tunnel.hops import Hops

log = logging.getLogger(__name__)

_ICMP = "icmp"
_VIA_RELAY = "relay-"


async def run_probes(  # noqa: PLR0917  one argument per thing a probe needs to know
    plan: ProbePlan,
    topology: Topology,
    target: Node,
    hops: Hops,
    policy: ProbePolicy,
    clock: Clock,
) -> tuple[LinkMeasurement, ...]:
    """Return a measurement for every link of ``plan``.

    A link that cannot be probed, because the relay at its start is out of reach or forbids it, is measured as
    lost, with the reason in ``note``. May be repeated. Raises RawSocketsRefused when the policy requires ICMP in vain.
    """
    with contextlib.ExitStack() as stack:
        echo = None
        if _icmp_wanted(policy):
            # In a thread, because loading scapy for the first time takes half a second.
            echo = stack.enter_context(await asyncio.to_thread(EchoSocket))
        run = _Run(topology, target, hops, policy, clock, echo, asyncio.Semaphore(policy.parallel_links))
        async with asyncio.TaskGroup() as group:
            probes = [group.create_task(run.measure(link)) for link in plan.links]
        return tuple(probe.result() for probe in probes)


@dataclass(frozen=True, slots=True)
class _Run:
    topology: Topology
    target: Node
    hops: Hops
    policy: ProbePolicy
    clock: Clock
    echo: EchoSocket | None
    turns: asyncio.Semaphore

    async def measure(self, link: PlannedLink) -> LinkMeasurement:
        source = self.topology.node(link.source, self.target)
        sink = self.topology.node(link.target, self.target)
        address = self.topology.dial_address(source, sink)
        method, note = self._tcp_method(sink).value, ""
        samples: tuple[float | None, ...] = (None,) * link.samples
        policy = dataclasses.replace(self.policy, samples=link.samples)
        async with self.turns:
            try:
                if link.via:
                    method = _VIA_RELAY + method
                    samples = await self._from_relay(link, address, sink, policy)
                else:
                    method, samples = await self._from_gateway(address, sink, policy)
            except RoutingError as error:
                note = error.code
        return LinkMeasurement(
            source=link.source,
            target=link.target,
            method=method,
            samples_ms=samples,
            measured_at_s=self.clock.now_s(),
            note=note,
        )

    async def _from_gateway(
        self, address: Address, sink: Node, policy: ProbePolicy
    ) -> tuple[str, tuple[float | None, ...]]:
        if self.echo is not None and sink.kind is NodeKind.RELAY:
            host = await _ipv4(address.host, policy.timeout_ms / 1000)
            if host is not None:
                return _ICMP, await self.echo.probe(host, policy)
        method = self._tcp_method(sink)
        return method.value, await probe_tcp(address, method, policy)

    async def _from_relay(
        self, link: PlannedLink, address: Address, sink: Node, policy: ProbePolicy
    ) -> tuple[float | None, ...]:
        connection = await self.hops.reach(link.via)
        return await probe_via_relay(connection, address, self._tcp_method(sink), policy)

    def _tcp_method(self, sink: Node) -> TcpMethod:
        if self.policy.tcp_timing == "connect":
            return TcpMethod.CONNECT
        return TcpMethod.BANNER if sink.kind is NodeKind.RELAY else TcpMethod.FIRST_BYTE


def _icmp_wanted(policy: ProbePolicy) -> bool:
    allowed = policy.icmp != "off" and raw_sockets_allowed()
    if policy.icmp == "require" and not allowed:
        raise RawSocketsRefused("icmp = require, but this process may not open raw sockets (CAP_NET_RAW)")
    _announce("icmp" if allowed else f"tcp {policy.tcp_timing}")
    return allowed


@functools.cache
def _announce(method: str) -> None:
    """Say aloud how relays are probed: once per process for each method, not every round."""
    log.info("relays are probed", extra={"method": method})


async def _ipv4(host: str, timeout_s: float) -> str | None:
    """Return an IPv4 address of ``host``, or None when it has none (or none was found in time)."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return None
    return str(found[0][4][0])
