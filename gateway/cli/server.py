"""Commands that are a server, not a client: the only module here that reaches into the rest of the house.

Each imports its implementation when it runs; whatever else starts must not pay for aiohttp, asyncssh or scapy.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

server = typer.Typer()
connector = typer.Typer(help="The platform owner's side.")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="CROSSWAY_CONFIG", help="The settings file; else defaults and environment."),
]
ConnectorConfig = Annotated[
    Path, typer.Option("--config", "-c", envvar="CROSSWAY_CONNECTOR_CONFIG", help="The connector's settings file.")
]


@server.command("serve")
def serve(config: Config = None) -> None:
    """Run the gateway until it is told to stop."""
    # numpy's own threads, which nothing here uses, would keep the privileges that the gateway gives up at its start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from gateway import programs  # noqa: PLC0415

    raise typer.Exit(programs.serve(config, confine=True))


@server.command("provision")
def provision(config: Config = None) -> None:
    """Run the provisioner, the application that creates machines, until it is told to stop."""
    from gateway import programs  # noqa: PLC0415

    raise typer.Exit(programs.provision(config, confine=True))


@server.command("migrate")
def migrate(config: Config = None) -> None:
    """Bring the database to the schema of this version."""
    from gateway import programs  # noqa: PLC0415

    raise typer.Exit(programs.migrate(config))


@server.command("check")
def check(config: Config = None) -> None:
    """Say what is wrong with the settings and what they point at, without starting anything."""
    from gateway import programs  # noqa: PLC0415

    raise typer.Exit(programs.check(config))


@server.command("demo")
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the summary instead of staying up.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON report to stdout, progress to stderr.")] = False,
    no_namespaces: Annotated[
        bool, typer.Option("--no-namespaces", help="Use delaying proxies on loopback instead of namespaces.")
    ] = False,
) -> None:
    """Show everything at work: relays, clouds, routes, tunnels, the catalog, orders and a pool."""
    from gateway.demo import main  # noqa: PLC0415

    raise typer.Exit(main.run(once=once, json_report=json, namespaces=not no_namespaces))


@connector.command("init")
def connector_init(
    config: ConnectorConfig,
    *,
    platform: Annotated[str, typer.Option(help="The name your platform is enrolled under.")],
    provider: Annotated[str, typer.Option(help="What it is, such as ec2 or openstack.")],
    gateway_key: Annotated[
        str, typer.Option(help="The gateway that may ask: what `crossway gateway-key` prints there.")
    ],
    region: Annotated[str, typer.Option()] = "",
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the connector listens.")] = "127.0.0.1:8790",
    grant: Annotated[
        list[str] | None, typer.Option(metavar="CAPABILITY", help="Granted when asked for; repeatable.")
    ] = None,
    ask: Annotated[
        list[str] | None, typer.Option(metavar="CAPABILITY", help="Waits for your answer; repeatable.")
    ] = None,
    public_key_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the public key here instead of to standard output.")
    ] = None,
) -> None:
    """Write a first settings file and print the platform's public key, for its enrolment."""
    from gateway import programs  # noqa: PLC0415
    from gateway.connector import commands  # noqa: PLC0415
    from gateway.connector.first_file import FirstFile  # noqa: PLC0415

    first = FirstFile(
        platform=platform, provider=provider, region=region, gateway_key=gateway_key, listen=listen,
        granted=grant or (), asked=ask or (),
    )  # fmt: skip
    raise typer.Exit(commands.init(config, first, programs.provider_names(), public_key_out))


@connector.command("serve")
def connector_serve(config: ConnectorConfig) -> None:
    """Answer the gateway until told to stop; SIGHUP reads the policy again."""
    _connector("serve", config)


@connector.command("pending")
def connector_pending(config: ConnectorConfig) -> None:
    """List what waits for your decision."""
    _connector("pending", config)


@connector.command("answer")
def connector_answer(
    config: ConnectorConfig,
    request: Annotated[str, typer.Argument(metavar="REQUEST")],
    capability: Annotated[str, typer.Argument(metavar="CAPABILITY")],
    decision: Annotated[str, typer.Argument(metavar="grant|deny")],
) -> None:
    """Grant or deny one capability of a request; the gateway learns it when it asks again."""
    _connector("answer", config, request, capability, decision)


@connector.command("shown")
def connector_shown(
    config: ConnectorConfig,
    request: Annotated[str, typer.Argument(metavar="REQUEST")],
    capability: Annotated[str, typer.Argument(metavar="CAPABILITY")],
) -> None:
    """Print what the approvers of a request sign, byte by byte: the terms, and between whom."""
    _connector("shown", config, request, capability)


@connector.command("approve")
def connector_approve(
    config: ConnectorConfig,
    request: Annotated[str, typer.Argument(metavar="REQUEST")],
    capability: Annotated[str, typer.Argument(metavar="CAPABILITY")],
    *,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="Sign here, with this key (PEM, 0600).")] = None,
    key: Annotated[str | None, typer.Option("--key", help="The approver's public key, in base64.")] = None,
    signature: Annotated[str | None, typer.Option("--signature", help="Of what `shown` prints.")] = None,
) -> None:
    """Approve a request whose rule takes several approvals; with enough of them it is granted when asked next."""
    given = {"--key-file": key_file and str(key_file), "--key": key, "--signature": signature}
    options = [f"{name}={value}" for name, value in given.items() if value]
    _connector("approve", config, request, capability, options=options)


@connector.command("approver-key")
def connector_approver_key(config: ConnectorConfig, *, key_file: Annotated[Path, typer.Option("--key-file")]) -> None:
    """Print an approver's public key, for `approvals` in the policy; it is made if there is none."""
    _connector("approver-key", config, options=[f"--key-file={key_file}"])


@connector.command("key")
def connector_key(config: ConnectorConfig) -> None:
    """Print the platform's public key, for its enrolment; it is made if there is none."""
    _connector("key", config)


@connector.command("dial-key")
def connector_dial_key(config: ConnectorConfig) -> None:
    """Print the SSH key by which the connector dials out to relays; it is made if there is none."""
    _connector("dial-key", config)


def _connector(verb: str, config: Path, *words: str, options: Sequence[str] = ()) -> None:
    from gateway.connector import commands  # noqa: PLC0415

    # Words of the user's come after "--", so that none of them is read as an option.
    sys.stdout.flush()
    raise typer.Exit(commands.main([verb, "--config", str(config), *options, *(["--", *words] if words else [])]))
