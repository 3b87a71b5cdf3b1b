"""``crossway site``, ``relay`` and ``link``: the transport network as an admin declares it."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.door import Door, Key, Limit, NameOrId, NamesOrIds, Yes, remote
from gateway.cli.exits import CliError
from gateway.cli.host_key_file import host_key_in
from gateway.cli.output import Column
from gateway.cli.pairs import pairs_of

sites = typer.Typer(help="Places where relays and platforms are.")
relays = typer.Typer(help="Hosts that forward.")
links = typer.Typer(help="Which sites may dial which.")

Risk = Annotated[float | None, typer.Option(min=0, help="Points, by your judgement; see the weight risk.")]
RiskGroups = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD", help="What it shares its fate with: an operator, a building; repeatable."),
]

_SITES = (
    Column("NAME", "name"),
    Column("REGION", "region"),
    Column("COUNTRY", "country"),
    Column("LATITUDE", "latitude"),
    Column("LONGITUDE", "longitude"),
    Column("ID", "id"),
)
_RELAYS = (
    Column("NAME", "name"),
    Column("SITE", "site"),
    Column("ADDRESS", lambda relay: f"{relay.get('user')}@{relay.get('host')}:{relay.get('port')}"),
    Column("ENABLED", "enabled"),
    Column("PERMITS", lambda relay: _state_of(relay.get("permits"))),
    Column("RISK", "risk"),
    Column("SHARES FATE WITH", "risk_groups"),
    Column("ID", "id"),
)
_LINKS = (
    Column("SOURCE", "source"),
    Column("TARGET", "target"),
    Column("BOTH WAYS", "both_ways"),
    Column("USD/GB", "price_usd_per_gb"),
    Column("MBIT/S", "capacity_mbps"),
    Column("ID", "id"),
)


@remote(sites, "add")
def add_site(
    door: Door,
    *,
    name: Annotated[str, typer.Argument()],
    region: Annotated[str | None, typer.Option(help="Such as eu-central.")] = None,
    latitude: Annotated[float | None, typer.Option(help="Degrees, north positive.")] = None,
    longitude: Annotated[float | None, typer.Option(help="Degrees, east positive.")] = None,
    country: Annotated[str | None, typer.Option(help="ISO 3166-1 code, such as DE.")] = None,
) -> None:
    """Declare a site."""
    door.show(
        door.client.sites.create(name=name, region=region, latitude=latitude, longitude=longitude, country=country)
    )


@remote(sites, "list")
def list_sites(door: Door, *, limit: Limit = None) -> None:
    """List the sites."""
    door.show_list(door.client.sites.list(), _SITES, limit)


@remote(sites, "show")
def show_site(door: Door, *, site: NameOrId) -> None:
    """Show one site."""
    door.show(door.client.sites.get(site))


@remote(sites, "set")
def set_site(
    door: Door,
    *,
    site: NameOrId,
    region: Annotated[str | None, typer.Option(help="Such as eu-central.")] = None,
    latitude: Annotated[float | None, typer.Option(help="Degrees, north positive.")] = None,
    longitude: Annotated[float | None, typer.Option(help="Degrees, east positive.")] = None,
    country: Annotated[str | None, typer.Option(help="ISO 3166-1 code, such as DE.")] = None,
) -> None:
    """Change what is named and keep the rest."""
    door.show(door.client.sites.set(site, region=region, latitude=latitude, longitude=longitude, country=country))


@remote(sites, "remove")
def remove_sites(door: Door, *, site: NamesOrIds, yes: Yes = False) -> None:
    """Forget sites that nothing stands on any more."""
    door.confirm(f"remove {', '.join(site)}", yes=yes)
    door.each(site, door.client.sites.remove)


@remote(relays, "add")
def add_relay(
    door: Door,
    *,
    name: Annotated[str, typer.Argument()],
    site: Annotated[str, typer.Option(help="Where it stands.")],
    host: Annotated[str, typer.Option(help="Name or address to dial.")],
    user: Annotated[str, typer.Option(help="Whom to log in as.")],
    host_key_file: Annotated[Path, typer.Option(help="Its OpenSSH public host key (one line), as ssh-keyscan has it.")],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 22,
    address_from: Annotated[
        list[str] | None, typer.Option(metavar="SITE=HOST:PORT", help="What to dial from that site; repeatable.")
    ] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Declare it without using it yet.")] = False,
    risk: Risk = None,
    risk_group: RiskGroups = None,
) -> None:
    """Declare a relay and pin its host key."""
    door.show(
        door.client.relays.create(
            name=name,
            site=site,
            host=host,
            port=port,
            user=user,
            host_key=host_key_in(host_key_file),
            addresses_from=pairs_of(address_from, "--address-from"),
            enabled=not disabled,
            risk=risk,
            risk_groups=risk_group,
        )
    )


@remote(relays, "list")
def list_relays(door: Door, *, limit: Limit = None) -> None:
    """List the relays."""
    door.show_list(door.client.relays.list(), _RELAYS, limit)


@remote(relays, "show")
def show_relay(door: Door, *, relay: NameOrId) -> None:
    """Show one relay."""
    door.show(door.client.relays.get(relay))


@remote(relays, "set")
def set_relay(
    door: Door,
    *,
    relay: NameOrId,
    host: Annotated[str | None, typer.Option(help="Name or address to dial.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    user: Annotated[str | None, typer.Option(help="Whom to log in as.")] = None,
    host_key_file: Annotated[Path | None, typer.Option(help="Its new host key, verified by you; it is pinned.")] = None,
    risk: Risk = None,
    risk_group: RiskGroups = None,
    no_risk_groups: Annotated[bool, typer.Option("--no-risk-groups", help="Take it out of all its groups.")] = False,
    caretaker: Annotated[str | None, typer.Option(help="The account that keeps its list of addresses.")] = None,
    login: Annotated[str | None, typer.Option(metavar="key|certificate", help="What it is shown.")] = None,
    also_permitted: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="Permitted beyond what follows; repeatable.")
    ] = None,
) -> None:
    """Change what is named and keep the rest; the groups named replace all it had."""
    if no_risk_groups and risk_group:
        raise CliError("--risk-group and --no-risk-groups contradict each other")
    changed = door.client.relays.set(
        relay,
        host=host,
        port=port,
        user=user,
        host_key=None if host_key_file is None else host_key_in(host_key_file),
        risk=risk,
        risk_groups=[] if no_risk_groups else risk_group,
        caretaker=caretaker,
        login=login,
        also_permitted=also_permitted,
    )
    door.show(changed)


@remote(relays, "enable")
def enable_relays(door: Door, *, relay: NamesOrIds) -> None:
    """Let new routes use relays again."""
    door.each(relay, lambda key: door.client.relays.set_enabled(key, enabled=True), _RELAYS)


@remote(relays, "disable")
def disable_relays(door: Door, *, relay: NamesOrIds) -> None:
    """Keep new routes away from relays."""
    door.each(relay, lambda key: door.client.relays.set_enabled(key, enabled=False), _RELAYS)


@remote(relays, "remove")
def remove_relays(door: Door, *, relay: NamesOrIds, yes: Yes = False) -> None:
    """Forget relays."""
    door.confirm(f"remove {', '.join(relay)}", yes=yes)
    door.each(relay, door.client.relays.remove)


@remote(links, "add")
def add_link(
    door: Door,
    *,
    source: Annotated[str, typer.Argument(metavar="SITE")],
    target: Annotated[str, typer.Argument(metavar="SITE")],
    one_way: Annotated[bool, typer.Option("--one-way", help="Only from the first to the second.")] = False,
    price_usd_per_gb: Annotated[float | None, typer.Option("--price-usd-per-gb", min=0)] = None,
    capacity_mbps: Annotated[
        float | None, typer.Option("--capacity-mbps", min=0, help="What you know of its throughput, in Mbit/s.")
    ] = None,
) -> None:
    """Declare that hosts of the first site may dial hosts of the second, and back."""
    link = door.client.links.create(
        source=source,
        target=target,
        both_ways=not one_way,
        price_usd_per_gb=price_usd_per_gb,
        capacity_mbps=capacity_mbps,
    )
    door.show(link)


@remote(links, "list")
def list_links(door: Door, *, limit: Limit = None) -> None:
    """List the links."""
    door.show_list(door.client.links.list(), _LINKS, limit)


@remote(links, "remove")
def remove_link(door: Door, *, link: Key) -> None:
    """Forget a link."""
    door.client.links.remove(link)


def _state_of(permits: object) -> str:
    return str(permits.get("state", "")) if isinstance(permits, dict) else ""
