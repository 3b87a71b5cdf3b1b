"""The shapes of what can be ordered and of what came of it: entries, offers, orders, pools, machines."""

from typing import Any, NotRequired, TypedDict

from gateway.client.resources import Named, Resource, Stateful


class Entry(Resource):
    """One service of the catalog."""

    capability: str
    title: str
    platforms: int


class Offer(Stateful):
    """An entry at one platform; a single one carries its sizes, images and networks."""

    capability: str
    title: str
    platform: str
    provider: str
    region: str
    verbs: list[str]
    labels: dict[str, str]
    reachability: dict[str, Any] | None
    size_count: int
    image_count: int
    sizes: NotRequired[list[dict[str, Any]]]
    images: NotRequired[list[dict[str, Any]]]
    networks: NotRequired[list[dict[str, Any]]]


class Order(Stateful):
    """A project's order for one machine."""

    project: str
    offer: str
    name: str
    size: str
    image: str
    location: str | None
    key_pair: str | None
    network: str | None
    machine: str | None
    served_from: str
    step: str
    lease_s: float | None
    attempts: int
    price: dict[str, Any] | None
    ordered_by: str
    finished_at: str | None


class Waiting(TypedDict):
    """What an order waits for, since when, and until when at the latest."""

    what: str
    since: str | None
    until: str | None


class Explanation(TypedDict):
    """Why an order is where it is, and what it waits for; None once it has ended."""

    order: str
    state: str
    chosen_by: str
    platform: str
    served_from: str
    pool: str | None
    waits_for: Waiting | None
    reason: str


class Placement(Resource):
    """Why an order by needs went where it did: the candidates, best first, and what became of each."""

    needs: dict[str, Any]
    position: int
    moving_since: str | None
    candidates: list[dict[str, Any]]


class Pool(Named):
    """Machines kept ready, and how many there are now."""

    offer: str
    size: str
    image: str
    idle_target: int
    idle_limit: int
    building_limit: int
    machine_limit: int | None
    idle_age_limit_s: float | None
    zone: str
    hours: list[dict[str, Any]]
    projects: list[str]
    enabled: bool
    failures_in_a_row: int
    reason: str
    census: dict[str, int]


class Machine(Stateful):
    """One VM at a platform."""

    name: str
    platform: str
    offer: str
    pool: str | None
    order: str | None
    project: str | None
    size: str
    image: str
    location: str | None
    key_pair: str | None
    network: str | None
    cloud_id: str | None
    lease_ends_at: str | None
    custody: str
    is_released: bool
    price: dict[str, Any] | None
    addresses: list[str]
    drift: list[dict[str, str]]
    changing: str


class Console(TypedDict):
    """What a machine wrote to its console, the newest part of it."""

    machine: str
    text: str
