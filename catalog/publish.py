"""From an accepted grant to an offer: the entry is found or created, the platform associated (S1 steps 13-14)."""

from collections.abc import Sequence
from typing import Any

from catalog import listed
from catalog.errors import CloudMisbehaved, WrongState
from catalog.expiry import is_over
from catalog.listed import Listed
from catalog.messages.handshake import Capability
from catalog.model.consent import Grant, GrantState, GrantTerms
from catalog.model.ids import EntryId, OfferId, PlatformId, new_id
from catalog.model.offering import CatalogEntry, Offer, OfferState
from catalog.model.platform import Platform
from catalog.model.terms import TERMS
from catalog.store import incoming, offering, rows, serials
from catalog.store.database import Tx

TITLES = {
    Capability.MACHINE: "Machines",
    Capability.IMAGE: "Images",
    Capability.SIZE: "Machine sizes",
    Capability.LOCATION: "Locations",
    Capability.NETWORK: "Networks",
    Capability.KEY_PAIR: "Key pairs",
    Capability.VOLUME: "Volumes",
    Capability.CONTAINER: "Containers of objects",
    Capability.ZONE: "DNS zones",
    Capability.BALANCER: "Load balancers",
    Capability.FORWARD: "Forwarding",
}
INVENTORY_LIMIT = 20_000  # more is a broken or hostile answer; public clouds list some 1,000 sizes
# A cloud has sizes and images or it is no cloud; volumes and key pairs may really all be gone.
_NEVER_EMPTIED = {Capability.SIZE, Capability.IMAGE, Capability.LOCATION}
# Without these nothing can be ordered, so a cloud that lists none is not believed, the first time either.
_NEVER_EMPTY = {Capability.SIZE, Capability.IMAGE}
_NONE_LISTED = "the cloud lists none"
_REASON_LENGTH = 500
_ALWAYS_SHOWN = frozenset({"verbs", "quota", "expires_at_s"})


def publish(tx: Tx, grant: Grant, now_s: float, trouble: str = "") -> Offer:
    """Return the offer that ``grant`` makes, OFFERED, or DEGRADED while its newest proof failed or with ``trouble``.

    May be repeated: an offer that stands as it should stays as it is. Raises WrongState unless the grant is ACCEPTED
    now, whatever ``grant`` says.
    """
    held = rows.by_id(tx, Grant, grant.id)
    if held.state is not GrantState.ACCEPTED or is_over(held.expires_at_s, now_s):
        raise WrongState(f"the grant is '{held.state.value}', and only accepted ones are offered", field="state")
    entry = rows.first(tx, CatalogEntry, capability=held.capability) or rows.insert(tx, _entry(held, now_s), now_s)
    state, reason = (OfferState.DEGRADED, trouble[:_REASON_LENGTH]) if trouble else _standing(held)
    facts = shown_terms(held)
    offer = rows.first(tx, Offer, entry_id=entry.id, platform_id=held.platform_id)
    if offer is None:
        fresh = Offer(
            id=OfferId(new_id("offer", now_s)),
            entry_id=entry.id,
            platform_id=held.platform_id,
            grant_id=held.id,
            state=state,
            reason=reason,
            facts=facts,
        )
        return rows.insert(tx, fresh, now_s)
    told = {"grant_id": held.id, "state": state, "reason": reason, "facts": facts}
    if all(rows.value(offer, name) == value for name, value in told.items()):
        return offer
    return rows.update(tx, offer, told, now_s)


def outdated(tx: Tx, now_s: float, *, age_s: float, platform_id: PlatformId | None = None) -> list[Grant]:
    """Return the accepted grants to prove, read and publish (again), of one platform or of all.

    Those that are not on offer, or on other terms than the grant's, those whose terms were given since they were last
    proved, and those last proved more than ``age_s`` ago.
    """
    of = {} if platform_id is None else {"platform_id": platform_id}
    offers = {offer.grant_id: offer for offer in rows.where(tx, Offer, state=OfferState.OFFERED, **of)}
    given_at_s = {terms.grant_id: terms.given_at_s for terms in rows.where(tx, GrantTerms, superseded_at_s=None)}
    return [
        grant
        for grant in rows.where(tx, Grant, state=GrantState.ACCEPTED, **of)
        if grant.id not in offers
        or offers[grant.id].facts != shown_terms(grant)
        or _proved_at_s(grant) <= now_s - age_s
        or _proved_at_s(grant) < given_at_s.get(grant.id, 0.0)
    ]


def tell_terms(tx: Tx, grant: Grant, now_s: float) -> None:
    """Let an offer that stands say the grant's present terms at once; whether they hold is proved later."""
    offer = rows.first(tx, Offer, grant_id=grant.id, state=OfferState.OFFERED)
    if offer is not None and offer.facts != (facts := shown_terms(grant)):
        rows.update(tx, offer, {"facts": facts}, now_s)


def withdraw(tx: Tx, grant_id: str, reason: str, now_s: float) -> Offer | None:
    """Take the grant's offer from the catalog and forget the inventory it let us read; None when it has no offer.

    May be repeated.
    """
    offer = rows.first(tx, Offer, grant_id=grant_id)
    if offer is None:
        return None
    offering.forget_inventory(tx, offer.platform_id, rows.by_id(tx, Grant, grant_id).capability)
    return _put(tx, offer, OfferState.WITHDRAWN, reason, now_s)


def degrade(tx: Tx, grant_id: str, reason: str, now_s: float) -> Offer | None:
    """Keep the grant's offer visible, with the reason, but closed to new orders; None when it has no offer.

    One that is withdrawn stays so. May be repeated; ``publish`` opens it again.
    """
    offer = rows.first(tx, Offer, grant_id=grant_id)
    if offer is None or offer.state is OfferState.WITHDRAWN:
        return offer
    return _put(tx, offer, OfferState.DEGRADED, reason, now_s)


def store_inventory(tx: Tx, platform_id: PlatformId, kind: str, items: Sequence[Listed], now_s: float) -> int:
    """Make ``items`` the platform's whole inventory of ``kind``, and return how many rows changed.

    Raises CloudMisbehaved, with nothing changed, as ``settle_inventory`` does, and for one id twice.
    """
    provider = rows.by_id(tx, Platform, platform_id).provider
    sync_id = new_id("sync", now_s)
    for batch in listed.listing(provider, kind, items).batches:
        incoming.put(tx, sync_id, batch, now_s)
    return settle_inventory(tx, platform_id, kind, sync_id, now_s).total


def trouble_with(tx: Tx, kind: str, sync_id: str) -> str:
    """Return what is not plausible about the list that came in under ``sync_id``, "" when nothing is."""
    return _NONE_LISTED if kind in _NEVER_EMPTY and not incoming.counts(tx, sync_id)[0] else ""


def settle_inventory(tx: Tx, platform_id: PlatformId, kind: str, sync_id: str, now_s: float) -> incoming.Changed:
    """Make what came in under ``sync_id`` the platform's whole inventory of ``kind``, and return what changed.

    No sizes or images at all, the first time, degrade their offer: such an answer is not plausible. Raises
    CloudMisbehaved, and what is known stays, for one id twice, too many items, or no sizes, images or locations where
    there were some.
    """
    total, different = incoming.counts(tx, sync_id)
    held = offering.inventory_counts(tx, [platform_id]).get((platform_id, kind), 0)
    if different < total or total > INVENTORY_LIMIT:
        raise CloudMisbehaved(f"the cloud listed one '{kind}' twice, or more than {INVENTORY_LIMIT}")
    if held and not total and kind in _NEVER_EMPTIED:
        raise CloudMisbehaved(f"the cloud listed no '{kind}' at all, and had {held} before")
    if not total and kind in _NEVER_EMPTY:
        _degrade_kind(tx, platform_id, kind, now_s)
        return incoming.Changed(added=0, altered=0, removed=0)
    changed = incoming.take_over(tx, platform_id, kind, sync_id, now_s)
    if changed.total:
        serials.bump(tx, platform_id)
    return changed


def _entry(grant: Grant, now_s: float) -> CatalogEntry:
    title = TITLES.get(Capability(grant.capability), grant.capability)
    return CatalogEntry(id=EntryId(new_id("entry", now_s)), capability=grant.capability, title=title)


def _degrade_kind(tx: Tx, platform_id: PlatformId, kind: str, now_s: float) -> None:
    grant = rows.first(tx, Grant, platform_id=platform_id, capability=kind)
    if grant is not None:
        degrade(tx, grant.id, _NONE_LISTED, now_s)


def shown_terms(grant: Grant) -> dict[str, Any]:
    """Return the terms as an offer shows them: those that say something, and the first three.

    Of the verbs only those are shown that the newest proof does not say the account lacks.
    """
    terms = {name: rows.value(grant, name) for name in TERMS}
    lacking = grant.proofs[-1].get("lacking") if grant.proofs else None
    if isinstance(lacking, list | tuple):
        terms["verbs"] = [verb for verb in grant.verbs if verb not in lacking]
    return {name: value for name, value in terms.items() if value or name in _ALWAYS_SHOWN}


def _proved_at_s(grant: Grant) -> float:
    return float(str(grant.proofs[-1]["at_s"])) if grant.proofs else 0.0


def _standing(grant: Grant) -> tuple[OfferState, str]:
    newest = grant.proofs[-1] if grant.proofs else {"allowed": True}
    if newest["allowed"]:
        return OfferState.OFFERED, ""
    return OfferState.DEGRADED, f"the account may not do this: {newest['request']}"[:_REASON_LENGTH]


def _put(tx: Tx, offer: Offer, state: OfferState, reason: str, now_s: float) -> Offer:
    if (offer.state, offer.reason) == (state, reason[:_REASON_LENGTH]):
        return offer
    return rows.update(tx, offer, {"state": state, "reason": reason[:_REASON_LENGTH]}, now_s)
