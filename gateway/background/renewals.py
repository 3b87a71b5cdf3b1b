"""When to ask an owner to renew what ends, and under which request id. In memory; no I/O and no clock.

A request id gets the same decision for ever, so every renewal has its own; it is kept while the owner has yet to say,
or each attempt would put a further question to a person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from catalog.model.consent import Grant, GrantState
from catalog.model.ids import GrantId, PlatformId, new_id
from gateway.background.backoff import Backoff

RENEW_BEFORE_S = 300.0  # long enough for a few attempts; a grant that is shorter is renewed at half of its time


@dataclass(slots=True, kw_only=True)
class Renewals:
    """What is being renewed, and with which pauses (from ten seconds, doubling to an hour)."""

    pauses: Backoff[PlatformId] = field(default_factory=Backoff)
    _seen: dict[GrantId, tuple[float, float]] = field(default_factory=dict)  # its end, and since when that is its end
    _open: dict[PlatformId, str] = field(default_factory=dict)

    def due(self, ending: Sequence[Grant], now_s: float) -> Mapping[PlatformId, tuple[str, ...]]:
        """Return, by platform, the capabilities to ask for now among the grants that end or have expired."""
        self._note(ending, now_s)
        wanted: dict[PlatformId, tuple[str, ...]] = {}
        for grant in ending:
            if self._is_near(grant, now_s):
                wanted[grant.platform_id] = (*wanted.get(grant.platform_id, ()), grant.capability)
        for platform in {grant.platform_id for grant in ending} - wanted.keys():
            self.pauses.cleared(platform)
        return {platform: each for platform, each in wanted.items() if self.pauses.is_due(platform, now_s)}

    def begun(self, platform: PlatformId, now_s: float) -> str:
        """Return the id to ask under. Counts as a failure until ``due`` finds nothing near its end any more."""
        self.pauses.failed(platform, now_s)
        return self._open.setdefault(platform, new_id("request", now_s))

    def answered(self, platform: PlatformId) -> None:
        """Forget the id: the owner has said all there is to say to it."""
        self._open.pop(platform, None)

    def _note(self, ending: Sequence[Grant], now_s: float) -> None:
        for grant in ending:
            end_s = float(grant.expires_at_s or 0.0)
            if self._seen.get(grant.id, (None, 0.0))[0] != end_s:
                self._seen[grant.id] = (end_s, now_s)

    def _is_near(self, grant: Grant, now_s: float) -> bool:
        end_s, since_s = self._seen[grant.id]
        return grant.state is GrantState.EXPIRED or now_s >= end_s - min(RENEW_BEFORE_S, (end_s - since_s) / 2)
