"""Ask the provisioner for an asset, or for the end of one: the row changes and the message leaves with them."""

from collections.abc import Mapping

from catalog.cloud_assets import AssetKind, CloudAsset
from catalog.messages.contracts import TAG_ASSET, TO_PROVISIONER, CreateAsset, DestroyAsset
from catalog.model.asset import ASSET_TRANSITIONS, LIVE, Asset, AssetEvent
from catalog.model.ids import MessageId, PlatformId, new_id
from catalog.store import outbox, rows
from catalog.store.database import Tx


def tags(asset: Asset) -> dict[str, str]:
    """Return what it carries in the cloud, so that it is found again; the provisioner adds whose it is."""
    return {TAG_ASSET: asset.id}


def ask_creation(tx: Tx, asset: Asset, *, deadline_s: float, now_s: float) -> None:
    """Ask for the current attempt; ``deadline_s`` is its allowance until it can be used."""
    parent = rows.find(tx, Asset, asset.parent_id) if asset.parent_id else None
    message = CreateAsset(
        id=MessageId(new_id("message", now_s)),
        created_at_s=now_s,
        asset=asset.id,
        kind=asset.kind,
        capability=asset.capability,
        platform=asset.platform_id,
        name=asset.cloud_name,
        attempt=asset.attempt,
        size_gib=asset.size_gib,
        location=asset.location,
        parent=None if parent is None else parent.cloud_id,
        options=asset.options,
        tags=tags(asset),
        deadline_s=deadline_s,
        epoch=asset.epoch,
    )
    outbox.put(tx, TO_PROVISIONER, message, now_s)


def ask_destruction(tx: Tx, asset: Asset, now_s: float) -> None:
    """Ask the provisioner to leave nothing of ``asset`` at its platform."""
    message = DestroyAsset(
        id=MessageId(new_id("message", now_s)),
        created_at_s=now_s,
        asset=asset.id,
        kind=asset.kind,
        capability=asset.capability,
        platform=asset.platform_id,
        cloud_id=asset.cloud_id,
        tags=tags(asset),
    )
    outbox.put(tx, TO_PROVISIONER, message, now_s)


def made_by_us(tx: Tx, platform: PlatformId, *, cloud_id: str | None = None, tags: Mapping[str, str]) -> bool:
    """Tell whether an asset of ours at ``platform`` has this id at its cloud, or is named by these tags."""
    if cloud_id and rows.first(tx, Asset, platform_id=platform, cloud_id=cloud_id) is not None:
        return True
    named = tags.get(TAG_ASSET)
    return named is not None and rows.first(tx, Asset, platform_id=platform, id=named) is not None


def note_found(tx: Tx, platform: PlatformId, kind: AssetKind, found: CloudAsset, now_s: float) -> None:
    """Note the cloud's id of an asset of ours that was found by its tags and never reported; else do nothing."""
    named = found.tags.get(TAG_ASSET, "")
    asset = rows.first(tx, Asset, platform_id=platform, id=named, kind=kind.value)
    if asset is not None and asset.cloud_id is None and asset.state in LIVE:
        rows.update(tx, asset, {"cloud_id": found.cloud_id}, now_s)


def dispose(tx: Tx, asset: Asset, event: AssetEvent, now_s: float, *, reason: str = "", code: str = "") -> None:
    """Take ``asset`` to its destruction along ``event`` and ask the provisioner for it. Raises WrongState."""
    told: dict[str, object] = {"reason": reason, "code": code, "next_attempt_at_s": None, "machines": []}
    rows.move(tx, asset, ASSET_TRANSITIONS, event, now_s, told)
    ask_destruction(tx, asset, now_s)
