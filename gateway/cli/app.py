"""The whole command line, put together."""

from importlib.metadata import version
from typing import Annotated

import typer

from gateway.cli import (
    access,
    accounts,
    approval,
    audit,
    beside,
    budget,
    catalog,
    connection,
    context,
    events,
    forward,
    grant,
    lease,
    machine,
    net,
    network,
    order,
    passage,
    platform,
    pool,
    price,
    provider,
    queue,
    quota,
    relay_bootstrap,
    relay_doctor,
    relay_pins,
    reverse_exits,
    route,
    schedule,
    search,
    server,
    sessions,
    tenancy,
    volume,
    webhook,
    weights,
)

app = typer.Typer(
    name="crossway",
    help="One gateway through which a company runs all its clouds, public and private, near and far.",
    no_args_is_help=True,
    # Plain help and errors: rich costs 0.2 s, and its panels are hard to read in a pipe.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # Every option has an environment variable: CROSSWAY_<NOUN>_<VERB>_<OPTION>.
    context_settings={"auto_envvar_prefix": "CROSSWAY", "help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 denied, 6 timed out waiting, "
    "7 partly failed, 8 server unreachable.",
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer gives an option's value so
    if wanted:
        print(f"crossway {version('crossway')}")
        raise typer.Exit


@app.callback()
def crossway(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """One gateway through which a company runs all its clouds, public and private, near and far."""


for _more in (relay_bootstrap.commands, relay_doctor.commands, relay_pins.commands):
    network.relays.add_typer(_more)
for _commands in (server.server, access.top, sessions.top, passage.top, forward.top, events.top):
    app.add_typer(_commands)
for _name, _noun in {
    "platform": platform.platforms,
    "provider": provider.providers,
    "enrolment": platform.enrolments,
    "connection": connection.connections,
    "route": route.routes,
    "net": net.net,
    "site": network.sites,
    "relay": network.relays,
    "link": network.links,
    "weights": weights.weights,
    "ssh-key": relay_doctor.ssh_key,
    "exit": reverse_exits.exits,
    "grant": grant.grants,
    "catalog": catalog.catalog,
    "search": search.search,
    "price": price.prices,
    "quota": quota.quotas,
    "budget": budget.budgets,
    "cost": budget.costs,
    "lease": lease.leases,
    "order": order.orders,
    "approval": approval.approvals,
    "pool": pool.pools,
    "machine": machine.machines,
    "volume": volume.volumes,
    "snapshot": volume.snapshots,
    "container": beside.containers,
    "zone": beside.zones,
    "record": beside.records,
    "balancer": beside.balancers,
    "schedule": schedule.schedules,
    "org": tenancy.organisations,
    "project": tenancy.projects,
    "session": sessions.sessions,
    "user": accounts.users,
    "service-account": accounts.services,
    "member": accounts.members,
    "token": access.tokens,
    "context": context.contexts,
    "passage": passage.passages,
    "audit": audit.audit,
    "webhook": webhook.webhooks,
    "queue": queue.queue,
    "connector": server.connector,
}.items():
    app.add_typer(_noun, name=_name, no_args_is_help=True)
