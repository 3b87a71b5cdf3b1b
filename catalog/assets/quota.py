"""What of a project's and its organisation's quotas assets take; asked in the transaction that adds to it.

As with machines, what is held is what there is: see ``catalog.quotas``.
"""

from collections.abc import Mapping

from catalog.cloud_assets import AssetKind
from catalog.errors import QuotaExceeded
from catalog.holders import Holder, holders_of, projects_of
from catalog.model.asset import Asset
from catalog.model.quota import Quota
from catalog.store import assets, rows
from catalog.store.assets import Kept
from catalog.store.database import Tx


def used(tx: Tx, whose: Holder) -> Mapping[str, Kept]:
    """Return what the holder's projects hold now, by kind."""
    return assets.held_by(tx, projects_of(tx, whose))


def refuse_beyond(tx: Tx, wanted: Asset) -> None:
    """Raise QuotaExceeded, saying whose quota of what, unless there is room for ``wanted`` beside what is held."""
    for whose in holders_of(tx, wanted.project_id):
        limits = rows.find(tx, Quota, whose.id)
        if limits is not None and (words := _shortage(limits, used(tx, whose), wanted)):
            fix = "destroy what is not needed, or ask an admin for a larger quota"
            raise QuotaExceeded(f"the quota of {whose} is {words}", field="quota", fix=fix)


def _shortage(limits: Quota, held: Mapping[str, Kept], wanted: Asset) -> str:
    kept, called = held.get(wanted.kind, Kept()), f"{wanted.kind}s"
    gib_limit = limits.volume_gib if wanted.kind == AssetKind.VOLUME else None
    for what, limit, of, each in (
        (called, rows.value(limits, called), kept.count, 1),
        (f"GiB of {called}", gib_limit, kept.gib, wanted.size_gib or 0),
    ):
        if limit is not None and of + each > limit:
            return f"{limit} {what} at once: {of} are used, {max(0, limit - of)} are left, {each} are needed"
    return ""
