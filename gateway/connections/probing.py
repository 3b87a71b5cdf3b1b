"""Probe links over relay connections that stay warm between rounds, so that a review costs no log-ins."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from catalog.ports import Clock
from gateway.network import GATEWAY_NODE, Snapshot
from routing.candidates import Route
from routing.probe.passive import keepalive_links_ms
from routing.probe.plan import ProbePlan, ProbePolicy
from routing.probe.probers import Probers, RawSockets
from routing.probe.run import run_probes
from routing.probe.summary import LinkMeasurement
from routing.tunnel.pool import HopPool, Lease
from routing.tunnel.tunnel import Tunnel

PASSIVE = "passive"
# Keepalives on every relay's connection of a tunnel; spaced, or delayed acknowledgements are measured with them.
_KEEPALIVES = 3
_SPACING_S = 0.15
_KEEPALIVE_TIMEOUT_S = 2.0

Probe = Callable[[ProbePlan, Snapshot], Awaitable[tuple[LinkMeasurement, ...]]]

Listen = Callable[[Tunnel, Route, Clock], Awaitable[tuple[LinkMeasurement, ...]]]


async def listen_to(tunnel: Tunnel, route: Route, clock: Clock) -> tuple[LinkMeasurement, ...]:
    """Return what keepalives on a live tunnel say of the links between its relays.

    A link whose keepalives did not come back is left out: TCP repeats what is lost, so silence here measures nothing.
    """
    found = await keepalive_links_ms(
        tunnel.connections, samples=_KEEPALIVES, spacing_s=_SPACING_S, timeout_s=_KEEPALIVE_TIMEOUT_S
    )
    links = route.links(GATEWAY_NODE)
    return tuple(
        LinkMeasurement(source=source, target=target, method=PASSIVE, samples_ms=(rtt_ms,), measured_at_s=clock.now_s())
        for (source, target), rtt_ms in zip(links, found, strict=False)
        if rtt_ms is not None
    )


async def hear_nothing(_tunnel: Tunnel, _route: Route, _clock: Clock) -> tuple[LinkMeasurement, ...]:
    """Return nothing."""
    return ()


def _ignored(_count: int) -> None:
    """Hear, and do nothing."""


class WarmProber:
    """Carries out probe plans over the connections that tunnels use too. Use as an async context manager."""

    def __init__(
        self,
        *,
        pool: HopPool,
        patience_s: float,
        probes: ProbePolicy,
        clock: Clock,
        raw: RawSockets | None = None,
        told_foreign: Callable[[int], None] = _ignored,
    ) -> None:
        """Take the limits, and raw sockets that were opened before privileges were dropped.

        A relay that cannot be reached within ``patience_s`` counts as out of reach. ``told_foreign`` hears after a
        round how many answers to nobody's question came.
        """
        self._told_foreign = told_foreign
        self._foreign = 0
        self._probers = Probers(probes, raw)
        self._pool = pool
        self._patience_s = patience_s
        self._probes = probes
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._probers.__aexit__(kind, error, trace)

    async def __call__(self, plan: ProbePlan, network: Snapshot) -> tuple[LinkMeasurement, ...]:
        """Return a measurement for every link of ``plan``; see ``routing.probe.run.run_probes``."""

        async def reach(via: tuple[str, ...]) -> Lease:
            return await self._pool.lease(via, network.topology, patience_s=self._patience_s)

        try:
            return await run_probes(
                plan, network.topology, network.target, reach, self._probers, self._probes, self._clock
            )
        finally:
            if fresh := self._probers.foreign - self._foreign:
                self._foreign += fresh
                self._told_foreign(fresh)
