"""Needs instead of an offer, and why they led where they did."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from catalog.model.placement import Placement
from gateway.api.bodies import Body, Out, Resource, Time, Word, stamp
from gateway.api.prices import KeptPriceOut, kept_price_out
from gateway.api.search import TermOut

Much = Annotated[float, Field(ge=0, le=1_000_000)]

# The body's names -> those of a search, where they differ.
_NUMBERS: Mapping[str, str] = {
    "vcpu": "vcpu_min",
    "memory_gib": "memory_gib_min",
    "disk_gib": "disk_gib_min",
    "gpu": "gpu_min",
    "max_rtt_ms": "rtt_max_ms",
    "max_price": "price_max",
}


class NeedsIn(Body):
    """What a machine must be; the words as in a search, lists by comma."""

    os: Word = Field(description="Such as `debian 12`, or `debian` for the newest there is.")
    vcpu: Much | None = None
    memory_gib: Much | None = None
    disk_gib: Much | None = None
    gpu: Much | None = None
    architecture: Word | None = None
    platform: Word | None = None
    provider: Word | None = None
    region: Word | None = None
    country: Word | None = None
    continent: Word | None = None
    label: Word | None = None
    max_rtt_ms: Much | None = Field(default=None, description="As measured; what was not measured does not fit.")
    max_price: Much | None = Field(default=None, description="An hour, in `currency`.")
    currency: Word | None = None
    prefer: Literal["balanced", "price", "reachability", "fit", "availability"] = "balanced"

    def told(self) -> dict[str, str]:
        """Return the needs as texts, by the names of a search."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return {_NUMBERS.get(name, name): _text(value) for name, value in given.items()}


class CandidateOut(Out):
    """One of the offers that met the needs, as it was judged when the order was placed."""

    offer: str
    platform: str
    size: str
    size_name: str
    image: str
    image_name: str
    price: KeptPriceOut | None
    room: int | None
    rtt_ms: float | None
    score: float
    terms: list[TermOut]
    outcome: str = Field(description="`chosen`, `refused`, `failed`, or empty: not tried.")
    reason: str


class PlacementOut(Resource):
    """The choice and the runners-up, best first; `position` is the one in use."""

    needs: dict[str, str]
    position: int
    moving_since: Time | None = Field(
        description="What was begun there is being destroyed; once that is known to be gone the next one is begun."
    )
    candidates: list[CandidateOut]


def placement_out(row: Placement) -> PlacementOut:
    """Return the placement as it is answered."""
    return PlacementOut(
        **stamp(row),
        needs={name: str(text) for name, text in row.needs.items()},
        position=row.position,
        moving_since=row.moving_since_s,
        candidates=[CandidateOut(**{**each, "price": _price(each["price"])}) for each in row.candidates],
    )


def _price(kept: Mapping[str, Any] | None) -> KeptPriceOut | None:
    return None if kept is None else kept_price_out(kept)


def _text(value: object) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float | int) else str(value)
