"""Faults that the demo's clouds commit on request, one vocabulary for both. Pure.

A rule is a JSON object::

    {"match": "POST /v1/machines", "kind": "lost-reply", "times": 1, "delay_s": 0}

``match`` is a shell-style pattern for what is called: ``METHOD /path`` at the simulated cloud, the Action at EC2;
``times`` counts down, and without it the rule stays. With ``every`` only each so-many-th call that fits is struck.
"""

import fnmatch
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What goes wrong. All but LATENCY, LOST_REPLY and NOT_DRY happen instead of the call."""

    LATENCY = "latency"  # the call is carried out delay_s later
    UNAVAILABLE = "unavailable"  # 503, nothing was done
    DENIED = "denied"  # 403: the account has not the right to it
    LOST_REPLY = "lost-reply"  # the call is carried out, and the answer is a 503
    NOT_DRY = "not-dry"  # the call is carried out though it asked for a dry run, which EC2 alone knows
    TOO_OFTEN = "too-often"  # 400 with the code by which Route 53 and ELB say "later"; nothing was done
    DROP = "drop"  # the connection is cut without an answer
    HANG = "hang"  # no answer for delay_s, or for an hour
    GARBAGE = "garbage"  # 200 with bytes that mean nothing
    DRIP = "drip"  # a body that comes a byte at a time and never ends
    HUGE = "huge"  # 64 MiB of body
    REDIRECT = "redirect"  # 302 to ``to``
    ECHO = "echo"  # 400 whose body repeats the request's headers, credentials included


@dataclass(slots=True, kw_only=True)
class FaultRule:
    """One rule; ``left`` is how often it still applies, None for ever; ``seen`` counts the calls that fit it."""

    match: str
    kind: FaultKind
    left: int | None = None
    every: int = 1
    delay_s: float = 0.0
    to: str = "http://169.254.169.254/latest/meta-data/"
    seen: int = 0
    hits: int = 0

    def strikes(self, called: str) -> bool:
        """Return whether it applies to this call, which is counted if it fits."""
        if self.left == 0 or not fnmatch.fnmatchcase(called, self.match):
            return False
        self.seen += 1
        return self.seen % self.every == 0


class Faults:
    """The rules in force. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []

    def replace(self, rules: Any) -> None:
        """Put ``rules`` (parsed JSON, a list of objects) in force instead of the present ones.

        Raises KeyError, TypeError or ValueError for what is no rule.
        """
        parsed = [_rule(rule) for rule in rules]
        with self._lock:
            self._rules = parsed

    def take(self, called: str) -> FaultRule | None:
        """Return the first rule that applies to ``called``, counted as used, or None."""
        with self._lock:
            for rule in self._rules:
                if rule.strikes(called):
                    rule.hits += 1
                    rule.left = None if rule.left is None else rule.left - 1
                    return rule
        return None

    def report(self) -> list[dict[str, object]]:
        """Return the rules with their hits, for a test to read."""
        with self._lock:
            return [{"match": rule.match, "kind": str(rule.kind), "hits": rule.hits} for rule in self._rules]


def _rule(raw: Mapping[str, Any]) -> FaultRule:
    rule = FaultRule(match=raw["match"], kind=FaultKind(raw["kind"]), left=raw.get("times"))
    rule.every = int(raw.get("every", rule.every))
    if rule.every < 1:
        raise ValueError("every counts from 1")
    rule.delay_s = float(raw.get("delay_s", rule.delay_s))
    rule.to = str(raw.get("to", rule.to))
    return rule
