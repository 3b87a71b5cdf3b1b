"""What one direction of a link does to a packet: its settings, and the draws of delay and loss.

Pure: no clock, no I/O; standard library only. Times are seconds on the caller's monotonic clock.
"""

import dataclasses
import math
import random
from dataclasses import dataclass
from typing import TypedDict, Unpack


class WanError(Exception):
    """The WAN cannot be built, or was asked for something it does not have; the text says what."""


class LinkChanges(TypedDict, total=False):
    """The settings of a link that may be given, with the meanings and units of ``LinkSettings``."""

    delay_ms: float
    jitter_ms: float
    loss_ratio: float
    burst: float
    rate_mbit_s: float
    queue_ms: float
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """One direction of a link. Raises WanError when a value cannot be."""

    delay_ms: float = 0.0  # one way
    jitter_ms: float = 0.0  # each packet's delay is uniform in delay_ms +- jitter_ms; order is kept
    loss_ratio: float = 0.0  # share of packets lost, 0.0 to 1.0
    burst: float = 0.0  # mean length of a run of lost packets (Gilbert); 0 or 1: each drawn alone
    rate_mbit_s: float = 0.0  # 0: as fast as the machine
    queue_ms: float = 200.0  # with a rate: what would wait longer than this is dropped
    up: bool = True  # False: everything is swallowed, packets in flight included

    def __post_init__(self) -> None:
        for name in ("delay_ms", "jitter_ms", "loss_ratio", "burst", "rate_mbit_s", "queue_ms"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise WanError(f"{name} must be a number, not {value!r}")
            if not math.isfinite(value) or value < 0:
                raise WanError(f"{name} must be a finite number of 0 or more, not {value!r}")
        if self.loss_ratio > 1:
            raise WanError(f"loss_ratio is a share from 0.0 to 1.0, not {self.loss_ratio!r}")
        if self.burst > 1 and self.loss_ratio < 1 and self._run_begins() > 1:
            least = self.loss_ratio / (1 - self.loss_ratio)
            raise WanError(f"a loss_ratio of {self.loss_ratio} needs runs of at least {least:.1f} packets (burst)")

    def changed(self, **changes: Unpack[LinkChanges]) -> "LinkSettings":
        """Return these settings with ``changes`` made. Raises WanError for an unknown name or impossible value."""
        unknown = sorted(set(changes) - set(LinkChanges.__annotations__))
        if unknown:
            known = ", ".join(LinkChanges.__annotations__)
            raise WanError(f"unknown link setting {', '.join(unknown)}; there are {known}")
        return dataclasses.replace(self, **changes)

    def _run_begins(self) -> float:
        """Return the chance that a run of losses begins at a packet that follows one that passed."""
        return self.loss_ratio / (self.burst * (1 - self.loss_ratio))


class Fate:
    """Decides, packet by packet, what becomes of the traffic in one direction."""

    def __init__(self, settings: LinkSettings, rng: random.Random) -> None:
        """Draw from ``rng``, so that the same seed and traffic give the same fate."""
        self.settings = settings
        self._random = rng.random
        self._in_run = False
        self._last_due_s = 0.0
        self._line_free_s = 0.0

    def is_lost(self) -> bool:
        """Draw whether the next packet is lost."""
        at = self.settings
        if at.loss_ratio == 0:
            return False
        if at.burst <= 1 or at.loss_ratio == 1:
            return self._random() < at.loss_ratio
        # Gilbert's two states: a run ends at each packet with chance 1/burst, so its mean length is burst.
        if self._in_run:
            self._in_run = self._random() >= 1 / at.burst
        else:
            self._in_run = self._random() < at._run_begins()  # noqa: SLF001 - same module
        return self._in_run

    def due_s(self, now_s: float, size_bytes: int) -> float | None:
        """Return when a packet that enters at ``now_s`` leaves; None when the queue of a slow line is full.

        Never before an earlier packet: jitter and live changes stretch, they do not reorder.
        """
        at = self.settings
        start_s = now_s
        if at.rate_mbit_s:
            start_s = max(now_s, self._line_free_s)
            if (start_s - now_s) * 1e3 > at.queue_ms:
                return None
            start_s += size_bytes * 8e-6 / at.rate_mbit_s
            self._line_free_s = start_s
        delay_ms = at.delay_ms
        if at.jitter_ms:
            delay_ms = max(0.0, delay_ms + at.jitter_ms * (2 * self._random() - 1))
        self._last_due_s = max(self._last_due_s, start_s + delay_ms / 1e3)
        return self._last_due_s
