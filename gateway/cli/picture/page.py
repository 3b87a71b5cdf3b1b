"""The whole picture: a title, the map, the legend, and the history of every connection drawn."""

from collections.abc import Iterator, Sequence

from gateway.cli.picture import atlas, history, legend
from gateway.cli.picture.journey import Journey, colour_of
from gateway.cli.picture.projection import Frame
from gateway.cli.picture.svg import FAINT, FONT, PAPER, element, text, title
from gateway.client.network_status import KnownNetwork

_WIDTH_PX, _MARGIN_PX, _HEAD_PX = 1120.0, 32.0, 72.0


def picture(told: KnownNetwork, journeys: Sequence[Journey]) -> str:
    """Return the picture as one SVG document that needs nothing else; equal input gives equal text."""
    inside = _WIDTH_PX - 2 * _MARGIN_PX
    places = atlas.survey(told, left=_MARGIN_PX, top=_HEAD_PX, width=inside)
    below = Frame(left=_MARGIN_PX, top=places.bottom + 10, width=inside, height=legend.height(journeys))
    parts = [*_head(told), *atlas.drawn(places, told, journeys), *legend.drawn(below, journeys)]
    top = below.bottom + 10
    for number, journey in enumerate(journeys):
        panel = Frame(left=_MARGIN_PX, top=top, width=inside, height=history.height(journey))
        parts += history.drawn(journey, panel, colour_of(number))
        top = panel.bottom + 12
    bottom = top + 8
    ground = element("rect", width=_WIDTH_PX, height=bottom, fill=PAPER)
    document = element(
        "svg",
        title("Crossway: the network and its routes"),
        ground,
        "\n",
        "\n".join(parts),
        "\n",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH_PX:g} {bottom:g}",
        width=_WIDTH_PX,
        height=bottom,
        font_family=FONT,
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'


def _head(told: KnownNetwork) -> Iterator[str]:
    dead = told["links_dead"]
    known = told["links_alive"] + dead
    yield text("The network and its routes", _MARGIN_PX, 34, font_size=20, font_weight="600")
    counts = f"{len(told['sites'])} sites, {len(told['relays'])} relays, {known} links measured, {dead} of them dead"
    changes = sum(told["changes"].values())
    more = f"{told['probes']['packets']} probe packets, {changes} route change{'' if changes == 1 else 's'}"
    yield text(f"{counts}; {more}", _MARGIN_PX, 55, font_size=12, fill=FAINT)
