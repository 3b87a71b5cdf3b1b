"""Judge from the answers to heartbeats whether the way they take is healthy, suspect or dead. Pure; time is passed in.

A beat is answered in order and repeated by TCP when it is lost on the way, so loss shows as delay: one lost packet is
200 ms or more, several in a row are seconds. Suspicion is therefore quick and costs little (new work goes elsewhere
until an answer comes), and death is slow: it takes a silence that repeats do not explain.

The bound on an ordinary answer is the mean round trip and four mean deviations, as TCP sets its timer (RFC 6298): on a
path that loses packets it grows by itself.

A beat is not free: until we have acknowledged its answer, the far sshd keeps whatever small packet comes next (Nagle),
for a whole round trip. Therefore it is sent when something else of ours has been without an answer for longer than
answers take, and now and then when nothing is awaited.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Health(StrEnum):
    """What is believed of a way."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessPolicy:
    """How often to beat, and how long a silence means what.

    A beat is sent ``interval_s`` (or three round trips, where that is longer) after anything that has no answer yet,
    beats included; where nothing is awaited, ``idle_interval_s`` after the last word from the far end. A way is suspect
    when a beat is overdue (past the bound on an ordinary answer), not before ``suspect_least_s`` nor after
    ``suspect_most_s``; dead after ``dead_bounds`` such bounds, not before ``dead_least_s``, which five repeats of one
    packet take, nor after ``dead_most_s``.
    """

    interval_s: float = 0.1
    idle_interval_s: float = 0.5
    suspect_least_s: float = 0.2
    suspect_most_s: float = 2.0
    dead_least_s: float = 6.0
    dead_most_s: float = 8.0
    dead_bounds: float = 20.0


# An answer that took a connect to somewhere else may take two round trips; a beat at the third delays none of them.
_ROUND_TRIPS = 3.0
# RFC 6298: how much a new round trip counts for the mean, and a new deviation for theirs.
_MEAN_WEIGHT, _DEVIATION_WEIGHT = 1 / 8, 1 / 4
# Until the first answer: about what one round trip around the world takes.
_FIRST_BOUND_S = 0.5
# Being looked at so late is a pause; less is a busy machine, on which forgiving every delay would put off death.
_STALL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What beats have shown so far; all times on one clock, in s.

    ``asked_s`` are the beats without an answer, the oldest first; ``looked_s`` is when the pulse was last looked at,
    and ``heard_s`` when the far end last sent anything at all.
    """

    looked_s: float
    heard_s: float
    asked_s: tuple[float, ...] = ()
    mean_s: float | None = None
    deviation_s: float = 0.0

    @classmethod
    def beginning(cls, at_s: float, round_trip_s: float = 0.0) -> "Pulse":
        """Return the pulse of a way that was just made, by words from the far end; 0: its round trip is not known."""
        fresh = cls(looked_s=at_s, heard_s=at_s)
        return replace(fresh, mean_s=round_trip_s, deviation_s=round_trip_s / 2) if round_trip_s else fresh

    @property
    def bound_s(self) -> float:
        """How long an ordinary answer takes at most."""
        return _FIRST_BOUND_S if self.mean_s is None else self.mean_s + 4 * self.deviation_s

    def looked(self, at_s: float, due_s: float) -> "Pulse":
        """Return the pulse at ``at_s``, where it was to be looked at by ``due_s``.

        Much later than that, this process did not run in between and could not have heard anything: it is nobody's
        silence.
        """
        late_s = at_s - due_s
        if late_s < _STALL_S:
            late_s = 0.0
        return replace(
            self,
            looked_s=at_s,
            heard_s=self.heard_s + late_s,
            asked_s=tuple(asked_s + late_s for asked_s in self.asked_s),
        )

    def asked(self, at_s: float) -> "Pulse":
        """Return the pulse after a beat was sent."""
        return replace(self, asked_s=(*self.asked_s, at_s))

    def answered(self, at_s: float) -> "Pulse":
        """Return the pulse after the oldest beat was answered; without one it stays as it is."""
        if not self.asked_s:
            return self
        took_s = max(0.0, at_s - self.asked_s[0])
        answered = replace(self, asked_s=self.asked_s[1:], heard_s=max(self.heard_s, at_s))
        if self.mean_s is None:
            return replace(answered, mean_s=took_s, deviation_s=took_s / 2)
        away_s = abs(self.mean_s - took_s)
        return replace(
            answered,
            mean_s=self.mean_s + _MEAN_WEIGHT * (took_s - self.mean_s),
            deviation_s=self.deviation_s + _DEVIATION_WEIGHT * (away_s - self.deviation_s),
        )

    def heard(self, at_s: float) -> "Pulse":
        """Return the pulse after anything else came from the far end: a beat may wait behind a long upload."""
        return replace(self, heard_s=max(self.heard_s, at_s))

    def interval_s(self, policy: LivenessPolicy) -> float:
        """Return how long something may be without an answer before a beat asks after it."""
        return max(policy.interval_s, min(_ROUND_TRIPS * (self.mean_s or 0.0), policy.suspect_most_s))

    def next_beat_s(self, policy: LivenessPolicy, awaited_since_s: float | None) -> float:
        """Return when the next beat is due, where something other than a beat is awaited since then, or nothing is."""
        interval_s = self.interval_s(policy)
        if self.asked_s:
            return self.asked_s[-1] + interval_s
        if awaited_since_s is not None:
            return awaited_since_s + interval_s
        return self.heard_s + max(interval_s, policy.idle_interval_s)

    def suspect_at_s(self, policy: LivenessPolicy) -> float | None:
        """Return when the way becomes suspect unless something is heard; None while no answer is awaited."""
        return self._silent_for(min(policy.suspect_most_s, max(policy.suspect_least_s, self.bound_s)))

    def dead_at_s(self, policy: LivenessPolicy) -> float | None:
        """Return when the way is dead unless something is heard; None while no answer is awaited."""
        patience_s = max(policy.dead_least_s, policy.dead_bounds * self.bound_s)
        return self._silent_for(min(policy.dead_most_s, patience_s))

    def health(self, policy: LivenessPolicy) -> Health:
        """Return what is to be believed of the way now, ``looked_s``."""
        dead_at_s, suspect_at_s = self.dead_at_s(policy), self.suspect_at_s(policy)
        if dead_at_s is not None and self.looked_s >= dead_at_s:
            return Health.DEAD
        if suspect_at_s is not None and self.looked_s >= suspect_at_s:
            return Health.SUSPECT
        return Health.HEALTHY

    def _silent_for(self, patience_s: float) -> float | None:
        if not self.asked_s:
            return None
        return max(self.asked_s[0], self.heard_s) + patience_s
