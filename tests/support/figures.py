"""How benchmarks print: one figure a line, as JSON or for people, each held against its bar."""

import argparse
import json
from dataclasses import dataclass
from typing import Literal

Bar = tuple[Literal["<=", ">=", "=="], float]

# An interval, or a measurement on a machine this noisy, can lie across its bar: then nothing is decided.
UNDECIDED = "undecided"


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


def met(value: float, bar: Bar) -> bool:
    """Tell whether ``value`` is on the right side of ``bar``."""
    relation, limit = bar
    return {"<=": value <= limit, ">=": value >= limit, "==": value == limit}[relation]
