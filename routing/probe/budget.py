"""How many packets probing may spend: a rate for the gateway as a whole and one through any single relay. No I/O."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from routing.probe.plan import PlannedLink, ProbePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPolicy:
    """``packets_per_s`` is for everything, ``relay_packets_per_s`` for what is sent from one relay.

    What was not spent is kept for at most ``saved_s``: enough for a cold start, too little for a flood.
    """

    packets_per_s: float = 100.0
    relay_packets_per_s: float = 10.0
    saved_s: float = 10.0


class ProbeBudget:
    """Token buckets, full at the start, and the count of what was spent by where it was sent from."""

    def __init__(self, policy: BudgetPolicy) -> None:
        """Take the rates."""
        self.policy = policy
        self._spent: Counter[str] = Counter()
        self._all = _Bucket(policy.packets_per_s, policy.saved_s)
        self._relays: dict[str, _Bucket] = {}

    @property
    def spent(self) -> Mapping[str, int]:
        """Packets so far, by the node that they were sent from."""
        return dict(self._spent)

    def limit(self, now_s: float) -> int:
        """Return how many packets may be sent now in all."""
        return int(self._all.filled(now_s))

    def afford(self, plan: ProbePlan, now_s: float) -> ProbePlan:
        """Return what of ``plan`` can be paid for now, the most urgent first, and pay for it.

        A link gets fewer packets rather than none; one for which no packet is left waits for the next plan.
        """
        paid = []
        for link in plan.links:
            samples = min(link.samples, self.limit(now_s), self._left_at(link, now_s))
            if samples > 0:
                self._pay(link, samples)
                paid.append(replace(link, samples=samples))
        return ProbePlan(links=tuple(paid))

    def _left_at(self, link: PlannedLink, now_s: float) -> int:
        if not link.via:
            return link.samples
        fresh = _Bucket(self.policy.relay_packets_per_s, self.policy.saved_s)
        return int(self._relays.setdefault(link.source, fresh).filled(now_s))

    def _pay(self, link: PlannedLink, samples: int) -> None:
        self._all.left -= samples
        if link.via:
            self._relays[link.source].left -= samples
        self._spent[link.source] += samples


class _Bucket:
    """Fills at ``rate_per_s`` up to what ``saved_s`` seconds bring."""

    def __init__(self, rate_per_s: float, saved_s: float) -> None:
        self.left = self._full = max(1.0, rate_per_s * saved_s)
        self._rate_per_s = rate_per_s
        self._at_s: float | None = None

    def filled(self, now_s: float) -> float:
        """Return what is in it at ``now_s``; a clock that went back fills nothing."""
        if self._at_s is not None:
            self.left = min(self._full, self.left + self._rate_per_s * max(0.0, now_s - self._at_s))
        self._at_s = now_s
        return self.left
