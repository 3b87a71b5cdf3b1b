"""The catalog as everybody may see it: entries, offers, sizes and images; never an address, account or route."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from catalog import browse
from catalog.browse import EntryView, ItemView, OfferView
from catalog.errors import InvalidValue, NotFound
from catalog.messages.handshake import Capability
from catalog.model.offering import OfferState
from catalog.model.reachability import Reachability, is_stale
from catalog.store.database import Tx
from gateway.api.bodies import Body, Composite, Line, Nothing, Out, Resource, Time, Word
from gateway.api.endpoints import Call, Listing, Routes, one_of

routes = Routes("catalog")


class EntryOut(Resource):
    """A service of the catalog."""

    capability: str
    title: str
    platforms: int = Field(description="How many platforms offer it now.")


@routes.plain("GET", "/v1/catalog", permission="catalog:read", answer=EntryOut, many=True, summary="List the services")
def list_entries(tx: Tx, _call: Call[Nothing]) -> Listing:
    """Return every entry on one page: there is one per capability."""
    return Listing(items=[_entry(view) for view in browse.entries(tx)])


class ReachabilityOut(Out):
    """How well the platform is reached from here by the route in use, as measured."""

    rtt_ms: float | None = Field(description="null: nothing comes back.")
    loss_ratio: float | None
    preference: float | None = Field(description="100 * 2^(-cost/100) of the route.")
    measured_at: Time
    stale: bool = Field(description="Too old to count: the platform is not connected now, or is not being measured.")


class OfferOut(Composite):
    """A service at one platform."""

    capability: str
    title: str
    platform: str
    provider: str
    region: str
    state: str
    reason: str
    verbs: list[str]
    labels: dict[str, str] = Field(description="An admin's words.")
    size_count: int
    image_count: int
    reachability: ReachabilityOut | None = Field(description="null: not measured.")


class ItemOut(Out):
    """A size or image; an order may name it by id or by name."""

    id: str
    name: str
    facts: dict[str, Any] = Field(description="What the cloud says of it, in its own words.")
    normalised: dict[str, str | float] = Field(
        description="What is known of it in words shared by all clouds: vcpu, memory_gib, disk_gib, gpu_count, "
        "architecture, os_family, os_version. What is not known is absent."
    )


class FullOfferOut(OfferOut):
    """An offer with what can be ordered."""

    sizes: list[ItemOut]
    images: list[ItemOut]
    networks: list[ItemOut] = Field(description="Those that the grant has.")


@routes.plain(
    "GET",
    "/v1/offers",
    permission="catalog:read",
    answer=OfferOut,
    many=True,
    filters={
        "capability": one_of(Capability, "Only this capability's."),
        "platform": "Only this platform's, by name or id.",
    },
    errors=(NotFound,),
    summary="List the offers",
)
def list_offers(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of offers that are not withdrawn."""
    found = browse.offers(
        tx,
        capability=call.filters.get("capability"),
        platform=call.filters.get("platform"),
        whose=browse.names_of(tx, call.principal),
        limit=call.limit,
        token=call.page_token,
    )
    return Listing(items=[OfferOut(**_offer(view, call.now_s)) for view in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/offers/{id}",
    permission="catalog:read",
    answer=FullOfferOut,
    summary="Show or watch an offer with its sizes and images",
)
def get_offer(tx: Tx, call: Call[Nothing]) -> FullOfferOut:
    """Return the offer; a withdrawn one, or one outside the scope of its grant, is an admin's to see."""
    view = browse.offer(tx, call.path["id"], browse.names_of(tx, call.principal))
    if (view.state is OfferState.WITHDRAWN or not view.is_within) and not call.sees_all:
        raise NotFound(f"there is no offer '{call.path['id']}'")
    return FullOfferOut(
        **_offer(view, call.now_s), sizes=_items(view.sizes), images=_items(view.images), networks=_items(view.networks)
    )


class LabelsIn(Body):
    """All labels of an offer: what is not named is taken off."""

    labels: Annotated[dict[Word, Line], Field(max_length=32)]


@routes.endpoint(
    "PUT",
    "/v1/offers/{id}/labels",
    permission="catalog:write",
    body=LabelsIn,
    answer=OfferOut,
    errors=(InvalidValue,),
    summary="Label an offer",
)
def label_offer(tx: Tx, call: Call[LabelsIn]) -> OfferOut:
    """Return the offer with its new labels."""
    view = browse.offer(tx, call.path["id"])
    call.precondition.check(view)
    browse.label(tx, view.id, call.body.labels, call.now_s)
    return OfferOut(**_offer(browse.offer(tx, view.id), call.now_s))


def _entry(view: EntryView) -> EntryOut:
    return EntryOut(
        id=view.id,
        version=view.version,
        created_at=view.created_at_s,
        updated_at=view.updated_at_s,
        capability=view.capability,
        title=view.title,
        platforms=view.platforms,
    )


def _offer(view: OfferView, now_s: float) -> dict[str, Any]:
    return {
        "id": view.id,
        "version": view.version,
        "created_at": view.created_at_s,
        "updated_at": view.updated_at_s,
        "capability": view.capability,
        "title": view.title,
        "platform": view.platform,
        "provider": view.provider,
        "region": view.region,
        "state": view.state.value,
        "reason": view.reason,
        "verbs": list(view.verbs),
        "labels": dict(view.labels),
        "size_count": view.size_count,
        "image_count": view.image_count,
        "reachability": None if view.reach is None else _reach(view.reach, now_s),
    }


def _reach(row: Reachability, now_s: float) -> ReachabilityOut:
    return ReachabilityOut(
        rtt_ms=row.rtt_ms,
        loss_ratio=row.loss_ratio,
        preference=row.preference,
        measured_at=row.measured_at_s,
        stale=is_stale(row.measured_at_s, now_s),
    )


def _items(views: Iterable[ItemView]) -> list[ItemOut]:
    return [
        ItemOut(id=view.cloud_id, name=view.name, facts=dict(view.facts), normalised=dict(view.normalised))
        for view in views
    ]
