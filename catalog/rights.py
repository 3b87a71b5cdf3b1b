"""What accounts can really do, as proved: what vanished is told, what is new is proposed for a grant.

A right is the cloud's word, a grant its owner's. Neither stands for the other: a right that nobody granted is not used,
and a grant whose right is gone has no open offer (``catalog.publish.degrade``).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from catalog.clouds import Proof
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import PlatformId
from catalog.model.right import Right, RightState
from catalog.store import rows
from catalog.store.database import Tx

_DETAIL_LENGTH = 500


def record(tx: Tx, platform_id: PlatformId, proofs: Iterable[Proof], now_s: float) -> list[Right]:
    """Keep the newest proof of each capability, and return the rights that changed hands by it.

    A change of state is an event: ``right proposed`` for what may be asked for, ``right lost``, ``right held``.
    """
    grants = rows.where(tx, Grant, platform_id=platform_id)
    asked = {grant.capability for grant in grants if grant.state is not GrantState.PROPOSED}
    held = {right.capability: right for right in rows.where(tx, Right, platform_id=platform_id)}
    changed = []
    for proof in proofs:
        right = held.get(proof.capability)
        state = _state(proof, right, asked=proof.capability in asked)
        if right is None or right.state is not state:
            changed.append(_kept(tx, platform_id, right, proof, state, now_s))
        else:
            _kept(tx, platform_id, right, proof, state, now_s)
    return changed


def of_platform(tx: Tx, platform_id: PlatformId) -> Sequence[Right]:
    """Return what is known of the platform's account, by capability."""
    return sorted(rows.where(tx, Right, platform_id=platform_id), key=lambda right: right.capability)


def due(tx: Tx, platform_ids: Iterable[PlatformId], before_s: float) -> set[PlatformId]:
    """Return those of ``platform_ids`` whose rights were never looked at, or one of them not since ``before_s``.

    What is granted is proved whenever it is published: that says nothing of what is not.
    """
    wanted = set(platform_ids)
    known = rows.where(tx, Right, platform_id=wanted)
    old = {right.platform_id for right in known if right.proved_at_s <= before_s}
    return old | (wanted - {right.platform_id for right in known})


def _state(proof: Proof, right: Right | None, *, asked: bool) -> RightState:
    if not proof.allowed:
        return RightState.ABSENT if right is None or right.state is RightState.ABSENT else RightState.LOST
    return RightState.HELD if asked else RightState.PROPOSED


def _kept(  # noqa: PLR0917 a helper of one caller
    tx: Tx, platform_id: PlatformId, right: Right | None, proof: Proof, state: RightState, now_s: float
) -> Right:
    told: dict[str, Any] = {
        "state": state,
        "request": proof.request,
        "request_id": proof.request_id,
        "detail": proof.detail[:_DETAIL_LENGTH],
        "proved_at_s": now_s,
    }
    if right is None:
        return rows.insert(tx, Right(platform_id=platform_id, capability=proof.capability, **told), now_s)
    return rows.update(tx, right, told, now_s)
