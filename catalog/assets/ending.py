"""What becomes of assets when their grant ends or narrows: what ``grant_end`` and ``winding_down`` do with machines."""

from collections.abc import Sequence

from catalog.allowance import refuse_elsewhere
from catalog.assets.asking import dispose
from catalog.assets.settle import give_up
from catalog.cloud_assets import MADE_BY, AssetKind
from catalog.errors import Denied
from catalog.messages.contracts import TO_PROVISIONER, EndEpoch
from catalog.messages.handshake import OF_ASSETS
from catalog.model.asset import Asset, AssetEvent, AssetState
from catalog.model.consent import Grant
from catalog.model.ids import MessageId, new_id
from catalog.model.terms import EndRule
from catalog.store import assets, outbox, rows
from catalog.store.database import Tx

GRANT_ENDED = "grant-ended"
BATCH = 100
TIME_IS_OVER = "its grant has ended, and so has the time for which it is kept"


def stop_all(tx: Tx, grant: Grant, reason: str, now_s: float) -> None:
    """End what is being created under ``grant``, whose epoch has just ended, and refuse what comes late of it."""
    if grant.capability not in OF_ASSETS:
        return
    message = EndEpoch(
        id=MessageId(new_id("message", now_s)),
        created_at_s=now_s,
        platform=grant.platform_id,
        epoch=grant.epoch,
        capability=grant.capability,
    )
    outbox.put(tx, TO_PROVISIONER, message, now_s)
    for asset in _of(tx, grant, AssetState.CREATING):
        give_up(tx, asset, code=GRANT_ENDED, reason=reason, now_s=now_s)


def stop_outside(tx: Tx, grant: Grant, now_s: float) -> None:
    """End what is being created and is outside the terms that ``grant`` has now, or more than its quota."""
    if grant.capability not in OF_ASSETS:
        return
    creating = list(_of(tx, grant, AssetState.CREATING))
    for asset in [each for each in creating if _is_outside(tx, grant, each)]:
        creating.remove(asset)
        reason = "the platform grants less than when this was ordered"
        give_up(tx, asset, code=GRANT_ENDED, reason=reason, now_s=now_s)
    counted = [asset for asset in creating if asset.kind == grant.capability]
    # What is being given up still counts until nothing is left of it; that ends no one else.
    ready = sum(asset.kind == grant.capability for asset in _of(tx, grant, AssetState.READY))
    while counted and grant.quota is not None and ready + len(counted) > grant.quota:
        reason = f"the platform grants fewer {grant.capability}s than when this was ordered"
        give_up(tx, counted.pop(), code=GRANT_ENDED, reason=reason, now_s=now_s)


def begin(tx: Tx, grant: Grant, reason: str, now_s: float, *, ends_at_s: float | None, until_s: float | None) -> None:
    """Do what the rule of ``grant``, which has just ended, says, and tell who holds an asset of it.

    What is kept, or drained, stays until ``ends_at_s``: every asset has its holder, so that draining finds none to end
    at once. ``until_s`` is when the session to clean up ends.
    """
    if grant.capability not in OF_ASSETS:
        return
    rows.update(tx, grant, {"wind_down_until_s": until_s}, now_s)
    for asset in _of(tx, grant, AssetState.READY):
        if grant.on_end == EndRule.DESTROY:
            dispose(tx, asset, AssetEvent.DESTROY, now_s, reason=reason)
        else:
            follows = "can still be destroyed" if ends_at_s is None else "is destroyed when its time is over"
            told = {"notice": f"{reason}; the {asset.kind} {follows}", "ends_at_s": ends_at_s}
            rows.update(tx, asset, told, now_s)


def tell(tx: Tx, grant: Grant, reason: str, now_s: float) -> None:
    """Tell who holds an asset that the grant is held back; nothing becomes of it."""
    if grant.capability in OF_ASSETS:
        for asset in _of(tx, grant, AssetState.READY):
            rows.update(tx, asset, {"notice": f"{reason}; the {asset.kind} can still be destroyed"}, now_s)


def call_off(tx: Tx, grant: Grant, now_s: float) -> None:
    """Leave the assets that are still there to the grant, which stands again."""
    if grant.capability not in OF_ASSETS:
        return
    if grant.wind_down_until_s is not None:
        rows.update(tx, grant, {"wind_down_until_s": None}, now_s)
    for asset in _of(tx, grant, AssetState.READY):
        if asset.notice or asset.ends_at_s is not None:
            rows.update(tx, asset, {"notice": "", "ends_at_s": None}, now_s)


def end_due(tx: Tx, now_s: float) -> int:
    """Destroy the assets whose time is over, at most 100, and return how many."""
    due = assets.ends_until(tx, now_s, BATCH)
    for asset in due:
        dispose(tx, asset, AssetEvent.DESTROY, now_s, reason=TIME_IS_OVER)
    return len(due)


def is_any_due(tx: Tx, now_s: float) -> bool:
    """Return whether ``end_due`` would end anything."""
    return bool(assets.ends_until(tx, now_s, 1))


def _is_outside(tx: Tx, grant: Grant, asset: Asset) -> bool:
    if MADE_BY[AssetKind(asset.kind)][1] not in grant.verbs:
        return True
    try:
        refuse_elsewhere(tx, grant, project=asset.project_id, location=asset.location)
    except Denied:
        return True
    return False


def _of(tx: Tx, grant: Grant, state: AssetState) -> Sequence[Asset]:
    return rows.where(tx, Asset, platform_id=grant.platform_id, capability=grant.capability, state=state)
