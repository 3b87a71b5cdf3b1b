"""What colours, lines and marks mean, and which line is whose route."""

from collections.abc import Iterator, Sequence

from gateway.cli.picture.atlas import DEAD, SCALE, UNKNOWN, site_mark
from gateway.cli.picture.history import ESCAPE
from gateway.cli.picture.journey import Journey, colour_of
from gateway.cli.picture.projection import Frame
from gateway.cli.picture.svg import FAINT, INK, PAPER, element, text

_LINE_PX = 20.0
_SWATCH_PX = 26.0
_Style = dict[str, str | float]


def height(journeys: Sequence[Journey]) -> float:
    """Return how much room the legend needs, in pixels."""
    return _LINE_PX * (3 + len(journeys)) + 6


def drawn(frame: Frame, journeys: Sequence[Journey]) -> Iterator[str]:
    """Yield the legend's elements, from the top of ``frame``."""
    y = frame.top + 12
    yield from _row(frame.left, y, "round trip", [({"stroke": shade}, words) for shade, words in _scale()])
    lines: list[tuple[_Style, str]] = [
        ({"stroke": DEAD, "stroke_dasharray": "5 4"}, "dead link"),
        ({"stroke": UNKNOWN}, "not measured"),
        ({"stroke": INK, "stroke_width": 3.6}, "route in use"),
        ({"stroke": INK, "stroke_width": 3.6, "stroke_dasharray": "0.1 7", "stroke_linecap": "round"}, "standby"),
    ]
    yield from _row(frame.left, y + _LINE_PX, "lines", lines)
    yield from _marks(frame.left, y + 2 * _LINE_PX)
    for number, journey in enumerate(journeys):
        yield from _row(
            frame.left,
            y + (3 + number) * _LINE_PX,
            "",
            [({"stroke": colour_of(number), "stroke_width": 3.6}, _told(journey))],
        )


def _scale() -> Iterator[tuple[str, str]]:
    before_ms = 0.0
    for limit_ms, shade in SCALE:
        last = limit_ms == SCALE[-1][0]
        words = (
            f"{before_ms:g} ms and more"
            if last
            else f"below {limit_ms:g} ms"
            if not before_ms
            else f"{before_ms:g} to {limit_ms:g} ms"
        )
        yield shade, words
        before_ms = limit_ms


def _row(left: float, y: float, name: str, items: Sequence[tuple[_Style, str]]) -> Iterator[str]:
    yield text(name, left, y + 4, font_size=11, fill=FAINT)
    x = left + (84 if name else 0)
    for style, words in items:
        yield element("line", x1=x, y1=y, x2=x + _SWATCH_PX, y2=y, **{"stroke_width": 2.4, **style})
        yield text(words, x + _SWATCH_PX + 7, y + 4, font_size=11)
        x += _SWATCH_PX + 27 + len(words) * 6.2


def _marks(left: float, y: float) -> Iterator[str]:
    yield text("marks", left, y + 4, font_size=11, fill=FAINT)
    x = left + 96
    sites = {"gateway": {"gateway": True}, "platform": {"platform": True}, "relay": {"relay": True}, "other site": {}}
    for words, kind in sites.items():
        yield site_mark(x, y, **kind)
        yield text(words, x + 13, y + 4, font_size=11)
        x += 40 + len(words) * 6.2
    for words, fill in (("first route", PAPER), ("moved", INK), ("escaped", ESCAPE)):
        yield element("circle", cx=x, cy=y, r=4.5, fill=fill, stroke=INK, stroke_width=1.2)
        yield text(words, x + 13, y + 4, font_size=11)
        x += 40 + len(words) * 6.2


def _told(journey: Journey) -> str:
    if not journey.route:
        return f"{journey.title}: no route in use"
    why = f", because {journey.no_standby}" if journey.no_standby else ""
    return f"{journey.title}: {journey.route}; standby {journey.standby or f'none{why}'}"
