"""Where a place on the globe stands on the picture: a plain equirectangular projection, fitted to the places shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

Place = tuple[float, float]  # latitude, longitude, in degrees

_STEPS = (1, 2, 5, 10, 15, 20, 30, 45, 60)
_LINES = 9  # at most so many meridians
_SPAN_LEAST = 12.0  # degrees; a single city would otherwise fill the picture
_HEIGHTS = (300.0, 620.0)  # pixels: the least and the greatest height of a map
_AIR = 0.12  # of the span, on either side: labels need room


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A rectangle of the picture, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Return the right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Return the lower edge."""
        return self.top + self.height

    def covers(self, other: "Frame") -> float:
        """Return how many square pixels of ``other`` lie on this one."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """``west`` and ``north`` are the degrees at the frame's upper left corner; ``west`` may be anything beyond ±180."""

    frame: Frame
    west: float
    north: float
    pixels_per_degree: float

    def at(self, place: Place) -> tuple[float, float]:
        """Return x and y of ``place``; a longitude is taken in the turn that lies to the east of ``west``."""
        latitude, longitude = place
        x = self.frame.left + (longitude - self.west) % 360 * self.pixels_per_degree
        return x, self.frame.top + (self.north - latitude) * self.pixels_per_degree

    def meridians(self) -> Iterator[tuple[float, str]]:
        """Yield x and name of every meridian of the graticule."""
        step = self._step()
        for number in range(ceil(self.west / step), ceil((self.west + self._span()) / step)):
            degrees = (number * step + 180) % 360 - 180
            yield self.frame.left + (number * step - self.west) * self.pixels_per_degree, _named(degrees, "EW")

    def parallels(self) -> Iterator[tuple[float, str]]:
        """Yield y and name of every parallel of the graticule."""
        step = self._step()
        south = self.north - self.frame.height / self.pixels_per_degree
        for degrees in range(ceil(max(south, -90) / step) * step, 91, step):
            if degrees < self.north:
                yield self.frame.top + (self.north - degrees) * self.pixels_per_degree, _named(degrees, "NS")

    def _span(self) -> float:
        return self.frame.width / self.pixels_per_degree

    def _step(self) -> int:
        return next((step for step in _STEPS if self._span() / step <= _LINES), _STEPS[-1])


def frame_for(places: Sequence[Place], *, left: float, top: float, width: float) -> Frame:
    """Return a frame of ``width`` that is as high as ``places`` need, within limits; the least of them for none."""
    if not places:
        return Frame(left=left, top=top, width=width, height=_HEIGHTS[0])
    _, _, wide, high = _extent(places)
    return Frame(left=left, top=top, width=width, height=min(max(high / wide * width, _HEIGHTS[0]), _HEIGHTS[1]))


def fit(places: Sequence[Place], frame: Frame) -> Projection:
    """Return the projection that shows all of ``places`` (at least one) in ``frame``, as large as there is room.

    The picture is cut where the widest stretch without a place is, so that neighbours across the Pacific stay so.
    """
    latitude, longitude, wide, high = _extent(places)
    scale = min(frame.width / wide, frame.height / high)
    return Projection(
        frame=frame,
        west=longitude - frame.width / scale / 2,
        north=latitude + frame.height / scale / 2,
        pixels_per_degree=scale,
    )


def _extent(places: Sequence[Place]) -> tuple[float, float, float, float]:
    """Return the middle (latitude, longitude) and how wide and high the picture must be, all in degrees."""
    west = _westernmost(places)
    east = west + max((longitude - west) % 360 for _, longitude in places)
    north, south = max(latitude for latitude, _ in places), min(latitude for latitude, _ in places)
    wide = max((east - west) * (1 + 2 * _AIR), _SPAN_LEAST)
    high = max((north - south) * (1 + 2 * _AIR), _SPAN_LEAST / 2)
    return (north + south) / 2, (west + east) / 2, wide, high


def _westernmost(places: Sequence[Place]) -> float:
    """Return the longitude after the widest gap between neighbours; of equal gaps the one farthest west."""
    around = sorted({longitude % 360 for _, longitude in places})
    gaps = [(after - before, after) for before, after in pairwise((*around, around[0] + 360))]
    widest = max(gap for gap, _ in gaps)
    return next(after for gap, after in gaps if gap == widest)


def _named(degrees: float, letters: str) -> str:
    if degrees in {0, -180}:
        return f"{abs(degrees):g}°"
    return f"{abs(degrees):g}° {letters[degrees < 0]}"
