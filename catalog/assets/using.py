"""Attach and detach what projects hold, and end it: what the database says before and after the cloud is asked.

Between these two the outcome may be unknown. Then the row says what was wanted, and asking again settles it: a cloud is
always looked at first.
"""

from catalog import consent, imported
from catalog.assets.asking import dispose
from catalog.cloud_assets import USED_BY, AssetKind
from catalog.errors import InvalidValue, WrongState
from catalog.model.asset import LIVE, Asset, AssetEvent, AssetState
from catalog.model.machine import Custody, Machine, MachineState
from catalog.store import rows
from catalog.store.database import Tx


def attach(tx: Tx, asset: Asset, machine: Machine, now_s: float) -> Asset:
    """Note that ``asset`` is about to be attached to ``machine``; may be repeated.

    Raises WrongState unless both are there and the asset is attached to nothing else, InvalidValue for a machine of
    another platform or project, or one that is observed only, Denied when the platform does not grant it, or another
    controller steers the machine.
    """
    _refuse_unless_usable(asset)
    if (machine.platform_id, machine.project_id) != (asset.platform_id, asset.project_id):
        fix = "a machine of its project, at its platform"
        raise InvalidValue(f"this machine is elsewhere than the {asset.kind}", field="machine", fix=fix)
    if machine.custody == Custody.OBSERVED:
        raise InvalidValue("this machine is observed only: nothing is done to it", field="machine")
    if machine.state is not MachineState.IN_USE or machine.cloud_id is None:
        raise WrongState(f"the machine is {machine.state.value}", field="machine", fix="wait until it is in use")
    if asset.kind == AssetKind.VOLUME and asset.machines not in ([], [machine.id]):
        raise WrongState(f"the {asset.kind} is attached to {asset.machines[0]}", field="machine", fix="detach it first")
    consent.allowed(tx, asset.platform_id, asset.capability, USED_BY[AssetKind(asset.kind)][0], now_s)
    imported.refuse_steering(tx, machine, now_s)
    if machine.id in asset.machines:
        return asset
    return rows.update(tx, asset, {"machines": [*asset.machines, machine.id]}, now_s)


def may_detach(tx: Tx, asset: Asset, machine: Machine, now_s: float) -> None:
    """Raise WrongState unless ``asset`` is attached to ``machine``, Denied when the platform does not grant it.

    So it is where nothing is done to the machine, which is observed only, or which another controller steers.
    """
    _refuse_unless_usable(asset)
    if machine.id not in asset.machines:
        raise WrongState(f"the {asset.kind} is not attached to it", field="machine")
    consent.allowed(tx, asset.platform_id, asset.capability, USED_BY[AssetKind(asset.kind)][1], now_s)
    imported.refuse_steering(tx, machine, now_s)


def detached(tx: Tx, asset_id: str, machine_id: str, now_s: float) -> None:
    """Note that the asset is not attached to the machine (any more); may be repeated."""
    asset = rows.by_id(tx, Asset, asset_id)
    if machine_id in asset.machines:
        rows.update(tx, asset, {"machines": [each for each in asset.machines if each != machine_id]}, now_s)


def machine_gone(tx: Tx, machine: Machine, now_s: float) -> None:
    """Note that nothing is attached to ``machine`` any more: it is gone."""
    for asset in rows.where(tx, Asset, platform_id=machine.platform_id, state=AssetState.READY):
        detached(tx, asset.id, machine.id, now_s)


def destroy(tx: Tx, asset: Asset, now_s: float) -> Asset:
    """Return the asset on its way to its end. Raises WrongState while a volume is attached, or a zone has records.

    One that is still being created is given up. What is on its way already stays so. A volume that may not be detached
    (any more) is detached by its destruction: nothing else is left to do with it.
    """
    if asset.state is AssetState.DESTROYING:
        return asset
    records = rows.where(tx, Asset, parent_id=asset.id, kind=AssetKind.RECORD.value, state=set(LIVE))
    if records:
        raise WrongState("the zone has records", field="state", fix=f"destroy them first, such as {records[0].id}")
    if asset.machines and asset.kind == AssetKind.VOLUME and _may_be_detached(tx, asset, now_s):
        raise WrongState(f"the {asset.kind} is attached to {asset.machines[0]}", field="state", fix="detach it first")
    dispose(tx, asset, AssetEvent.DESTROY, now_s)
    return asset


def _may_be_detached(tx: Tx, asset: Asset, now_s: float) -> bool:
    grant = consent.standing(tx, asset.platform_id, asset.capability, now_s)
    return grant is not None and USED_BY[AssetKind(asset.kind)][1] in grant.verbs


def _refuse_unless_usable(asset: Asset) -> None:
    if AssetKind(asset.kind) not in USED_BY:
        raise InvalidValue(f"a {asset.kind} is attached to nothing", field="action")
    if asset.state is not AssetState.READY or asset.cloud_id is None:
        raise WrongState(f"the {asset.kind} is {asset.state.value}", field="state", fix="wait until it is ready")
