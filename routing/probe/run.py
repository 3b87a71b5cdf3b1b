"""Carry out a probe plan: every link at once, within limits, each by the method that suits it.

Gateway to relay goes by ICMP where raw sockets are allowed and by TCP otherwise; which one is said in the log and in
each measurement. Targets are probed on the port that will be used. Links that start at a relay are timed over
that relay's SSH connection.
"""

import asyncio
import dataclasses
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from routing.errors import RoutingError
from routing.ports import Clock
from routing.probe.icmp import EchoSocket
from routing.probe.plan import PlannedLink, ProbePlan, ProbePolicy
from routing.probe.probers import Probers
from routing.probe.summary import LinkMeasurement
from routing.probe.syn import SynSocket
from routing.probe.tcp import TcpMethod, probe_tcp
from routing.probe.via_relay import probe_beyond, probe_via_relay
from routing.probe.wire import Samples
from routing.topology import Address, Node, NodeKind, Topology
from routing.tunnel.pool import Lease

log = logging.getLogger(__name__)

_ICMP, _SYN = "icmp", "syn"
_VIA_RELAY = "relay-"

# Returns a lease on a connection to the last of these relays; raises RoutingError.
Reach = Callable[[tuple[str, ...]], Awaitable[Lease]]


async def run_probes(  # noqa: PLR0917  one argument per thing a probe needs to know
    plan: ProbePlan,
    topology: Topology,
    target: Node,
    reach: Reach,
    probers: Probers,
    policy: ProbePolicy,
    clock: Clock,
) -> tuple[LinkMeasurement, ...]:
    """Return a measurement for every link of ``plan``.

    A link that cannot be probed, because the relay at its start is out of reach or forbids it, is measured as
    lost, with the reason in ``note``. May be repeated. Raises RawSocketsRefused when the policy requires ICMP in vain.
    """
    raw = await probers.sockets()
    run = _Run(topology, target, reach, probers, raw, policy, clock, asyncio.Semaphore(policy.parallel_links))
    async with asyncio.TaskGroup() as group:
        probes = [group.create_task(run.measure(link)) for link in plan.links]
    return tuple(probe.result() for probe in probes)


@dataclass(frozen=True, slots=True)
class _Run:
    topology: Topology
    target: Node
    reach: Reach
    probers: Probers
    raw: tuple[EchoSocket, SynSocket] | None
    policy: ProbePolicy
    clock: Clock
    turns: asyncio.Semaphore

    async def measure(self, link: PlannedLink) -> LinkMeasurement:
        source = self.topology.node(link.source, self.target)
        sink = self.topology.node(link.target, self.target)
        address = self.topology.dial_address(source, sink)
        method, note = self._tcp_method(sink).value, ""
        samples: Samples = (None,) * link.samples
        policy = dataclasses.replace(self.policy, samples=link.samples)
        async with self.turns:
            try:
                if link.via:
                    method = _VIA_RELAY + method
                    beyond, samples = await self._from_relay(link, address, sink, policy)
                    method = _VIA_RELAY + beyond
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

    async def _from_gateway(self, address: Address, sink: Node, policy: ProbePolicy) -> tuple[str, Samples]:
        if self.raw is not None and sink.kind is NodeKind.RELAY:
            host = await _ipv4(address.host, policy.timeout_ms / 1000)
            if host is not None:
                return await self._by_raw_socket(*self.raw, Address(host, address.port), policy)
        method = self._tcp_method(sink)
        return method.value, await probe_tcp(address, method, policy)

    async def _by_raw_socket(
        self, echo: EchoSocket, syn: SynSocket, address: Address, policy: ProbePolicy
    ) -> tuple[str, Samples]:
        """Probe a relay by ICMP, by SYN where only that is answered: a closed protocol is not a dead link."""
        hosts = self.probers.answers_icmp
        if hosts.get(address.host, True):
            samples = await echo.probe(address.host, policy)
            answered = any(ms is not None for ms in samples)
            # Once it has answered, silence is loss; before that it may as well be a firewall.
            if answered or address.host in hosts:
                hosts[address.host] = True
                return _ICMP, samples
        answers = await syn.probe(address, policy)
        if any(ms is not None for ms in answers):
            hosts[address.host] = False
            return _SYN, answers
        hosts.pop(address.host, None)
        return _ICMP, answers

    async def _from_relay(
        self, link: PlannedLink, address: Address, sink: Node, policy: ProbePolicy
    ) -> tuple[str, Samples]:
        lease = await self.reach(link.via)
        try:
            method = self._tcp_method(sink)
            if sink.kind is NodeKind.RELAY and self.policy.icmp != "off":
                return await probe_beyond(lease.connection, address, method, policy, self.probers.pings)
            return method.value, await probe_via_relay(lease.connection, address, method, policy)
        finally:
            await lease.release()

    def _tcp_method(self, sink: Node) -> TcpMethod:
        if self.policy.tcp_timing == "connect":
            return TcpMethod.CONNECT
        return TcpMethod.BANNER if sink.kind is NodeKind.RELAY else TcpMethod.FIRST_BYTE


async def _ipv4(host: str, timeout_s: float) -> str | None:
    """Return an IPv4 address of ``host``, or None when it has none (or none was found in time)."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return None
    return str(found[0][4][0])
