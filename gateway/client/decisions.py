"""Route decisions, as the API gives them: what was measured, what it cost, what won and why."""

from typing import NotRequired, TypedDict

from gateway.client.resources import Weights


class LinkMeasurement(TypedDict):
    """What probing learned about one link of a candidate route."""

    source: str
    target: str
    method: str
    sent: float  # old packets weigh less
    lost: float
    rtt_ms: float | None
    jitter_ms: float | None
    loss_ratio: float
    measured_at_s: float | None  # None: nobody has measured it yet
    note: NotRequired[str]  # why it could not be probed at all
    error_ms: NotRequired[float | None]  # one standard error of rtt_ms
    samples: NotRequired[int]
    dead: NotRequired[bool]


class Candidate(TypedDict):
    """One candidate route: what was measured, each term of its cost in ms, and its preference (100 is best)."""

    route: str
    hops: list[str]
    rtt_ms: float | None
    jitter_ms: float | None
    loss_ratio: float
    terms: dict[str, float]
    cost_ms: float | None  # None: unusable, and ``refused`` says why
    preference: float
    refused: NotRequired[str]
    risk: NotRequired[float]
    throughput_mbps: NotRequired[float | None]  # what its narrowest hop carries
    links: list[LinkMeasurement]


class RefusedRoute(TypedDict):
    """A route that was tried and could not be built."""

    route: str
    code: str
    reason: str


class Standby(TypedDict):
    """The second route, which shares no relay and no declared fate with the first; None: ``because`` says why."""

    route: str | None
    cost_ms: float | None
    extra_ms: float | None
    because: str


class Decision(TypedDict):
    """One route decision in short."""

    decided_at: str
    winner: str | None
    reason: str
    before: str
    margin_ms: float | None
    cost_ms: float | None
    standby: Standby | None


class RouteDecision(TypedDict):
    """Why a route was chosen: every candidate, the weights, the winner and by how much it won.

    Empty before the first decision (``decided_at`` is None then).
    """

    decided_at: str | None
    weights: Weights
    margin_ms: float | None  # None: there is no other usable route
    winner: str | None
    candidates: list[Candidate]
    refused: list[RefusedRoute]
    probe_methods: list[str]
    reason: NotRequired[str]  # why this one: "first", "kept", "moved", "escaped-dead" and the like
    before: NotRequired[str]  # the route in use before, empty when there was none
    profile: NotRequired[str]
    standby: NotRequired[Standby | None]
