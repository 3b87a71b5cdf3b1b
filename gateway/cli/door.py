"""What every command that speaks to a gateway shares: where it is, who asks, how to answer.

``remote`` registers such a command. The shared options are added to each, so that they may stand where people
write them, after the verb; an error ends the command with its exit code and no traceback.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.contexts import contexts_path, load
from gateway.cli.exits import CliError, ExitCode, exit_code_of, lines_of
from gateway.cli.output import Column, Format, note, show
from gateway.cli.secret_input import checked_token, read_secret, read_token
from gateway.client import Client, ClientError
from gateway.client.address import AddressInvalid, parse_address
from gateway.client.wire import Exchange

DEFAULT_SERVER = "http://127.0.0.1:8780"

Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is settled.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="How long --wait waits, in seconds.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Show at most so many.")]
State = Annotated[str | None, typer.Option("--state", help="Only those in this state.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether you are sure.")]
Key = Annotated[str, typer.Argument(metavar="ID")]
NameOrId = Annotated[str, typer.Argument(metavar="NAME|ID")]
Keys = Annotated[list[str], typer.Argument(metavar="ID...")]
NamesOrIds = Annotated[list[str], typer.Argument(metavar="NAME|ID...")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeat with the same key: it happens once.")
]
TokenOut = Annotated[
    Path | None, typer.Option("--token-out", help="Write the token to this new file (0600) instead of stdout.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A gateway as one command sees it."""

    client: Client
    format: Format = Format.TABLE
    may_ask: bool = True

    def show(self, value: object, columns: Sequence[Column] = ()) -> None:
        """Write ``value`` as data, in the format asked for."""
        show(value, self.format, columns)

    def show_list(self, items: Iterable[object], columns: Sequence[Column], limit: int | None = None) -> None:
        """Write the items, at most ``limit`` of them, as data."""
        self.show(list(islice(items, limit)), columns)

    def secret(self, what: str, source: str | None) -> str:
        """Return a secret from the file ``source`` ("-" = stdin) or the terminal. Raises CliError."""
        return read_secret(what, source, may_ask=self.may_ask)

    def confirm(self, deed: str, *, yes: bool) -> None:
        """Ask whether ``deed`` is meant, if a human is there and did not say ``yes``. Raises typer.Abort."""
        if not yes and self.may_ask and sys.stdin.isatty():
            typer.confirm(f"{deed}?", abort=True, err=True)

    def each(self, keys: Sequence[str], deed: Callable[[str], object], columns: Sequence[Column] | None = None) -> None:
        """Do ``deed`` to every key; what fails does not keep the others from it. With ``columns``, show the results.

        Raises the error itself when there was one key only. Otherwise the failures are told on stderr and
        CliError says PARTIAL, or what the first one was when nothing succeeded.
        """
        done, failures = [], []
        for key in keys:
            try:
                done.append(deed(key))
            except ClientError as error:
                if len(keys) == 1:
                    raise
                failures.append(error)
                note(f"{key}:", *lines_of(error))
        if columns is not None and done:
            self.show(done, columns)
        if failures:
            code = ExitCode.PARTIAL if done else exit_code_of(failures[0])
            raise CliError(f"{len(failures)} of {len(keys)} failed", code=code)


def remote(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], object]:
    """Register the decorated function as command ``name``; it gets a Door and its own arguments.

    A shared option that the function declares itself is its own, and means what it says there.
    It may raise ClientError and CliError: the command then ends with the exit code that belongs to the error.
    """

    def register(work: Callable[..., None]) -> object:
        own = list(inspect.signature(work).parameters.values())[1:]
        added = {name: each for name, each in _SHARED.items() if name not in {mine.name for mine in own}}

        def command(**arguments: Any) -> None:
            shared = {each: arguments.pop(each) for each in added}
            guarded(lambda: work(_door(**shared), **arguments))

        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *added.values())]
        # typer reads both: the options are the function's own and the shared ones.
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        command.__doc__ = work.__doc__
        return app.command(name)(command)

    return register


def guarded(work: Callable[[], None]) -> None:
    """Do ``work``. An expected error is told on stderr and ends the program with its exit code."""
    try:
        work()
    except (ClientError, CliError) as error:
        note(*lines_of(error))
        raise typer.Exit(exit_code_of(error)) from error


def _shared(
    *,
    output: Annotated[
        Format, typer.Option("--output", "-o", envvar="CROSSWAY_OUTPUT", help="How to write the data.")
    ] = Format.TABLE,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            envvar="CROSSWAY_SERVER",
            help=f"http://host:port, https://host or unix:/path (default: the context's, else {DEFAULT_SERVER}).",
        ),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            "--token-file",
            envvar="CROSSWAY_TOKEN_FILE",
            help="File that holds the token, - for stdin (default: CROSSWAY_TOKEN, else the context's).",
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", envvar="CROSSWAY_CONTEXT", help="Which context to use.")
    ] = None,
    http_timeout: Annotated[
        float,
        typer.Option("--http-timeout", envvar="CROSSWAY_HTTP_TIMEOUT", min=0.1, help="Longest silence, in seconds."),
    ] = 30.0,
    log_http: Annotated[
        bool, typer.Option("--log-http", envvar="CROSSWAY_LOG_HTTP", help="Show every request on stderr.")
    ] = False,
    no_input: Annotated[
        bool, typer.Option("--no-input", envvar="CROSSWAY_NO_INPUT", help="Never ask anything.")
    ] = False,
) -> None:
    """Declare the shared options; only the signature is used."""


_SHARED = dict(inspect.signature(_shared).parameters)


def _door(
    *,
    output: Format = Format.TABLE,
    server: str | None,
    token_file: str | None,
    context: str | None,
    http_timeout: float,
    log_http: bool,
    no_input: bool,
) -> Door:
    address, token = _whom_to_ask(server, token_file, context)
    client = Client(address, token, timeout_s=http_timeout, **({"on_exchange": _tell} if log_http else {}))
    if token is not None and not client.wire.address.is_local and client.wire.address.kind == "http":
        note(f"warning: the token travels to {client.wire.address} in clear text; use https or an SSH forward")
    return Door(client=client, format=output, may_ask=not no_input)


def _whom_to_ask(server: str | None, token_file: str | None, context: str | None) -> tuple[str, str | None]:
    """Return the server and the token to show it, by the order that the options' help promises."""
    contexts = load(contexts_path())
    chosen = contexts.in_use if context is None else contexts.named(context)
    address = server or (chosen.server if chosen else DEFAULT_SERVER)
    try:
        asked = parse_address(address)
        if token_file is not None:
            return address, read_token(token_file)
        if from_environment := os.environ.get("CROSSWAY_TOKEN"):
            return address, checked_token(from_environment.strip(), "CROSSWAY_TOKEN")
        # A context's token goes to that context's gateway and to nobody else.
        known_here = chosen is not None and parse_address(chosen.server) == asked
    except AddressInvalid as error:
        raise CliError(str(error)) from error
    return address, chosen.token if chosen is not None and known_here else None


def _tell(exchange: Exchange) -> None:
    status = exchange.status or "no answer"
    note(
        f"{exchange.method} {exchange.path} -> {status} in {exchange.elapsed_ms:.0f} ms {exchange.request_id}".rstrip()
    )
