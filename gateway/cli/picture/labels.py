"""Where the names of sites stand, so that they cover neither each other nor the marks of other sites."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot

from gateway.cli.output import width_of
from gateway.cli.picture.projection import Frame

NAME_PX, DETAIL_PX = 12.0, 10.0
MARK_PX = 6.0  # from the middle of a mark to its edge
# From the middle of a mark to its label: close by, or out of a crowd and then with a line between the two.
_AWAY_PX = (MARK_PX + 3, 26.0, 46.0)
_STEP_COST = 60.0  # square pixels that a label may cover before it is put one step farther away
_DOUBT_PX = 6.0
_AIR_PX = 3.0
# A letter is about so wide for its height, bold ones a little wider.
_NAME_RATIO, _DETAIL_RATIO = 0.62, 0.56

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What stands at a mark: a name, and smaller lines under it."""

    x: float
    y: float
    name: str
    details: tuple[str, ...] = ()

    @property
    def width(self) -> float:
        """Return about how wide it will be, in pixels."""
        name = width_of(self.name) * NAME_PX * _NAME_RATIO
        return max([name, *(width_of(each) * DETAIL_PX * _DETAIL_RATIO for each in self.details)])

    @property
    def height(self) -> float:
        """Return how high it will be, in pixels."""
        return NAME_PX + len(self.details) * (DETAIL_PX + 1)


def placed(labels: Sequence[Label], bounds: Frame, lines: Sequence[Frame] = ()) -> list[Frame]:
    """Return where each label stands: to the right of its mark, or else wherever it covers least of all else.

    Decided one after the other, in their order; what lies outside ``bounds`` counts as covered.
    """
    taken = [*lines, *(mark(each.x, each.y) for each in labels)]
    for label in labels:
        _, place = min(_offers(label, taken, bounds), key=lambda offer: offer[0])
        taken.append(place)
    return taken[-len(labels) :] if labels else []


def mark(x: float, y: float) -> Frame:
    """Return the place that a mark takes, with a little air around it: a name that touches it would seem its own."""
    reach = MARK_PX + _AIR_PX
    return Frame(left=x - reach, top=y - reach, width=2 * reach, height=2 * reach)


def leader(label: Label, place: Frame, labels: Sequence[Label]) -> Point | None:
    """Return where a line from the mark to its label ends; None where it is plain whose label it is."""
    own_px = _distance(label, place)
    doubtful = sum(_distance(each, place) < own_px + _DOUBT_PX for each in labels) > 1  # its own is one of them
    return _nearest(label, place) if doubtful or own_px > _AWAY_PX[0] + 1 else None


def _offers(label: Label, taken: Sequence[Frame], bounds: Frame) -> Iterator[tuple[float, Frame]]:
    """Yield cost and place of every way to put the label, the most usual first: ``min`` keeps the first of equals."""
    for step, away in enumerate(_AWAY_PX):
        for place in _around(label, away):
            outside = place.width * place.height - bounds.covers(place)
            cost = outside + sum(each.covers(place) for each in taken) + step * _STEP_COST
            yield round(cost, 3), place  # else the last bits of a float would choose between equals


def _around(label: Label, away: float) -> Iterator[Frame]:
    middle, below, above = label.y - NAME_PX / 2, label.y + away, label.y - away - label.height
    right, left, centre = label.x + away, label.x - away - label.width, label.x - label.width / 2
    places = [(right, middle), (left, middle), (centre, below), (centre, above)]
    places += [(right, below), (right, above), (left, below), (left, above)]
    for x, y in places:
        yield Frame(left=x, top=y, width=label.width, height=label.height)


def _nearest(label: Label, place: Frame) -> Point:
    """Return the point of ``place`` that is nearest to the label's mark."""
    return min(max(label.x, place.left), place.right), min(max(label.y, place.top), place.bottom)


def _distance(label: Label, place: Frame) -> float:
    x, y = _nearest(label, place)
    return hypot(x - label.x, y - label.y)
