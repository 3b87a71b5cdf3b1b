"""``crossway audit``: who did what, and the proof that nobody changed it since."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.door import Door, Limit, guarded, remote
from gateway.cli.exits import CliError, ExitCode
from gateway.cli.output import Column, note

audit = typer.Typer(help="Who did what, chained and signed.")

_RECORDS = (
    Column("SEQ", "seq"),
    Column("AT", lambda record: _time(record["at_ms"])),
    Column("ACTOR", "actor"),
    Column("NAME", "actor_name"),
    Column("ACTION", "action"),
    Column("SUBJECT", "subject"),
    Column("RESULT", "result"),
    Column("CODE", "code"),
)


@remote(audit, "list")
def list_audit(
    door: Door,
    *,
    actor: Annotated[str | None, typer.Option("--actor", help="Such as admin, or member:ID.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Such as place_order.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Only what was done to the thing with this id.")
    ] = None,
    limit: Limit = None,
) -> None:
    """List who did what, the oldest first."""
    door.show_list(door.client.audit.list(actor=actor, action=action, subject=subject), _RECORDS, limit)


@remote(audit, "export")
def export(door: Door, *, file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")]) -> None:
    """Write the whole log to a file that can be verified without the gateway."""
    from gateway import audit_file  # noqa: PLC0415 - brings the catalog along, which other commands must not wait for

    end = door.client.audit.sign()
    key = door.client.whoami().get("gateway", {}).get("gateway_key", "")
    try:
        written = audit_file.write(
            file,
            public_key=key,
            records=door.client.audit.list(),
            checkpoints=door.client.audit.checkpoints(),
            end=end,
        )
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror}") from error
    note(f"{written} records in {file}")


@audit.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of: crossway audit export.")],
    *,
    key: Annotated[str | None, typer.Option("--key", help="The gateway's public key, in base64.")] = None,
    witness: Annotated[
        Path | None,
        typer.Option("--witness", help="An older export, from a safe place, that this one must go on from."),
    ] = None,
) -> None:
    """Find any record that was altered, removed, moved or cut off; needs no gateway."""
    guarded(lambda: _verify(file, key, witness))


def _verify(file: Path, key: str | None, witness: Path | None) -> None:
    from gateway import audit_file  # noqa: PLC0415 - see export
    from gateway.audit_file import ChainBroken, InvalidValue  # noqa: PLC0415

    try:
        verdict = audit_file.verify(file, key, witness)
    except ChainBroken as error:
        raise CliError(f"NOT SOUND: {error}", code=ExitCode.FAILED) from error
    except InvalidValue as error:
        raise CliError(f"{error} ({error.fix})") from error
    except OSError as error:
        raise CliError(f"{error.filename} cannot be read: {error.strerror}") from error
    if key is None:
        note("the key is the file's own word: compare it, or give --key")
    print(f"sound: {verdict.records} records, {verdict.checkpoints} signatures, ends with {verdict.digest}")


def _time(at_ms: object) -> str:
    return datetime.fromtimestamp(int(str(at_ms)) / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
