"""An order's steps for people: what each means, when it passed, and a view of them while they pass."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Protocol

from gateway.cli.output import Column, note, printable
from gateway.client.resources import Step

_WORDS: Final = {
    "order.placed": "accepted",
    "order.asked": "somebody has to approve it",
    "order.approved": "approved",
    "order.denied": "not approved",
    "order.expired": "not approved in time",
    "order.claimed": "an idle machine is taken for it",
    "order.dispatched": "a machine is ordered for it",
    "order.retried": "another attempt",
    "order.moved": "on to the next candidate",
    "order.cancelled": "cancelled",
    "provision.create.begin": "its cloud is asked for the machine",
    "provision.created": "its cloud starts the machine",
    "provision.running": "the machine runs",
}
_SETTLED: Final = "order.settled"
# The way of an order that no pool serves; a bar is full at its end.
_WAY: Final = (
    "order.placed",
    "order.dispatched",
    "provision.create.begin",
    "provision.created",
    "provision.running",
    _SETTLED,
)


class View(Protocol):
    """Where steps are shown while they pass."""

    def passed(self, step: Step, after_s: float) -> None:
        """Show a step that passed so long after the first one."""
        ...


def in_words(step: Step) -> str:
    """Return what the step means."""
    if step["step"] == _SETTLED:
        return "the machine is yours" if step["outcome"] == "done" else "failed"
    if step["step"] == "order.moved" and step["outcome"] == "failed":
        return "a candidate does not take it"
    return _WORDS.get(step["step"], step["step"])


def history(steps: Sequence[Step]) -> list[dict[str, object]]:
    """Return the steps as they are listed: with what each means, and how long after the first it passed."""
    return [{**step, "after_s": _after_s(steps[0], step), "meaning": in_words(step)} for step in steps]


COLUMNS: Final = (
    Column("AT", "at"),
    Column("AFTER S", lambda each: f"{each['after_s']:.1f}"),
    Column("WHAT", "meaning"),
    Column("STEP", "step"),
    Column("OUTCOME", "outcome"),
    Column("DETAIL", "detail"),
)


class Watched:
    """The steps of one order as they come: each is shown once."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._shown = 0

    def tell(self, steps: Sequence[Step]) -> None:
        """Show what is new among ``steps``, which are all of them."""
        for step in steps[self._shown :]:
            self._view.passed(step, _after_s(steps[0], step))
        self._shown = max(self._shown, len(steps))


class _Lines:
    """A line a step."""

    def passed(self, step: Step, after_s: float) -> None:
        """Write it to stderr."""
        note(_line(step, after_s))


@contextmanager
def view() -> Iterator[View]:
    """Give a view on stderr: lines, and under them a bar if that is a terminal; the bar is gone afterwards."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Lines()
        return
    from rich.console import Console  # noqa: PLC0415 - 0.2 s that only a terminal is worth
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("order", total=len(_WAY))

        class _Bar:
            def passed(self, step: Step, after_s: float) -> None:
                console.print(Text(printable(_line(step, after_s))))
                if step["step"] in _WAY and step["outcome"] == "done":
                    progress.update(bar, completed=_WAY.index(step["step"]) + 1)

        yield _Bar()


def _line(step: Step, after_s: float) -> str:
    detail = f" ({step['detail']})" if step["detail"] else ""
    return f"{step['at']}  +{after_s:.1f} s  {in_words(step)}{detail}"


def _after_s(first: Step, step: Step) -> float:
    return (datetime.fromisoformat(step["at"]) - datetime.fromisoformat(first["at"])).total_seconds()
