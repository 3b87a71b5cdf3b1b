"""What measures the network and chooses routes by it, wired from settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from catalog.ports import Clock
from gateway.compose.policies import budget_policy, choosing_policy, probe_policy
from gateway.connections.choosing import RouteChooser
from gateway.connections.links import LinkBook
from gateway.connections.network_watch import NetworkWatch
from gateway.connections.probing import WarmProber, listen_to
from gateway.settings import Settings
from gateway.telemetry import Metrics, RoutingMetrics
from routing.estimate.plausible import Refusal
from routing.probe.budget import ProbeBudget
from routing.probe.probers import RawSockets
from routing.tunnel.pool import HopPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Who chooses routes, who watches over what that takes, and where it is counted."""

    chooser: RouteChooser
    watch: NetworkWatch
    metrics: Metrics


@asynccontextmanager
async def measurement(
    settings: Settings, pool: HopPool, clock: Clock, raw: RawSockets | None
) -> AsyncIterator[Measurement]:
    """Wire it over the connections of ``pool``; ``raw`` are sockets from before privileges were given up, if any."""
    probes = probe_policy(settings)
    # A relay that does not answer holds up a round of probes for all: three probes' patience is enough for it.
    patience_s = min(settings.tunnel.connect_timeout_s, 3 * probes.timeout_ms / 1000)
    links, metrics = LinkBook(), Metrics()
    async with WarmProber(
        pool=pool,
        patience_s=patience_s,
        probes=probes,
        clock=clock,
        raw=raw,
        told_foreign=lambda count: links.gate.refuse(Refusal.WRONG_ID, count),
    ) as prober:
        budget = ProbeBudget(budget_policy(settings))
        watch = NetworkWatch(links, budget, RoutingMetrics(metrics), clock)
        pool.told = watch.logged_in
        policy = choosing_policy(settings)
        chooser = RouteChooser(probe=prober, policy=policy, budget=budget, links=links, clock=clock, listen=listen_to)
        yield Measurement(chooser=chooser, watch=watch, metrics=metrics)
