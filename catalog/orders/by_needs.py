"""Place an order that names what it needs: the best offer that takes it, with the runners-up kept beside it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlmodel import Session

from catalog import allowance
from catalog.errors import BudgetExceeded, CatalogError, Denied, InvalidValue, NotFound, QuotaExceeded, WrongState
from catalog.messages.handshake import Capability
from catalog.model.ids import ProjectId
from catalog.model.offering import InventoryItem, OfferState
from catalog.model.order import Order
from catalog.model.placement import Placement
from catalog.model.tenancy import Project
from catalog.orders import candidates
from catalog.orders.candidates import System
from catalog.orders.place import place
from catalog.orders.policy import RetryPolicy
from catalog.orders.steps import UNWATCHED
from catalog.ports import Checkpoint
from catalog.search.find import Found, Hit, find
from catalog.search.index import SearchIndex
from catalog.search.query import read, system
from catalog.store import rows
from catalog.tenancy import reference_to

# What is preferred -> how a search says it. The cheapest and the nearest are just that; the others weigh more.
PREFERENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "balanced": {},
    "price": {"sort": "price"},
    "reachability": {"sort": "rtt_ms"},
    "fit": {"weights": "fit=5"},
    "availability": {"weights": "availability=5"},
}
PARTS: Final = (
    *("vcpu_min", "memory_gib_min", "disk_gib_min", "gpu_min", "architecture", "platform", "provider", "region"),
    *("country", "continent", "label", "rtt_max_ms", "price_max", "currency"),
)
_SYSTEMS_NAMED: Final = 10
_REFUSALS = (BudgetExceeded, Denied, NotFound, QuotaExceeded, WrongState, InvalidValue)


def candidates_for(
    tx: Session, *, project_id: ProjectId, needs: Mapping[str, str], index: SearchIndex, now_s: float
) -> list[dict[str, Any]]:
    """Return what an order of the project may become, best first, as a Placement keeps it; a read transaction will do.

    ``needs``: "os", "prefer" (see PREFERENCES), and any of PARTS, as a search has them. Raises InvalidValue when
    nothing fits, saying which need keeps out the most.
    """
    project = rows.by_id(tx, Project, project_id)
    return _candidates(tx, index, needs, (project.id, reference_to(tx, project)), now_s)


def place_by_needs(
    tx: Session,
    *,
    project_id: ProjectId,
    needs: Mapping[str, str],
    found: Sequence[Mapping[str, Any]],
    name: str | None,
    lease_s: float | None = None,
    by: str = "",
    proof: str = "",
    now_s: float,
    policy: RetryPolicy | None = None,
    checkpoint: Checkpoint = UNWATCHED,
) -> Order:
    """Return the accepted order, as ``place`` does, at the best candidate that takes it.

    ``found``: what ``candidates_for`` found for the same project and needs, a moment ago; each is judged anew. Raises
    what the best candidate raised when none takes the order.
    """
    refusals: list[CatalogError] = []
    for position, each in enumerate(found):
        try:
            with tx.begin_nested():
                order = place(
                    tx,
                    project_id=project_id,
                    offer=each["offer"],
                    size=each["size"],
                    image=each["image"],
                    name=name,
                    lease_s=lease_s,
                    by=by,
                    proof=proof,
                    now_s=now_s,
                    policy=policy,
                    checkpoint=checkpoint,
                )
        except _REFUSALS as error:
            if error.field in {"name", "lease_s"}:
                raise  # these are wrong everywhere; a smaller candidate may fit into a project's quota all the same
            refusals.append(error)
            found = candidates.noted(found, position, candidates.REFUSED, str(error))
            continue
        found = candidates.noted(found, position, candidates.CHOSEN)
        kept = Placement(order_id=order.id, needs=dict(needs), candidates=found, position=position)
        rows.insert(tx, kept, now_s)
        return order
    raise refusals[0]


def placement_of(tx: Session, order: Order) -> Placement:
    """Return where the order was placed and why. Raises NotFound for one that named its offer."""
    placement = rows.find(tx, Placement, order.id)
    if placement is None:
        raise NotFound("this order named its offer: nothing was chosen for it")
    return placement


def _candidates(
    tx: Session, index: SearchIndex, needs: Mapping[str, str], whose: Sequence[str], now_s: float
) -> list[dict[str, Any]]:
    family, version = system(needs["os"], name="needs.os")
    found = _found(tx, index, needs, whose, now_s)
    images: dict[str, list[InventoryItem]] = {hit.standing.platform_id: _images(tx, hit) for hit in found.hits}
    chosen = candidates.chosen(found.hits, images, System(family=family, version=version))
    if not chosen:
        raise InvalidValue("nothing on offer fits these needs", field="needs", fix=_fix(tx, index, needs, whose, now_s))
    return chosen


def _images(tx: Session, hit: Hit) -> list[InventoryItem]:
    return [
        item
        for item in rows.where(tx, InventoryItem, platform_id=hit.standing.platform_id, kind="image")
        if allowance.admits(hit.standing.scope, "images", (item.cloud_id, item.name))
    ]


def _found(tx: Session, index: SearchIndex, needs: Mapping[str, str], whose: Sequence[str], now_s: float) -> Found:
    asked = {name: text for name, text in needs.items() if name in PARTS or name == "os"}
    usual = {"kind": "size", "capability": Capability.MACHINE.value, "state": OfferState.OFFERED.value}
    query = read({**asked, **usual, **PREFERENCES[needs.get("prefer", "balanced")]})
    # Twice as many as are kept: some may have no fitting image.
    limit = 2 * candidates.CANDIDATES
    return find(tx, index, query, now_s=now_s, limit=limit, with_facets=False, one_per_offer=True, whose=whose)


def _fix(tx: Session, index: SearchIndex, needs: Mapping[str, str], whose: Sequence[str], now_s: float) -> str:
    """Return which need is to blame: the system of which there is no image, else the one without which most is left."""
    if lacking := _lacking_system(tx, index, needs, whose, now_s):
        return lacking
    left = {}
    for name in needs:
        if name in PARTS and name != "currency":
            fewer = {each: text for each, text in needs.items() if each != name}
            left[name] = _found(tx, index, fewer, whose, now_s).total
    best = max(left, key=lambda name: left[name], default="")
    if not best or not left[best]:
        return "ask for less: no single need is to blame"
    return f"without {best} there would be {left[best]}"


def _lacking_system(
    tx: Session, index: SearchIndex, needs: Mapping[str, str], whose: Sequence[str], now_s: float
) -> str:
    """Return that what meets all other needs has no image of the needed system, and what there is; "" if it has."""
    family, version = system(needs["os"], name="needs.os")
    hits = _found(tx, index, {name: text for name, text in needs.items() if name != "os"}, whose, now_s).hits
    there = {(item.os_family, item.os_version or "") for hit in hits for item in _images(tx, hit) if item.os_family}
    if not hits or any(family == each and version in {"", its} for each, its in there):
        return ""
    named = ", ".join(f"{each} {its}".strip() for each, its in sorted(there)[:_SYSTEMS_NAMED])
    return f"os: there is no image of {needs['os']}; there is {named or 'none whose system is known'}"
