"""``crossway grant`` and ``grant rule``: what platforms granted, and what is accepted by itself."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.door import Door, Key, Keys, Limit, State, Yes, guarded, remote
from gateway.cli.durations import seconds_if_given
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column

grants = typer.Typer(help="What platforms granted.")
rules = typer.Typer(help="Standing rules: what is accepted by itself.")
grants.add_typer(rules, name="rule")

_GRANTS = (
    Column("ID", "id"),
    Column("PLATFORM", "platform"),
    Column("CAPABILITY", "capability"),
    Column("VERBS", "verbs"),
    Column("QUOTA", "quota"),
    Column("EXPIRES", "expires_at"),
    Column("STATE", "state"),
)
_TERMS = (
    Column("NUMBER", "number"),
    Column("GIVEN", "given_at"),
    Column("SUPERSEDED", "superseded_at"),
    Column("REASON", "reason"),
    Column("TERMS", "terms"),
)
_RULES = (Column("ID", "id"), Column("PLATFORM", "platform"), Column("CAPABILITY", "capability"))


@remote(grants, "list")
def list_grants(
    door: Door,
    *,
    state: State = None,
    capability: Annotated[str | None, typer.Option(help="Only this capability's, such as machine.")] = None,
    limit: Limit = None,
) -> None:
    """List the grants."""
    door.show_list(door.client.grants.list(state=state, capability=capability), _GRANTS, limit)


@remote(grants, "show")
def show_grant(door: Door, *, grant: Key) -> None:
    """Show one grant, its evidence and what proved it."""
    door.show(door.client.grants.get(grant))


@remote(grants, "accept")
def accept(door: Door, *, grant: Keys) -> None:
    """Accept grants: they become offers."""
    door.each(grant, door.client.grants.accept, _GRANTS)


@remote(grants, "ask")
def ask(door: Door, *, grant: Keys) -> None:
    """Ask the owner for grants that were proposed, denied or have ended."""
    door.each(grant, door.client.grants.ask, _GRANTS)


@remote(grants, "answer")
def answer(
    door: Door,
    *,
    grant: Key,
    decision: Annotated[str, typer.Argument(metavar="grant|deny")],
    verb: Annotated[list[str] | None, typer.Option("--verb", help="Only these; left out, all.")] = None,
    quota: Annotated[int | None, typer.Option(min=1, help="Machines at once.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="vCPU over all machines at once.")] = None,
    memory_gib: Annotated[int | None, typer.Option(min=1, help="Memory over all machines at once.")] = None,
    calls_per_minute: Annotated[int | None, typer.Option(min=10, help="Calls of this capability.")] = None,
    expires_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="From now, such as 12h or 7d; left out, no end.")
    ] = None,
    on_end: Annotated[str | None, typer.Option(help="What becomes of machines: keep, drain or destroy.")] = None,
    wind_down: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long they may stay, such as 12h or 7d.")
    ] = None,
) -> None:
    """Grant, narrow or deny, as the platform's owner; it takes effect at once."""
    terms = {
        "verbs": verb,
        "quota": quota,
        "cores": cores,
        "memory_gib": memory_gib,
        "calls_per_minute": calls_per_minute,
        "expires_after_s": seconds_if_given(expires_after),
        "on_end": on_end,
        "wind_down_s": seconds_if_given(wind_down),
    }
    door.show(door.client.grants.answer(grant, decision, **terms))


@remote(grants, "link")
def link(
    door: Door,
    *,
    grant: Key,
    expires_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="From now, such as 12h or 7d; left out, three days.")
    ] = None,
) -> None:
    """Make a link by which a grant is answered in a browser, once, by whoever holds it; the one before ends."""
    made = door.client.grants.link(grant, expires_after_s=seconds_if_given(expires_after))
    address = door.client.wire.address
    # Where the gateway is spoken to by a socket, only its admin knows how browsers reach it.
    door.show(made if address.kind == "unix" else {**made, "url": f"{address.origin}{made['path']}"})


@remote(grants, "refuse")
def refuse(door: Door, *, grant: Keys) -> None:
    """Refuse grants."""
    door.each(grant, door.client.grants.refuse, _GRANTS)


@remote(grants, "revoke")
def revoke(door: Door, *, grant: Keys, yes: Yes = False) -> None:
    """Take accepted grants back: their offers are withdrawn."""
    door.confirm(f"revoke {', '.join(grant)}", yes=yes)
    door.each(grant, door.client.grants.revoke, _GRANTS)


@remote(grants, "suspend")
def suspend(door: Door, *, grant: Keys) -> None:
    """Hold accepted grants back: their offers are withdrawn until you resume them."""
    door.each(grant, door.client.grants.suspend, _GRANTS)


@remote(grants, "resume")
def resume(door: Door, *, grant: Keys) -> None:
    """Let go of grants that your side holds back."""
    door.each(grant, door.client.grants.resume, _GRANTS)


@remote(grants, "history")
def show_history(door: Door, *, grant: Key, limit: Limit = None) -> None:
    """List every version of a grant's terms, and when and why each went out of force."""
    door.show_list(door.client.grants.history(grant), _TERMS, limit)


@grants.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The evidence of one version, from: grant history.")],
    *,
    key: Annotated[str, typer.Option("--key", help="The platform's public key, in base64.")],
    platform: Annotated[str | None, typer.Option("--platform", help="The platform that must have signed it.")] = None,
    gateway: Annotated[str | None, typer.Option("--gateway", help="The gateway that it must be for.")] = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Only a number above this one will do.")] = 0,
) -> None:
    """Prove a platform's signed decision: forged, for others, replaced or over; needs no gateway."""
    guarded(lambda: _verify(file, key=key, platform=platform, gateway=gateway, after=after))


def _verify(file: Path, *, key: str, platform: str | None, gateway: str | None, after: int) -> None:
    from gateway import grant_file  # noqa: PLC0415 - brings the catalog along, which other commands must not wait for
    from gateway.grant_file import CloudMisbehaved  # noqa: PLC0415

    try:
        proved = grant_file.verify(file, key=key, platform=platform, gateway=gateway, after=after)
    except CloudMisbehaved as error:
        raise CliError(f"NOT PROVEN: {error}", code=ExitCode.FAILED) from error
    except OSError as error:
        raise CliError(f"{error.filename} cannot be read: {error.strerror}") from error
    lines = ", ".join(grant_file.in_words(line) for line in proved.granted)
    print(f"proven: {proved.platform} grants {lines} to {proved.gateway}, number {proved.serial}")


@remote(rules, "add")
def add_rule(
    door: Door,
    *,
    platform: Annotated[str, typer.Option(help="A platform's name; '*' is any.")],
    capability: Annotated[str, typer.Option(help="Such as machine; '*' is any.")],
) -> None:
    """Accept from now on what a platform grants for a capability."""
    door.show(door.client.grant_rules.create(platform=platform, capability=capability))


@remote(rules, "list")
def list_rules(door: Door, *, limit: Limit = None) -> None:
    """List the standing rules."""
    door.show_list(door.client.grant_rules.list(), _RULES, limit)


@remote(rules, "remove")
def remove_rules(door: Door, *, rule: Keys) -> None:
    """Stop accepting by rules; what they accepted stays."""
    door.each(rule, door.client.grant_rules.remove)
