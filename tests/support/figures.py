"""How benchmarks print: one figure a line, as JSON or for people, each held against its bar."""

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Bar = tuple[Literal["<=", ">=", "=="], float]

# An interval, or a measurement on a machine this noisy, can lie across its bar: then nothing is decided.
UNDECIDED = "undecided"
_LEAST_SAMPLES = 5
_MOST_LIKELY = 0.05  # that the median lies outside of its interval, on either side


@dataclass(frozen=True, slots=True)
class Figures:
    """Prints figures as they come; ``as_json`` prints one JSON object a line."""

    as_json: bool

    @classmethod
    def from_arguments(cls, parser: argparse.ArgumentParser) -> "tuple[Figures, argparse.Namespace]":
        """Return the printer that the command line asks for, and its arguments; ``--json`` is added here."""
        parser.add_argument("--json", action="store_true", help="one JSON object a line")
        arguments = parser.parse_args()
        return cls(as_json=arguments.json), arguments

    def tell(
        self, name: str, value: float | None, unit: str, bar: Bar | None = None, *, note: str = "", decided: bool = True
    ) -> None:
        """Print one figure. ``ok`` is null without a bar, without a value, or when it is not ``decided``."""
        ok = met(value, bar) if decided and value is not None and bar is not None else None
        shown = None if value is None else float(f"{value:.6g}")
        wanted = None if bar is None else f"{bar[0]} {bar[1]:g}"
        if self.as_json:
            facts = {"name": name, "value": shown, "unit": unit, "bar": wanted, "ok": ok}
            print(json.dumps(facts | ({"note": note} if note else {})), flush=True)
            return
        verdict = {True: "ok", False: "MISSED", None: "" if bar is None else UNDECIDED}[ok]
        print(
            f"{name:52} {'-' if shown is None else shown:>12} {unit:12} {wanted or '':12} {verdict} {note}", flush=True
        )

    def tell_median(self, name: str, samples: Sequence[float], unit: str, bar: Bar | None = None) -> None:
        """Print the median of ``samples`` and its 90 % interval; decided only when all of that is on one side.

        Fewer than five samples decide nothing.
        """
        low, high = median_interval(samples)
        decided = len(samples) >= _LEAST_SAMPLES and (bar is None or met(low, bar) == met(high, bar))
        note = f"{low:.3g} to {high:.3g}, {len(samples)} rounds"
        self.tell(name, statistics.median(samples), unit, bar, note=note, decided=decided)


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Return the interval between two of ``samples`` that holds the median they were drawn from at 90 % or more.

    As many samples are left out below as above: the most for which that many heads or fewer of ``len(samples)`` coins
    are at most 5 % likely. With fewer than five even all of them hold it at less; the interval is all of them then.
    """
    ordered = sorted(samples)
    out, likely = 0, 0.5 ** len(ordered)
    while likely + math.comb(len(ordered), out + 1) * 0.5 ** len(ordered) <= _MOST_LIKELY:
        out += 1
        likely += math.comb(len(ordered), out) * 0.5 ** len(ordered)
    return ordered[out], ordered[-1 - out]


def met(value: float, bar: Bar) -> bool:
    """Tell whether ``value`` is on the right side of ``bar``."""
    relation, limit = bar
    return {"<=": value <= limit, ">=": value >= limit, "==": value == limit}[relation]
