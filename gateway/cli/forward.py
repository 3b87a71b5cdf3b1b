"""``crossway forward``: streams to a host of a platform's network, by a socket, a port or standard input and output."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.door import Door, remote
from gateway.cli.exits import CliError, ExitCode, lines_of
from gateway.cli.output import note
from gateway.client import ClientError

top = typer.Typer()

_LAST_PORT = 65_535


@remote(top, "forward")
def forward(
    door: Door,
    *,
    platform: Annotated[str, typer.Argument(metavar="PLATFORM", help="Into whose network.")],
    to: Annotated[str, typer.Argument(metavar="HOST:PORT", help="What to reach there; names are resolved there.")],
    socket: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="Listen at a unix socket of mode 0600.")
    ] = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Use standard input and output (ssh -o ProxyCommand=…).")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=_LAST_PORT,
            help="Listen at a loopback port (0: any) that serves your own uid only; refused where that cannot be told.",
        ),
    ] = None,
) -> None:
    """Reach a host of a platform's network, within what its owner grants; until Ctrl-C, or the stream's end."""
    if sum((socket is not None, stdio, port is not None)) != 1:
        raise CliError("say how the stream is wanted", fix="one of --socket PATH, --stdio, --port N")
    host, number = _host_and_port(to)
    # Imported when it runs: no other command pays for what speaks WebSockets.
    from gateway.streams import forward as streams  # noqa: PLC0415
    from gateway.streams.dial import StreamDialer, Target  # noqa: PLC0415
    from gateway.streams.doors import DoorUnusable, loopback_port, unix_socket  # noqa: PLC0415
    from gateway.streams.wire import StreamBroken  # noqa: PLC0415

    wire = door.client.wire
    dialer, target = StreamDialer(server=wire.address), Target(platform=platform, host=host, port=number)

    def headers() -> Mapping[str, str]:
        return {} if wire.token is None else {"Authorization": f"Bearer {wire.token}"}

    try:
        if stdio:
            streams.run_until_signal(lambda: streams.forward_standard(dialer, target, headers))
            return
        with unix_socket(socket) if socket is not None else loopback_port(port or 0) as listener:
            at = f"unix:{socket}" if socket is not None else f"127.0.0.1:{listener.getsockname()[1]}"
            door.show({"listening": at, "platform": platform, "to": f"{host}:{number}"})
            streams.run_until_signal(
                lambda: streams.forward_from(listener, dialer, target, headers, told=lambda error: _tell(error, to))
            )
    except DoorUnusable as error:
        raise CliError(str(error), code=ExitCode.FAILED, fix=error.fix) from error
    except StreamBroken as error:
        raise CliError(f"the stream to {to} ended: {error}", code=ExitCode.FAILED) from error


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, number = text.rpartition(":")
    if not host or not number.isascii() or not number.isdecimal() or not 1 <= int(number) <= _LAST_PORT:
        raise CliError(f"{text!r} is not HOST:PORT", fix="such as 10.0.0.5:22, db.internal:5432, [fd00::5]:22")
    return host.removeprefix("[").removesuffix("]"), int(number)


def _tell(error: Exception, to: str) -> None:
    lines = lines_of(error) if isinstance(error, ClientError) else [str(error)]
    note(f"a stream to {to} ended:", *lines)
