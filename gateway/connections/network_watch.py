"""What routing did and believes, for operators: counted as it happens, told in one document."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from catalog.ports import Clock
from gateway.connections.links import LinkBook, LinksPage
from gateway.connections.probing import PASSIVE
from gateway.telemetry import RoutingMetrics
from routing.errors import HostKeyMismatch
from routing.probe.budget import ProbeBudget
from routing.probe.summary import LinkMeasurement

log = logging.getLogger(__name__)


class NetworkWatch:
    """Counts probes, refused samples, route changes and wrong host keys, and describes one ``LinkBook``'s links."""

    def __init__(self, links: LinkBook, budget: ProbeBudget, metrics: RoutingMetrics, clock: Clock) -> None:
        """Take what is watched; ``links`` tells of measurements by itself from now on."""
        self._links = links
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self._packets: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._changes: Counter[str] = Counter()
        self._mismatched_since_s: dict[str, float] = {}
        links.told = self.measured

    def measured(self, measurement: LinkMeasurement) -> None:
        """Count one round of probes on a link; what a tunnel showed by itself cost nothing."""
        if measurement.method != PASSIVE:
            self._metrics.probed(measurement.source, measurement.sent)
            self._packets["sent"] += measurement.sent
            self._packets["lost"] += measurement.lost
        for reason, count in self._links.gate.refused.items():
            if fresh := count - self._refused[reason.value]:
                self._metrics.refused(reason.value, fresh)
                self._refused[reason.value] = count

    def changed(self, reason: str) -> None:
        """Count a connection that was moved to another route."""
        self._metrics.changed(reason)
        self._changes[reason] += 1

    def logged_in(self, relay: str, code: str) -> None:
        """Hear how an attempt to log in to ``relay`` ended: an error's code, or "" when it stands.

        One that shows another host key than the pinned one raises the alarm, until it proves the pinned key again, and
        no route leads over it any more, whichever way it was tried. What ends otherwise says nothing about its key.
        """
        if code == HostKeyMismatch.code:
            self._metrics.mismatched(relay)
            if relay not in self._mismatched_since_s:
                now_s = self._mismatched_since_s[relay] = self._clock.now_s()
                self._links.out_of_reach(relay, now_s, code)
                log.error("relay shows another host key", extra={"relay": relay})
        elif not code and self._mismatched_since_s.pop(relay, None) is not None:
            log.info("relay shows the pinned host key again", extra={"relay": relay})

    def document(self) -> Mapping[str, Any]:
        """Return counts of links, probes and route changes, and wrong host keys, for ``GET /v1/network/status``."""
        alive, dead = self._links.counts(self._clock.now_s())
        self._metrics.links(alive=alive, dead=dead)
        return {
            "links_alive": alive,
            "links_dead": dead,
            "probes": {
                "packets": self._packets["sent"],
                "lost": self._packets["lost"],
                "refused": {reason: count for reason, count in self._refused.items() if count},
                "limit_per_s": self._budget.policy.packets_per_s,
                "by_source": dict(self._budget.spent),
            },
            "changes": dict(self._changes),
            "host_key_mismatches": dict(self._mismatched_since_s),
        }

    def links(self, near: str, after: int, limit: int) -> LinksPage:
        """Return a page of links as they are believed to be now; see ``LinkBook.page``."""
        return self._links.page(self._clock.now_s(), near=near, after=after, limit=limit)
