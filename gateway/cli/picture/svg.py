"""Elements of an SVG document as text. Whatever a gateway sent is escaped here and nowhere else."""

import html

from gateway.cli.output import printable

FONT = "Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
INK, FAINT, RULE, PAPER = "#1f2933", "#66727f", "#e4e7eb", "#ffffff"


def element(name: str, *children: str, **attributes: str | float) -> str:
    """Return one element; ``stroke_width=1`` is the attribute ``stroke-width``. ``children`` are elements already."""
    told = "".join(f' {key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{told}>{''.join(children)}</{name}>" if children else f"<{name}{told}/>"


def text(words: str, x: float, y: float, **attributes: str | float) -> str:
    """Return ``words`` at a place, in 12 px ink unless told otherwise."""
    return element("text", escaped(words), x=x, y=y, **{"font_size": 12.0, "fill": INK, **attributes})


def halo(words: str, x: float, y: float, **attributes: str | float) -> str:
    """Return ``words`` with paper around every letter, readable over lines."""
    around: dict[str, str | float] = {"stroke": PAPER, "stroke_width": 4, "stroke_linejoin": "round"}
    return text(words, x, y, **around, paint_order="stroke", **attributes)


def title(words: str) -> str:
    """Return the child by which an element says what it is when it is pointed at."""
    return element("title", escaped(words))


def escaped(words: str) -> str:
    """Return ``words`` fit for the document: no markup, and no character that XML or an eye could stumble over."""
    return html.escape(printable(words))


def fixed(value: float) -> str:
    """Return ``value`` in pixels, to a tenth, in the shortest form; there is no minus zero."""
    short = f"{value:.1f}".removesuffix(".0")
    return "0" if short == "-0" else short


def _value(value: str | float) -> str:
    return escaped(value) if isinstance(value, str) else fixed(value)
