"""Take in what the provisioner reports of assets: ready, tried again later, or failed with the reason.

Part of ``catalog.orders.settle``, which sees to it that each message has its effect once.
"""

import logging

from catalog import parting
from catalog.assets.asking import ask_destruction, dispose
from catalog.messages.contracts import AssetCreated, AssetDestroyed, AssetFailed, AssetNotDestroyed
from catalog.model.asset import ASSET_TRANSITIONS, Asset, AssetEvent, AssetState
from catalog.obstacles import with_obstacle, without_obstacle
from catalog.orders.policy import RetryPolicy, given_up
from catalog.store import rows
from catalog.store.database import Tx

log = logging.getLogger(__name__)

_ENDED = frozenset({AssetState.CLEARING, AssetState.FAILED, AssetState.DESTROYING, AssetState.GONE})
_ENDING = frozenset({AssetState.CLEARING, AssetState.DESTROYING})


def settle(
    tx: Tx,
    message: AssetCreated | AssetFailed | AssetDestroyed | AssetNotDestroyed,
    now_s: float,
    policy: RetryPolicy,
) -> None:
    """Write the effects of ``message``. One about what has moved on in the meantime changes nothing."""
    asset = rows.find(tx, Asset, message.asset)
    if asset is None:
        log.error("report of an unknown asset", extra={"asset": message.asset, "type": message.type})
        return
    match message:
        case AssetCreated():
            _created(tx, asset, message, now_s)
        case AssetFailed():
            _failed(tx, asset, message, now_s, policy)
        case AssetDestroyed():
            if asset.state in _ENDING:
                ended = {"machines": [], "reason": without_obstacle(asset.reason), "code": _code(asset, "")}
                rows.move(tx, asset, ASSET_TRANSITIONS, AssetEvent.CLEARED, now_s, ended)
                parting.part_if_nothing_is_left(tx, asset.platform_id, now_s)
        case AssetNotDestroyed():
            if asset.state in _ENDING:
                told = {"reason": with_obstacle(asset.reason, message.reason), "code": _code(asset, message.code)}
                rows.update(tx, asset, told, now_s)
                log.warning("asset not destroyed", extra={"asset": asset.id, "kind": asset.kind, "code": message.code})


def _code(asset: Asset, of_its_end: str) -> str:
    """Return the code: one whose creation failed keeps that failure's, whatever becomes of what is left of it."""
    return asset.code if asset.state is AssetState.CLEARING else of_its_end


def _created(tx: Tx, asset: Asset, message: AssetCreated, now_s: float) -> None:
    if asset.state in _ENDED:
        # Given up meanwhile; say once more what is to become of it.
        rows.update(tx, asset, {"cloud_id": message.cloud_id}, now_s)
        ask_destruction(tx, asset, now_s)
    elif asset.state is AssetState.CREATING:
        found = {"cloud_id": message.cloud_id, "facts": message.facts, "code": "", "reason": ""}
        rows.move(tx, asset, ASSET_TRANSITIONS, AssetEvent.CREATED, now_s, {**found, "next_attempt_at_s": None})
        log.info("asset ready", extra={"asset": asset.id, "kind": asset.kind})


def _failed(tx: Tx, asset: Asset, message: AssetFailed, now_s: float, policy: RetryPolicy) -> None:
    if asset.state is not AssetState.CREATING or asset.attempt != message.attempt:
        return
    if message.retryable and asset.attempt < policy.attempts_limit:
        again_at_s = now_s + policy.pause_s(asset.attempt)
        waiting = {"next_attempt_at_s": again_at_s, "code": message.code, "reason": message.reason}
        rows.update(tx, asset, waiting, now_s)
        return
    give_up(tx, asset, code=message.code, reason=given_up(asset.kind, asset.attempt, message.reason), now_s=now_s)


def give_up(tx: Tx, asset: Asset, *, code: str, reason: str, now_s: float) -> None:
    """End the creation of ``asset`` with ``reason`` in the tenant's words; what there is of it is destroyed."""
    dispose(tx, asset, AssetEvent.FAIL, now_s, reason=reason, code=code)
    log.warning("asset failed", extra={"asset": asset.id, "kind": asset.kind, "code": code})
