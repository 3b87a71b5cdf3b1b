"""Accept a project's order for an asset: one transaction, nothing asked of a cloud."""

from collections.abc import Mapping, Sequence

from catalog import consent, naming
from catalog.allowance import refuse_elsewhere
from catalog.assets import quota, wanted
from catalog.assets.asking import ask_creation
from catalog.cloud_assets import MADE_BY, AssetKind
from catalog.errors import InvalidValue, QuotaExceeded, WrongState
from catalog.machines import cloud_name
from catalog.model.asset import Asset
from catalog.model.consent import Grant
from catalog.model.ids import AssetId, ProjectId, new_id
from catalog.model.offering import CatalogEntry, Offer, OfferState
from catalog.model.platform import Platform
from catalog.orders.choose import inventory_item
from catalog.orders.policy import RetryPolicy
from catalog.providers import Provider
from catalog.store import assets, orders, rows
from catalog.store.database import Tx


def place(
    tx: Tx,
    *,
    project_id: ProjectId,
    kind: AssetKind,
    offer: str | None,
    name: str | None,
    size_gib: int | None = None,
    location: str | None = None,
    parent: Asset | None = None,
    options: Mapping[str, str | int | None] | None = None,
    now_s: float,
    policy: RetryPolicy | None = None,
    providers: Sequence[Provider] = (),
) -> Asset:
    """Return the accepted asset, CREATING, with its message in the outbox.

    ``offer`` is an offer's id or its platform's name; made from ``parent``, it is where that is. ``location`` None is
    the cloud's choice. At a platform of one of ``providers`` only what that makes is accepted, whatever is granted
    there. Raises InvalidValue naming the field, WrongState when the offer takes no orders or the parent is
    not ready, Denied when the platform does not (any longer) grant it, QuotaExceeded when the grant or a quota of the
    project or its organisation has no room. Whatever is raised, the caller's transaction must roll back.
    """
    if name is not None:
        naming.host_name(name)
    capability, verb = MADE_BY[kind]
    wanted.refuse_parent(kind, parent)
    chosen = _offer(tx, offer, capability, parent)
    if chosen.state is not OfferState.OFFERED:
        raise WrongState(f"the offer takes no orders, it is {chosen.state.value}: {chosen.reason}", field="offer")
    _refuse_unmade(tx, kind, chosen, providers)
    grant = consent.allowed(tx, chosen.platform_id, capability, verb, now_s)
    asset_id = AssetId(new_id("asset", now_s))
    asset = Asset(
        id=asset_id,
        kind=kind.value,
        capability=capability.value,
        project_id=project_id,
        platform_id=chosen.platform_id,
        offer_id=chosen.id,
        name=name or kind.value,
        cloud_name=cloud_name(asset_id, name),
        size_gib=wanted.size(kind, size_gib, parent),
        options=wanted.options(kind, options or {}, parent),
        location=None if location is None else inventory_item(tx, chosen, "location", location).cloud_id,
        parent_id=None if parent is None else parent.id,
        asked_at_s=now_s,
        epoch=grant.epoch,
    )
    _refuse_twice(tx, asset)
    refuse_elsewhere(tx, grant, project=project_id, location=asset.location)
    refuse_beyond(tx, grant, asset)
    quota.refuse_beyond(tx, asset)
    rows.insert(tx, asset, now_s)
    ask_creation(tx, asset, deadline_s=(policy or RetryPolicy()).creation_deadline_s, now_s=now_s)
    return asset


def refuse_beyond(tx: Tx, grant: Grant, asset: Asset) -> None:
    """Raise QuotaExceeded unless ``grant`` has room for ``asset``, which is not among those that it counts.

    A grant counts what its capability is called by: of volumes the volumes, and not their snapshots.
    """
    if grant.quota is None or asset.kind != grant.capability:
        return
    if assets.count_at(tx, grant.platform_id, asset.kind) >= grant.quota:
        words = f"the platform grants {grant.quota} {asset.kind}s at once and all are taken"
        raise QuotaExceeded(words, field="offer", fix="destroy one, or order at another platform")


def _refuse_unmade(tx: Tx, kind: AssetKind, offer: Offer, providers: Sequence[Provider]) -> None:
    """Raise InvalidValue when nothing of ``kind`` is made at the offer's platform, which may grant more than we can."""
    platform = rows.by_id(tx, Platform, offer.platform_id)
    known = next((each for each in providers if each.name == platform.provider), None)
    if known is not None and kind not in known.assets:
        made = ", ".join(f"{each}s" for each in sorted(known.assets))
        fix = f"there are {made} at this one" if made else "order it at another platform"
        raise InvalidValue(f"no {kind}s are made at platforms of the kind '{known.name}'", field="offer", fix=fix)


def _refuse_twice(tx: Tx, asset: Asset) -> None:
    """Raise WrongState when the zone has a record of this name and type: two would undo each other."""
    if asset.kind != AssetKind.RECORD or asset.parent_id is None:
        return
    other = assets.record_called(tx, asset.parent_id, str(asset.options["host"]), str(asset.options["type"]))
    if other is not None:
        raise WrongState(f"the zone has this record already, {other.id}", field="host", fix="destroy that one first")


def _offer(tx: Tx, text: str | None, capability: str, parent: Asset | None) -> Offer:
    if parent is not None:
        found = rows.by_id(tx, Offer, parent.offer_id)
        named = () if text is None else orders.offers_called(tx, text, capability)
        if text is not None and found.id not in {each.id for each in named}:
            raise InvalidValue("it is made where its parent is", field="offer", fix="leave it out")
        return found
    fix = f"the id of an offer of {capability}s, or its platform's name"
    if text is None:
        raise InvalidValue("an order says where", field="offer", fix=fix)
    found_here = orders.offers_called(tx, text, capability)
    if not found_here:
        raise InvalidValue(f"there is no offer '{text}'", field="offer", fix=fix)
    if rows.by_id(tx, CatalogEntry, found_here[0].entry_id).capability != capability:
        raise InvalidValue(f"the offer '{text}' is not one of {capability}s", field="offer", fix=fix)
    return found_here[0]
