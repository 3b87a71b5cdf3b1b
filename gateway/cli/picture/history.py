"""The history of a connection's decisions as a step chart: which route was in use from when to when."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from gateway.cli.picture.journey import Journey
from gateway.cli.picture.projection import Frame
from gateway.cli.picture.svg import FAINT, INK, PAPER, RULE, element, text, title
from gateway.client.decisions import Decision

ROW_PX, HEAD_PX, FOOT_PX = 24.0, 30.0, 30.0
ESCAPE = "#d64545"
_LABELS_PX = 210.0
_TICKS = 8
_SPAN_LEAST_S = 600.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEPS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * count for count in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * count for count in (1, 2, 3, 6, 12)),
    *(_DAY * count for count in (1, 2, 7, 30, 90, 365)),
)
_NONE = "none usable"


def height(journey: Journey) -> float:
    """Return how much room the chart needs, in pixels."""
    return HEAD_PX + ROW_PX * max(1, len(rows_of(journey.decisions))) + FOOT_PX


def rows_of(decisions: Sequence[Decision]) -> list[str]:
    """Return every route that ever won, in the order in which they first did."""
    return list(dict.fromkeys(each["winner"] or _NONE for each in decisions))


def drawn(journey: Journey, frame: Frame, colour: str) -> Iterator[str]:
    """Yield the chart's elements in ``frame``; decisions are oldest first."""
    yield text(f"{journey.title}: routes over time (UTC)", frame.left, frame.top + 14, font_size=13, font_weight="600")
    decisions = journey.decisions
    if not decisions:
        yield text("no decision yet", frame.left, frame.top + HEAD_PX + 14, fill=FAINT)
        return
    chart = Frame(
        left=frame.left + _LABELS_PX,
        top=frame.top + HEAD_PX,
        width=frame.width - _LABELS_PX - 10,
        height=ROW_PX * len(rows_of(decisions)),
    )
    times = [datetime.fromisoformat(each["decided_at"]).timestamp() for each in decisions]
    # A little beyond the last decision, which is in force until the next.
    span_s = max(times[-1] - times[0], _SPAN_LEAST_S) * 1.04
    xs = [chart.left + (at - times[0]) / span_s * chart.width for at in times]
    yield from _grid(chart, times[0], span_s, decisions)
    yield from _steps(chart, xs, decisions, colour)


def _grid(chart: Frame, start_s: float, span_s: float, decisions: Sequence[Decision]) -> Iterator[str]:
    for number, route in enumerate(rows_of(decisions)):
        y = chart.top + ROW_PX * (number + 0.5)
        yield element("line", x1=chart.left, y1=y, x2=chart.right, y2=y, stroke=RULE)
        words = route if len(route) <= 32 else f"{route[:30]}…"  # noqa: PLR2004 - as wide as the column
        yield text(words, chart.left - 10, y + 4, text_anchor="end", font_size=11)
    before = ""
    for at_s, words in ticks(start_s, span_s):
        x = chart.left + (at_s - start_s) / span_s * chart.width
        yield element("line", x1=x, y1=chart.top, x2=x, y2=chart.bottom + 4, stroke=RULE)
        day = f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
        yield text(words, x, chart.bottom + 15, text_anchor="middle", font_size=9, fill=FAINT)
        if day not in (before, words):
            yield text(day, x, chart.bottom + 26, text_anchor="middle", font_size=9, fill=FAINT)
        before = day


def ticks(start_s: float, span_s: float) -> Iterator[tuple[float, str]]:
    """Yield round moments in the span, at most eight, each with its name as short as it may be."""
    step_s = next((step for step in _STEPS_S if span_s / step <= _TICKS), _STEPS_S[-1])
    form = "%H:%M:%S" if step_s < _MINUTE else "%H:%M" if step_s < _DAY else "%Y-%m-%d"
    at_s = -(-start_s // step_s) * step_s
    while at_s <= start_s + span_s:
        yield at_s, f"{datetime.fromtimestamp(at_s, UTC):{form}}"
        at_s += step_s


def _steps(chart: Frame, xs: Sequence[float], decisions: Sequence[Decision], colour: str) -> Iterator[str]:
    rows = {route: chart.top + ROW_PX * (number + 0.5) for number, route in enumerate(rows_of(decisions))}
    ys = [rows[each["winner"] or _NONE] for each in decisions]
    line = f"M{xs[0]:.1f} {ys[0]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in zip(xs[1:], ys[1:], strict=True))
    yield element("path", d=f"{line}H{chart.right:.1f}", fill="none", stroke=colour, stroke_width=2.5)
    before: str | None = None
    for x, y, decision in zip(xs, ys, decisions, strict=True):
        winner = decision["winner"] or _NONE
        if winner == before:
            yield element("line", title(_told(decision)), x1=x, y1=y - 4, x2=x, y2=y + 4, stroke=colour)
        else:
            fill = ESCAPE if decision["reason"].startswith("escaped") else PAPER if before is None else colour
            yield element("circle", title(_told(decision)), cx=x, cy=y, r=4.5, fill=fill, stroke=INK, stroke_width=1.2)
        before = winner


def _told(decision: Decision) -> str:
    cost = "" if decision["cost_ms"] is None else f", {decision['cost_ms']:.1f} ms"
    return f"{decision['decided_at']}: {decision['winner'] or _NONE}{cost} {decision['reason']}".rstrip()
