"""``crossway platform`` and ``enrolment``: clouds and how they come to take part."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from gateway.cli.door import Door, Limit, NameOrId, NamesOrIds, TokenOut, Yes, remote
from gateway.cli.durations import seconds_if_given
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column
from gateway.cli.pairs import pairs_of
from gateway.cli.secret_input import checked_token, kept_secret

platforms = typer.Typer(help="The clouds that take part.")
enrolments = typer.Typer(help="One-time permissions to enrol a platform.")

_PLATFORMS = (
    Column("NAME", "name"),
    Column("PROVIDER", "provider"),
    Column("SITE", "site"),
    Column("REGION", "region"),
    Column("ACCOUNT", "account"),
    Column("ID", "id"),
)
_MACHINES = (
    Column("CLOUD ID", "cloud_id"),
    Column("NAME", "name"),
    Column("STATUS", "status"),
    Column("SIZE", "size"),
    Column("ADDRESSES", "addresses"),
    Column("MACHINE", "machine"),
    Column("CUSTODY", "custody"),
    Column("PROJECT", "project"),
    Column("STEERED BY", "claimed_by"),
)
_RIGHTS = (
    Column("CAPABILITY", "capability"),
    Column("STATE", "state"),
    Column("PROOF", "request"),
    Column("DETAIL", "detail"),
    Column("PROVED", "proved_at"),
    Column("REQUEST ID", "request_id"),
)

SecretFile = Annotated[
    str | None, typer.Option("--secret-file", help="File that holds the account's secret, - for stdin; else asked for.")
]
DialsFrom = Annotated[
    list[str] | None, typer.Option("--dial-from", metavar="SITE=HOST:PORT", help="From that site; repeatable.")
]
ServiceUrls = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="KIND=URL", help="A service on another host or port than the API; repeatable."),
]


@remote(enrolments, "create")
def create_enrolment(
    door: Door,
    *,
    platform: Annotated[str, typer.Argument(metavar="PLATFORM", help="The name it will enrol under.")],
    api_url: Annotated[str, typer.Option(help="URL of the cloud's API.")],
    api_dial: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="What to dial for it, if not what its URL says.")
    ] = None,
    api_dial_from: Annotated[list[str] | None, typer.Option(metavar="SITE=HOST:PORT")] = None,
    api_ca_file: Annotated[Path | None, typer.Option(help="Its and its services' private CA, PEM.")] = None,
    service: ServiceUrls = None,
    service_dial: Annotated[
        list[str] | None, typer.Option(metavar="KIND=HOST:PORT", help="What to dial for it, if not what its URL says.")
    ] = None,
    connector_url: Annotated[str | None, typer.Option(help="URL of the owner's connector.")] = None,
    connector_dial: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="What to dial for it, if not what its URL says.")
    ] = None,
    connector_dial_from: Annotated[list[str] | None, typer.Option(metavar="SITE=HOST:PORT")] = None,
    connector_ca_file: Annotated[Path | None, typer.Option(help="Its private CA, PEM.")] = None,
    expires_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="From now, such as 12h or 7d; left out, one day.")
    ] = None,
    token_out: TokenOut = None,
) -> None:
    """Approve the endpoints of a platform that is yet to enrol, and issue its one-time token."""
    if connector_url is None and connector_dial is not None:
        raise CliError("--connector-dial goes with no --connector-url")
    endpoints = [_approval("api", api_url, api_dial, api_dial_from, api_ca_file)]
    if connector_url is not None:
        endpoints.append(_approval("connector", connector_url, connector_dial, connector_dial_from, connector_ca_file))
    endpoints += _services(pairs_of(service, "--service"), pairs_of(service_dial, "--service-dial"), api_ca_file)
    with kept_secret(token_out) as keep:
        enrolment = door.client.enrolments.create(
            platform_name=platform, endpoints=endpoints, ttl_s=seconds_if_given(expires_after)
        )
        show_once(door, dict(enrolment), keep)


@remote(platforms, "enrol")
def enrol(
    door: Door,
    *,
    name: Annotated[str, typer.Argument()],
    provider: Annotated[str, typer.Option(help="A libcloud provider, such as ec2.")],
    site: Annotated[str, typer.Option(help="Where it is.")],
    account: Annotated[str, typer.Option(help="Its primary account (for EC2 the access key id).")],
    api_url: Annotated[str, typer.Option(help="URL of its API, as in the enrolment.")],
    enrolment_token_file: Annotated[
        str | None, typer.Option(help="File that holds the one-time token, - for stdin; else asked for.")
    ] = None,
    secret_file: SecretFile = None,
    region: Annotated[str | None, typer.Option()] = None,
    api_ca_file: Annotated[Path | None, typer.Option(help="The API's and its services' private CA, PEM.")] = None,
    service: ServiceUrls = None,
    connector_url: Annotated[str | None, typer.Option(help="URL of your connector.")] = None,
    connector_ca_file: Annotated[Path | None, typer.Option(help="The connector's private CA, PEM.")] = None,
    public_key_file: Annotated[Path | None, typer.Option(help="What `crossway connector key` prints.")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="For the driver; repeatable.")] = None,
    token_out: TokenOut = None,
) -> None:
    """Enrol your platform with the one-time token an admin gave you; the answer holds your own token."""
    if enrolment_token_file == "-" and secret_file == "-":  # noqa: S105 - "-" is stdin
        raise CliError("only one of --enrolment-token-file and --secret-file can be stdin")
    token = checked_token(door.secret("enrolment token", enrolment_token_file), "--enrolment-token-file")
    services = pairs_of(service, "--service") or {}
    with kept_secret(token_out) as keep:
        platform = door.client.platforms.enrol(
            enrolment_token=token,
            name=name,
            provider=provider,
            site=site,
            account=account,
            secret=door.secret("account's secret", secret_file),
            api=_endpoint(api_url, api_ca_file),
            connector=None if connector_url is None else _endpoint(connector_url, connector_ca_file),
            services={kind: _endpoint(url, api_ca_file) for kind, url in services.items()},
            region=region,
            public_key=None if public_key_file is None else _text(public_key_file),
            options=pairs_of(option, "--option"),
        )
        show_once(door, dict(platform), keep)


@remote(platforms, "list")
def list_platforms(door: Door, *, limit: Limit = None) -> None:
    """List the platforms."""
    door.show_list(door.client.platforms.list(), _PLATFORMS, limit)


@remote(platforms, "show")
def show_platform(door: Door, *, platform: NameOrId) -> None:
    """Show one platform; its secret is never shown."""
    door.show(door.client.platforms.get(platform))


@remote(platforms, "rights")
def show_rights(door: Door, *, platform: NameOrId) -> None:
    """Show what a platform's account can do, as it was last proved, and what could be asked for."""
    door.show_list(door.client.platforms.rights(platform), _RIGHTS)


@remote(platforms, "machines")
def show_machines(door: Door, *, platform: NameOrId, limit: Limit = None) -> None:
    """List the machines at a platform, ours and others', as its cloud listed them last."""
    door.show_list(door.client.platforms.machines(platform), _MACHINES, limit)


@remote(platforms, "approve-endpoint")
def approve_endpoint(
    door: Door,
    *,
    platform: NameOrId,
    purpose: Annotated[str, typer.Argument(metavar="api|connector|KIND")],
    dial: Annotated[str, typer.Option(metavar="HOST:PORT", help="What to dial for its URL.")],
    dial_from: DialsFrom = None,
) -> None:
    """Approve where to dial for the URL that the owner proposed."""
    dials_from = pairs_of(dial_from, "--dial-from")
    approved = door.client.platforms.approve_endpoint(platform, purpose=purpose, dial=dial, dials_from=dials_from)
    door.show(approved)


@remote(platforms, "set-secret")
def set_secret(door: Door, *, platform: NameOrId, secret_file: SecretFile = None) -> None:
    """Replace the account's secret."""
    door.show(door.client.platforms.set_secret(platform, door.secret("account's secret", secret_file)))


@remote(platforms, "issue-token")
def issue_token(
    door: Door,
    *,
    platform: NameOrId,
    expires_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="From now, such as 12h or 7d; left out, no end.")
    ] = None,
    token_out: TokenOut = None,
) -> None:
    """Issue a platform another token, because its own is lost; revoke the lost one with `token revoke`."""
    with kept_secret(token_out) as keep:
        token = door.client.tokens.create(
            role="platform", name=f"platform {platform}", platform=platform, ttl_s=seconds_if_given(expires_after)
        )
        show_once(door, dict(token), keep)


@remote(platforms, "remove")
def remove_platforms(door: Door, *, platform: NamesOrIds, yes: Yes = False) -> None:
    """Retire platforms: their sealed credentials are deleted, their tokens revoked."""
    door.confirm(f"remove {', '.join(platform)}", yes=yes)
    door.each(platform, door.client.platforms.remove)


def show_once(door: Door, issued: dict[str, object], keep: Callable[[str], None] | None) -> None:
    """Show what holds a token that is shown once; with ``keep`` the token goes there and is not shown.

    Raises CliError when the text is missing: it was in an answer that never arrived.
    """
    token = issued.get("token")
    if not isinstance(token, str):
        door.show(issued)
        fix = "revoke it and issue another"
        raise CliError("the token exists, but its text was lost on the way", code=ExitCode.FAILED, fix=fix)
    if keep is not None:
        keep(token)
        del issued["token"]
    door.show(issued)


def _approval(
    purpose: str, url: str, dial: str | None, dials_from: list[str] | None, ca_file: Path | None
) -> dict[str, object]:
    dialled = _address(purpose, url) if dial is None else dial
    approval: dict[str, object] = {"purpose": purpose, "dial": dialled, **_endpoint(url, ca_file)}
    if dials_from:
        approval["dials_from"] = pairs_of(dials_from, f"--{purpose}-dial-from")
    return approval


def _services(
    urls: dict[str, str] | None, dials: dict[str, str] | None, ca_file: Path | None
) -> list[dict[str, object]]:
    """Return the approvals of services, each dialled where its own URL leads unless something else is said."""
    urls, dials = urls or {}, dials or {}
    if unknown := sorted(set(dials) - set(urls)):
        raise CliError(f"--service-dial {unknown[0]} goes with no --service", fix=f"--service {unknown[0]}=URL")
    return [_approval(kind, url, dials.get(kind), None, ca_file) for kind, url in urls.items()]


def _address(purpose: str, url: str) -> str:
    """Return what ``url`` itself leads to, as host:port."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname:
        raise CliError(f"{url} of {purpose} is not the URL of an API", fix="https://NAME:PORT")
    return f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"


def _endpoint(url: str, ca_file: Path | None) -> dict[str, object]:
    return {"url": url} if ca_file is None else {"url": url, "ca_pem": _text(ca_file)}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"cannot read {path}") from error
