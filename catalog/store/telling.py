"""Which rows' changes are told as events, to whom, and in which words. Pure.

Told are the things that people follow. A row of any other kind changes silently.
"""

from dataclasses import dataclass, field
from typing import Any

from catalog.model.access import Token
from catalog.model.approval import Approval, ApprovalRule
from catalog.model.asset import Asset
from catalog.model.budget import Budget
from catalog.model.connection import Connection
from catalog.model.consent import Grant
from catalog.model.event import Audience
from catalog.model.ids import PlatformId, ProjectId
from catalog.model.machine import Machine
from catalog.model.offering import Offer
from catalog.model.order import Order
from catalog.model.passage import Passage
from catalog.model.platform import Endpoint, Platform
from catalog.model.quota import Quota
from catalog.model.right import Right, RightState
from catalog.model.rows import Row
from catalog.model.schedule import Schedule
from catalog.model.terms import TERMS
from catalog.model.webhook import Webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A row in the words of the event log: what it is, where it stands, whom it concerns, and its facts."""

    noun: str
    standing: str
    subject_id: str
    platform_id: PlatformId | None = None
    partner_id: PlatformId | None = None
    project_id: ProjectId | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def telling(row: Row) -> Telling | None:  # noqa: C901, PLR0911, PLR0912  one answer per kind
    """Return ``row`` as the event log tells of it now, None for a kind that is not told."""
    match row:
        case Connection():
            return _connection(row)
        case Grant():
            return _grant(row)
        case Offer():
            return _offer(row)
        case Order():
            return _order(row)
        case Machine():
            return _machine(row)
        case Asset():
            return _asset(row)
        case Platform():
            return _platform(row)
        case Endpoint():
            return _endpoint(row)
        case Passage():
            return _passage(row)
        case Right():
            return _right(row)
        case Token():
            return _token(row)
        case Webhook():
            return _webhook(row)
        case Quota():
            return _quota(row)
        case Budget():
            return _budget(row)
        case Schedule():
            return _schedule(row)
        case Approval():
            return _approval(row)
        case ApprovalRule():
            return _approval_rule(row)
    return None


def _connection(row: Connection) -> Telling:
    return Telling(
        noun="connection",
        standing=row.state,
        subject_id=row.id,
        platform_id=row.target_id,
        partner_id=None if row.requester_id == row.target_id else row.requester_id,
        facts={"code": row.code, "reason": row.reason},
    )


def _grant(row: Grant) -> Telling:
    return Telling(
        noun="grant",
        standing=row.state,
        subject_id=row.id,
        platform_id=row.platform_id,
        facts={
            "capability": row.capability,
            **{name: getattr(row, name) for name in TERMS},
            "wind_down_until_s": row.wind_down_until_s,
            "suspended_by": row.suspended_by,
        },
    )


def _offer(row: Offer) -> Telling:
    return Telling(
        noun="offer",
        standing=row.state,
        subject_id=row.id,
        platform_id=row.platform_id,
        facts={"entry": row.entry_id, "grant": row.grant_id, "reason": row.reason},
    )


def _order(row: Order) -> Telling:
    return Telling(
        noun="order",
        standing=row.state,
        subject_id=row.id,
        project_id=row.project_id,
        facts={
            "offer": row.offer_id,
            "machine": row.machine_id,
            "served_from": row.served_from,
            "code": row.code,
            "reason": row.reason,
        },
    )


def _machine(row: Machine) -> Telling:
    # A machine in a pool concerns nobody but admins; the platform's owner sees it at the cloud, under its own name.
    return Telling(
        noun="machine",
        standing=row.state,
        subject_id=row.id,
        project_id=row.project_id,
        facts={
            "offer": row.offer_id,
            "order": row.order_id,
            "name": row.name,
            "size": row.size,
            "image": row.image,
            "custody": row.custody,
            "reason": row.reason,
            "notice": row.notice,
            "drift": row.drift,
            "lease_ends_at_s": row.lease_ends_at_s,
            "ends_at_s": row.ends_at_s,
        },
    )


def _asset(row: Asset) -> Telling:
    return Telling(
        noun="asset",
        standing=row.state,
        subject_id=row.id,
        project_id=row.project_id,
        facts={
            "kind": row.kind,
            "offer": row.offer_id,
            "machines": row.machines,
            "code": row.code,
            "reason": row.reason,
            "notice": row.notice,
            "ends_at_s": row.ends_at_s,
        },
    )


def _platform(row: Platform) -> Telling:
    standing = "enrolled" if row.enabled else "retired"
    return Telling(noun="platform", standing=standing, subject_id=row.id, platform_id=row.id, facts={"name": row.name})


def _endpoint(row: Endpoint) -> Telling:
    return Telling(
        noun="endpoint",
        standing=row.state,
        subject_id=row.id,
        platform_id=row.platform_id,
        facts={"purpose": str(row.purpose), "url": row.url},
    )


def _right(row: Right) -> Telling | None:
    if row.state is RightState.ABSENT:
        return None
    return Telling(
        noun="right",
        standing=row.state,
        subject_id=f"{row.platform_id}/{row.capability}",
        platform_id=row.platform_id,
        facts={"capability": row.capability, "request": row.request},
    )


def _passage(row: Passage) -> Telling:
    opener = row.principal.removeprefix("platform:") if row.principal.startswith("platform:") else None
    return Telling(
        noun="passage",
        standing="opened" if row.ended_at_s is None else "ended",
        subject_id=row.id,
        platform_id=row.platform_id,
        partner_id=None if opener in (None, row.platform_id) else PlatformId(opener or ""),
        facts={"kind": str(row.kind), "connection": row.connection_id, "reason": row.end_reason},
    )


def _token(row: Token) -> Telling:
    # Its owner is not told: whoever holds a stolen one should not hear of what is done about it.
    standing = "issued" if row.revoked_at_s is None else "revoked"
    return Telling(noun="token", standing=standing, subject_id=row.id, facts={"role": str(row.role), "name": row.name})


def _webhook(row: Webhook) -> Telling:
    # Without its URL: that may hold what only its owner shall know, and this event goes to other receivers.
    return Telling(
        noun="webhook",
        standing=row.state,
        subject_id=row.id,
        platform_id=PlatformId(row.subject_id) if row.audience is Audience.PLATFORM else None,
        project_id=ProjectId(row.subject_id) if row.audience is Audience.PROJECT else None,
        facts={"reason": row.reason},
    )


def _quota(row: Quota) -> Telling:
    return Telling(
        noun="quota",
        standing="set",
        subject_id=row.id,
        project_id=ProjectId(row.id) if row.id.startswith("project_") else None,
        facts={name: getattr(row, name) for name in Quota.LIMITS},
    )


def _budget(row: Budget) -> Telling:
    return Telling(
        noun="budget",
        standing="set",
        subject_id=row.id,
        project_id=ProjectId(row.id) if row.id.startswith("project_") else None,
        facts={
            "amount": row.amount,
            "currency": row.currency,
            "stops_orders": row.stops_orders,
            "stops_machines": row.stops_machines,
        },
    )


def _approval(row: Approval) -> Telling:
    return Telling(
        noun="approval",
        standing=row.state,
        subject_id=row.id,
        project_id=row.project_id,
        facts={
            "order": row.order_id,
            "offer": row.offer_id,
            "price": row.price,
            "asked_by": row.asked_by,
            "votes": row.votes,
            "expires_at_s": row.expires_at_s,
            "reason": row.reason,
        },
    )


def _approval_rule(row: ApprovalRule) -> Telling:
    return Telling(
        noun="approval-rule",
        standing="set",
        subject_id=row.id,
        project_id=ProjectId(row.holder_id) if row.holder_id.startswith("project_") else None,
        facts={"name": row.name, "needed": row.needed, "over": row.over, "currency": row.currency},
    )


def _schedule(row: Schedule) -> Telling:
    return Telling(
        noun="schedule",
        standing="set",
        subject_id=row.id,
        project_id=row.project_id,
        facts={"zone": row.zone, "windows": row.windows, "machine": row.machine_id},
    )
