"""``crossway approval``: orders that wait for somebody's yes, and the rules that make them wait."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli.door import Door, Key, Keys, Limit, State, Yes, remote
from gateway.cli.durations import seconds_of
from gateway.cli.output import Column
from gateway.cli.search import price_text

approvals = typer.Typer(help="Orders that wait for approval.")
rules = typer.Typer(help="Which orders need whose approval.")
approvals.add_typer(rules, name="rule", no_args_is_help=True)

Comment = Annotated[str, typer.Option(help="Kept with the order, and shown to its project.")]


def _standing(approval: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{each['name']}: {len(each['approved_by'])} of {each['needed']}"
        + (f" ({', '.join(each['approved_by'])})" if each["approved_by"] else "")
        for each in approval["requirements"]
    )


def said(approval: Mapping[str, Any]) -> str:
    """Return who said what, as one line."""
    return "; ".join(
        f"{each['name']} {'approved' if each['verdict'] == 'approve' else 'denied'} at {each['at']}"
        + (f": {each['comment']}" if each["comment"] else "")
        for each in approval["votes"]
    )


COLUMNS = (
    Column("ID", "id"),
    Column("ORDER", "order"),
    Column("PLATFORM", "platform"),
    Column("PRICE", lambda each: price_text(each.get("price"))),
    Column("STATE", "state"),
    Column("NEEDS", _standing),
    Column("SAID", said),
    Column("EXPIRES", "expires_at"),
    Column("REASON", "reason"),
)
_RULES = (
    Column("ID", "id"),
    Column("NAME", "name"),
    Column("WHOSE", lambda each: str(each["holder"] or "everybody's")),
    Column("OVER", lambda each: "" if each["over"] is None else f"{each['over']} {each['currency']}"),
    Column("PLATFORMS", "platforms"),
    Column("OFFERS", "offers"),
    Column("NEEDED", "needed"),
    Column("OF", "approvers"),
)


@remote(approvals, "list")
def list_approvals(
    door: Door,
    *,
    state: State = "waiting",
    order: Annotated[str | None, typer.Option(help="Only those about this order.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    limit: Limit = None,
) -> None:
    """List what waits for approval."""
    door.show_list(door.client.approvals.list(state=None if every else state, order=order), COLUMNS, limit)


@remote(approvals, "show")
def show_approval(door: Door, *, approval: Key) -> None:
    """Show what is asked, and who has answered what."""
    door.show(door.client.approvals.get(approval))


@remote(approvals, "approve")
def approve(door: Door, *, approval: Keys, comment: Comment = "") -> None:
    """Approve. An answer stands; the order goes on once everybody who is needed has approved."""
    door.each(approval, lambda key: door.client.approvals.approve(key, comment=comment), COLUMNS)


@remote(approvals, "deny")
def deny(door: Door, *, approval: Keys, comment: Comment = "") -> None:
    """Deny: the order ends."""
    door.each(approval, lambda key: door.client.approvals.deny(key, comment=comment), COLUMNS)


@remote(rules, "list")
def list_rules(door: Door, *, limit: Limit = None) -> None:
    """List the rules."""
    door.show_list(door.client.approval_rules.list(), _RULES, limit)


@remote(rules, "show")
def show_rule(door: Door, *, rule: Key) -> None:
    """Show a rule."""
    door.show(door.client.approval_rules.get(rule))


@remote(rules, "add")
def add_rule(
    door: Door,
    *,
    name: Annotated[str, typer.Argument(help="What approvers read: why they are asked.")],
    by: Annotated[
        list[str],
        typer.Option(help="Who may approve: a user's name, an account's id, role:owner, role:member, role:admin."),
    ],
    needed: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    holder: Annotated[
        str | None, typer.Option(metavar="ORG/PROJECT|ORG", help="Whose orders; left out: everybody's.")
    ] = None,
    over: Annotated[
        str | None, typer.Option(help="Only orders that cost more a month, or nobody knows what; with --currency.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Its ISO 4217 code.")] = None,
    platform: Annotated[list[str] | None, typer.Option(help="Only orders at this platform; repeatable.")] = None,
    offer: Annotated[list[str] | None, typer.Option(help="Only orders of this offer, by id; repeatable.")] = None,
    allow_own: Annotated[bool, typer.Option("--allow-own", help="Who ordered may be one of them.")] = False,
    within: Annotated[str, typer.Option(metavar="TIME", help="So long an order waits; then it fails.")] = "7d",
) -> None:
    """Let orders that are all that is named need approval; naming nothing, every order does."""
    rule = door.client.approval_rules.create(
        name=name,
        approvers=by,
        needed=needed,
        holder=holder,
        over=over,
        currency=currency,
        offers=offer or (),
        platforms=platform or (),
        allows_own=allow_own,
        wait_s=seconds_of(within),
    )
    door.show(rule)


@remote(rules, "remove")
def remove_rule(door: Door, *, rule: Key, yes: Yes = False) -> None:
    """Remove a rule; what waits because of it alone goes on."""
    door.confirm(f"Remove the rule {rule}", yes=yes)
    door.client.approval_rules.remove(rule)
