"""Orders lost and doubled in the worst moments: ``python -m tests.bench.orders_chaos [--mutant NAME] [--json]``.

One JSON object a line: name, value, unit, bar, ok. Scripted schedules: the applications die between two steps, the
cloud answers 503 after it created, a message comes again while a worker looks up or creates. Nothing mends later: no
sweep runs, and orders of which nothing is heard are not asked for again. With ``--mutant`` the applications lack one
of the parts that keep the promise, the bars are missed, and the exit code is 1. All figures are counted from the
ledger of the cloud's own process.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench.chaos.judged import Judged
from tests.bench.chaos.mutants import MUTANTS
from tests.bench.chaos.parts import Parts
from tests.bench.chaos.schedules import SCHEDULES, played
from tests.support.clouds import simulated_cloud
from tests.support.figures import Figures

NONE = ("==", 0.0)


def main() -> int:
    """Measure and print; return 1 for a mutant, which has to miss a bar, when it did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutant", choices=MUTANTS, help="play the schedules with applications that lack this")
    figures, arguments = Figures.from_arguments(parser)
    if arguments.mutant:
        return _told(figures, f"{arguments.mutant}_", MUTANTS[arguments.mutant])
    _told(figures, "scripted_", Parts())
    caught = sum(any(map(_is_bad, _scripted(parts))) for parts in MUTANTS.values())
    figures.tell("mutants_that_fail", caught, "mutants", ("==", len(MUTANTS)))
    return 0


def _told(figures: Figures, prefix: str, parts: Parts) -> int:
    found = _scripted(parts)
    figures.tell(f"{prefix}orders_lost", sum(len(each.lost) for each in found), "orders", NONE)
    figures.tell(f"{prefix}orders_doubled", sum(len(each.doubled) for each in found), "orders", NONE)
    figures.tell(f"{prefix}machines_without_order", sum(each.ownerless for each in found), "machines", NONE)
    return int(any(map(_is_bad, found)))


def _scripted(parts: Parts) -> list[Judged]:
    """Return what became of every schedule."""
    found = []
    for schedule in SCHEDULES:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, simulated_cloud(Path(folder)) as cloud:
            found.append(played(Path(folder), cloud, parts, schedule))
    return found


def _is_bad(found: Judged) -> bool:
    return bool(found.lost or found.doubled or found.ownerless)


if __name__ == "__main__":
    sys.exit(main())
