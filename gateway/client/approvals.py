"""Approvals of orders, and the rules that ask for them, through the API."""

from collections.abc import Sequence
from typing import Any

from gateway.client.collection import Collection, given
from gateway.client.resources import Resource, Stateful


class Approval(Stateful):
    """A question about an order; ``requirements`` says who has approved for which rule, ``votes`` who said what."""

    order: str
    project: str
    offer: str
    platform: str
    asked_by: str
    price: dict[str, Any] | None
    requirements: list[dict[str, Any]]
    votes: list[dict[str, Any]]
    expires_at: str
    ended_at: str | None


class ApprovalRule(Resource):
    """Which orders need how many approvals of whom; ``holder`` "" is everybody's orders."""

    name: str
    holder: str
    over: str | None
    currency: str | None
    offers: list[str]
    platforms: list[str]
    needed: int
    approvers: list[str]
    allows_own: bool
    wait_s: float
    set_by_admin: bool


class Approvals(Collection[Approval]):
    """What was asked about the orders of the own projects; a gateway-wide role sees all."""

    def approve(self, key: str, *, comment: str = "") -> Approval:
        """Approve; an answer stands. The order goes on once everybody who is needed has."""
        return self._act(key, "approve", body={"comment": comment})

    def deny(self, key: str, *, comment: str = "") -> Approval:
        """Deny: the order ends."""
        return self._act(key, "deny", body={"comment": comment})


class ApprovalRules(Collection[ApprovalRule]):
    """The rules that were made for the own projects and organisations; an admin sees all."""

    def create(
        self,
        *,
        name: str,
        approvers: Sequence[str],
        needed: int = 1,
        holder: str | None = None,
        over: str | None = None,
        currency: str | None = None,
        offers: Sequence[str] = (),
        platforms: Sequence[str] = (),
        allows_own: bool = False,
        wait_s: float | None = None,
    ) -> ApprovalRule:
        """Let orders of ``holder`` (None: everybody's) that are all that is named need so many of ``approvers``."""
        body = given(holder=holder, over=over, currency=currency, wait_s=wait_s)
        lists = {"approvers": list(approvers), "offers": list(offers), "platforms": list(platforms)}
        return self._create({**body, **lists, "name": name, "needed": needed, "allows_own": allows_own})

    def remove(self, key: str) -> None:
        """Remove a rule; what waits because of it alone goes on."""
        self._remove(key)
