"""Try failed creations of assets again when their pause is over, and end those that wait in vain."""

import logging

from catalog import consent
from catalog.allowance import refuse_elsewhere
from catalog.assets.asking import ask_creation
from catalog.assets.settle import give_up
from catalog.cloud_assets import MADE_BY, AssetKind
from catalog.errors import Denied
from catalog.model.asset import ASSET_TRANSITIONS, Asset, AssetEvent
from catalog.orders.ending import NOT_HEARD_OF
from catalog.orders.policy import RetryPolicy, given_up
from catalog.store import assets, rows
from catalog.store.database import Tx

log = logging.getLogger(__name__)

BATCH = 100


def retry_due(tx: Tx, now_s: float, policy: RetryPolicy) -> int:
    """Ask again for all assets whose pause is over, end those that wait in vain, and return how many.

    At most 100 of each at a time. An asset keeps its id and its tags, so that what an earlier attempt left is adopted.
    """
    silent = assets.unheard_of(tx, now_s - policy.creation_deadline_s - policy.silence_s, BATCH)
    for asset in silent:
        # The report was lost; the provisioner reports again when it is asked again.
        log.error("asset was never reported on", extra={"asset": asset.id, "attempt": asset.attempt})
        if asset.attempt < policy.attempts_limit:
            _again(tx, asset, now_s, policy)
        else:
            reason = given_up(asset.kind, asset.attempt, "nothing was heard of it within its deadline")
            give_up(tx, asset, code=NOT_HEARD_OF, reason=reason, now_s=now_s)
    due = assets.due_for_retry(tx, now_s, BATCH)
    for asset in due:
        _again(tx, asset, now_s, policy)
    return len(silent) + len(due)


def _again(tx: Tx, asset: Asset, now_s: float, policy: RetryPolicy) -> None:
    capability, verb = MADE_BY[AssetKind(asset.kind)]
    try:
        grant = consent.allowed(tx, asset.platform_id, capability, verb, now_s)
        refuse_elsewhere(tx, grant, project=asset.project_id, location=asset.location)
    except Denied as error:
        give_up(tx, asset, code=error.code, reason=str(error), now_s=now_s)
        return
    again = {"attempt": asset.attempt + 1, "epoch": grant.epoch, "next_attempt_at_s": None, "asked_at_s": now_s}
    rows.move(tx, asset, ASSET_TRANSITIONS, AssetEvent.CREATE_AGAIN, now_s, again)
    ask_creation(tx, asset, deadline_s=policy.creation_deadline_s, now_s=now_s)
