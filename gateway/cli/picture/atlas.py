"""The map: sites by coordinates (those without in a row below), links coloured by round trip, routes bold."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

from gateway.cli.picture.journey import GATEWAY, Journey, colour_of
from gateway.cli.picture.labels import DETAIL_PX, MARK_PX, NAME_PX, Label, Point, leader, placed
from gateway.cli.picture.projection import Frame, Projection, fit, frame_for
from gateway.cli.picture.svg import FAINT, INK, PAPER, RULE, element, fixed, halo, text, title
from gateway.client.network_status import KnownNetwork, LinkStatus

DEAD, UNKNOWN = "#9aa5b1", "#d5dae0"
# Below so many milliseconds: this colour. From cold to warm, and darker than paper at both ends.
SCALE = ((25.0, "#2166ac"), (50.0, "#4aa5c8"), (100.0, "#5cb85c"), (200.0, "#f0a830"), (float("inf"), "#d64545"))
STRIP_PX = 84.0
_DETAILS = 3  # names under a site, before they are only counted
_MERIDIAN_PX, _PARALLEL_PX = 40.0, 12.0  # what the name of a line of the graticule needs
# How far a line bows aside, as a share of its length: each direction to its own right, so that both can be seen.
_BOW, _BOW_DEAD, _BOW_ROUTE, _BOW_STANDBY = 0.07, 0.11, 0.03, 0.15
_LONG_PX = 400.0  # longer lines bow no farther than these: they would leave the map
_TRACES = 24
_NAMED = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """Where everything stands: ``points`` by the name of a site, ``site_of`` by the name of a node."""

    frame: Frame
    strip: Frame | None
    projection: Projection | None
    points: Mapping[str, Point]
    site_of: Mapping[str, str]

    @property
    def bottom(self) -> float:
        """Return where the next thing may begin."""
        return self.frame.bottom if self.strip is None else self.strip.bottom


def survey(told: KnownNetwork, *, left: float, top: float, width: float) -> Atlas:
    """Return where the sites of ``told`` stand, on a map of ``width`` and in a strip below it."""
    known = {
        site["name"]: (site["latitude"], site["longitude"])
        for site in told["sites"]
        if site["latitude"] is not None and site["longitude"] is not None
    }
    lost = [site["name"] for site in told["sites"] if site["name"] not in known]
    frame = frame_for(list(known.values()), left=left, top=top, width=width)
    projection = fit(list(known.values()), frame) if known else None
    points = {name: projection.at(place) for name, place in known.items()} if projection else {}
    strip = Frame(left=frame.left, top=frame.bottom + 8, width=frame.width, height=STRIP_PX) if lost else None
    if strip is not None:
        step = strip.width / len(lost)
        points |= {name: (strip.left + step * (at + 0.5), strip.top + 32) for at, name in enumerate(lost)}
    nodes = {GATEWAY: told["gateway_site"]}
    nodes |= {relay["name"]: relay["site"] for relay in told["relays"]}
    nodes |= {f"platform/{platform['name']}": platform["site"] for platform in told["platforms"]}
    return Atlas(frame=frame, strip=strip, projection=projection, points=points, site_of=nodes)


def drawn(atlas: Atlas, told: KnownNetwork, journeys: Sequence[Journey]) -> Iterator[str]:
    """Yield the map's elements, the lowest first."""
    yield from _ground(atlas)
    yield from _links(atlas, told["links"])
    legs = [leg for number, journey in enumerate(journeys) for leg in _legs(atlas, journey, number)]
    for leg in legs:
        yield leg.drawn()
    lines = [each for leg in legs for each in leg.trace()]
    routes = [(each, route) for each in journeys for route in (each.route, each.standby)]
    passed = {atlas.site_of.get(node, "") for journey, route in routes for node in journey.nodes(route)}
    yield from _sites(atlas, told, lines, passed)


def colour(link: LinkStatus) -> str:
    """Return the colour of a link: by its round trip, grey when it is dead or was never measured."""
    if link["dead"]:
        return DEAD
    rtt_ms = link["rtt_ms"]
    return UNKNOWN if rtt_ms is None else next(shade for limit_ms, shade in SCALE if rtt_ms < limit_ms)


def _ground(atlas: Atlas) -> Iterator[str]:
    frame = atlas.frame
    box = {"x": frame.left, "y": frame.top, "width": frame.width, "height": frame.height}
    yield element("rect", **box, fill="#f8fafc", stroke=RULE)
    if atlas.projection is not None:
        for x, name in atlas.projection.meridians():
            yield element("line", x1=x, y1=frame.top, x2=x, y2=frame.bottom, stroke=RULE)
            if x < frame.right - _MERIDIAN_PX:
                yield text(name, x + 3, frame.bottom - 4, font_size=9, fill=FAINT)
        for y, name in atlas.projection.parallels():
            yield element("line", x1=frame.left, y1=y, x2=frame.right, y2=y, stroke=RULE)
            if y > frame.top + _PARALLEL_PX:
                yield text(name, frame.left + 4, y - 3, font_size=9, fill=FAINT)
    if atlas.strip is not None:
        strip = atlas.strip
        box = {"x": strip.left, "y": strip.top, "width": strip.width, "height": strip.height}
        yield element("rect", **box, fill=PAPER, stroke=RULE)
        yield text("sites without coordinates", strip.left + 6, strip.top + 13, font_size=10, fill=FAINT)


def _links(atlas: Atlas, links: Sequence[LinkStatus]) -> Iterator[str]:
    """Yield a line per pair of sites and direction: of the living the fastest, and one more where some are dead."""
    best: dict[tuple[str, str, bool], LinkStatus] = {}
    for link in links:
        source, target = atlas.site_of.get(link["source"]), atlas.site_of.get(link["target"])
        if source in atlas.points and target in atlas.points and source != target:
            assert source is not None
            assert target is not None
            key = (source, target, link["dead"])
            best[key] = min(best.get(key, link), link, key=_rtt_ms)
    # The slow ones first, so that the fast ones lie above them; the dead last, for they must not be missed.
    for (source, target, dead), link in sorted(best.items(), key=lambda each: (each[0][2], -_rtt_ms(each[1]), each[0])):
        line = Curve.between(atlas.points[source], atlas.points[target], _BOW_DEAD if dead else _BOW).path()
        more: dict[str, str | float] = {"stroke_dasharray": "5 4"} if dead else {}
        yield element(
            "path",
            title(_told(link)),
            d=line,
            fill="none",
            stroke=colour(link),
            stroke_width=1.3,
            opacity="0.7",
            **more,
        )


def _rtt_ms(link: LinkStatus) -> float:
    return float("inf") if link["rtt_ms"] is None else link["rtt_ms"]


def _told(link: LinkStatus) -> str:
    if link["dead"]:
        said = f"dead {link['note']}".rstrip()
    elif link["rtt_ms"] is None:
        said = "not measured"
    else:
        said = f"{link['rtt_ms']:.1f} ms, loss {100 * (link['loss_ratio'] or 0):.2f} %"
    return f"{link['source']} to {link['target']}: {said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One way of one journey, bold: solid for the route in use, dotted for the standby."""

    words: str
    colour: str
    dotted: bool
    curves: tuple["Curve", ...]

    def drawn(self) -> str:
        """Return its line."""
        # Dots, not dashes: a dash says that a link is dead.
        more: dict[str, str | float] = {"stroke_dasharray": "0.1 7"} if self.dotted else {}
        style: dict[str, str | float] = {"stroke": self.colour, "stroke_width": 3.6, "stroke_linecap": "round"}
        line = " ".join(each.path() for each in self.curves)
        return element("path", title(self.words), d=line, fill="none", **style, **more)

    def trace(self) -> Iterator[Frame]:
        """Yield small places along the line, which no label should cover."""
        for each in self.curves:
            for part in range(1, _TRACES):
                x, y = each.at(part / _TRACES)
                yield Frame(left=x - 3, top=y - 3, width=6, height=6)


def _legs(atlas: Atlas, journey: Journey, number: int) -> Iterator[Leg]:
    for word, route, bow in (("standby", journey.standby, _BOW_STANDBY), ("route", journey.route, _BOW_ROUTE)):
        sites = [atlas.site_of.get(node, "") for node in journey.nodes(route)]
        points = [atlas.points[site] for site in sites if site in atlas.points]
        # Each journey bows a little more, so that several on one link stay apart.
        curves = tuple(Curve.between(a, b, bow + 0.03 * number) for a, b in pairwise(points) if a != b)
        if curves:
            words = f"{journey.title}: {word} {route}"
            yield Leg(words=words, colour=colour_of(number), dotted=word == "standby", curves=curves)


def _sites(atlas: Atlas, told: KnownNetwork, lines: Sequence[Frame], passed: AbstractSet[str]) -> Iterator[str]:
    details = _details(told)
    platforms = {platform["site"] for platform in told["platforms"]}
    relays = {relay["site"] for relay in told["relays"] if relay["enabled"]}
    for name, (x, y) in atlas.points.items():
        yield site_mark(x, y, gateway=name == told["gateway_site"], platform=name in platforms, relay=name in relays)
    # Of very many sites only those are named that somebody looks for.
    named = set(atlas.points) if len(atlas.points) <= _NAMED else {*platforms, told["gateway_site"], *passed}
    for area in filter(None, (atlas.frame, atlas.strip)):
        labels = [
            Label(x=x, y=y, name=_cut(name), details=tuple(map(_cut, details.get(name, ()))))
            for name, (x, y) in atlas.points.items()
            if name in named and area.top <= y <= area.bottom
        ]
        for label, at in zip(labels, placed(labels, area, lines), strict=True):
            if (end := leader(label, at, labels)) is not None:
                yield element("line", x1=label.x, y1=label.y, x2=end[0], y2=end[1], stroke=INK, stroke_width=0.8)
            yield halo(label.name, at.left, at.top + NAME_PX - 2, font_size=NAME_PX, font_weight="600")
            for line, words in enumerate(label.details, 1):
                y = at.top + NAME_PX - 2 + line * (DETAIL_PX + 1)
                yield halo(words, at.left, y, font_size=DETAIL_PX, fill=FAINT)


def site_mark(x: float, y: float, *, gateway: bool = False, platform: bool = False, relay: bool = False) -> str:
    """Return the mark of a site: a diamond, square or disc for who is there, the rarest first; else a ring."""
    size = MARK_PX - 1
    if gateway:
        corners = f"M{x:.1f} {y - size - 2:.1f}l7 7l-7 7l-7 -7z"
        return element("path", d=corners, fill=INK, stroke=PAPER, stroke_width=1.5)
    if platform:
        box = {"x": x - size, "y": y - size, "width": 2 * size, "height": 2 * size}
        return element("rect", **box, fill=INK, stroke=PAPER, stroke_width=1.5)
    fill, edge = (INK, PAPER) if relay else (PAPER, INK)
    return element("circle", cx=x, cy=y, r=size, fill=fill, stroke=edge, stroke_width=1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line from ``start`` to ``end`` drawn aside towards ``over`` (a quadratic Bézier curve)."""

    start: Point
    over: Point
    end: Point

    @classmethod
    def between(cls, start: Point, end: Point, bow: float) -> "Curve":
        """Return the line that bows to its right by about ``bow`` of its length, and long ones by less."""
        (x1, y1), (x2, y2) = start, end
        # The point that draws it aside is twice as far away as the line gets.
        reach = 2 * bow * min(1.0, _LONG_PX / max(1.0, hypot(x2 - x1, y2 - y1)))
        over = ((x1 + x2) / 2 - (y2 - y1) * reach, (y1 + y2) / 2 + (x2 - x1) * reach)
        return cls(start=start, over=over, end=end)

    def path(self) -> str:
        """Return the line as a path of SVG."""
        return "M{} {}Q{} {} {} {}".format(*map(fixed, (*self.start, *self.over, *self.end)))

    def at(self, part: float) -> Point:
        """Return the point after ``part`` (0 to 1) of the line."""
        x, y = (
            (1 - part) ** 2 * a + 2 * part * (1 - part) * b + part**2 * c
            for a, b, c in zip(self.start, self.over, self.end, strict=True)
        )
        return x, y


def _details(told: KnownNetwork) -> dict[str, list[str]]:
    """Return what stands at each site, by its name: the gateway, platforms, relays."""
    found: dict[str, list[str]] = {told["gateway_site"]: ["gateway"]}
    for platform in told["platforms"]:
        found.setdefault(platform["site"], []).append(platform["name"])
    for relay in told["relays"]:
        found.setdefault(relay["site"], []).append(relay["name"] + ("" if relay["enabled"] else " (disabled)"))
    return {
        site: names if len(names) <= _DETAILS else [*names[: _DETAILS - 1], f"and {len(names) - _DETAILS + 1} more"]
        for site, names in found.items()
    }


def _cut(words: str) -> str:
    return words if len(words) <= 24 else f"{words[:22]}…"  # noqa: PLR2004 - as wide as a label may be
