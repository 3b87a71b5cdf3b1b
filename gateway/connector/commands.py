"""What the platform's owner types: run the connector, see what waits, answer it, show the platform's public key."""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from catalog.errors import CatalogError, InvalidValue
from catalog.messages.handshake import public_text
from catalog.messages.quorum import Approval
from catalog.messages.quorum import approve as sign_approval
from catalog.messages.signing_key import load_key, load_or_create_key
from gateway.clock import SystemClock
from gateway.connector import first_file
from gateway.connector.first_file import FirstFile
from gateway.connector.going_out import ssh_public_line
from gateway.connector.policy import Verdict
from gateway.connector.server import Connector
from gateway.connector.settings import read_settings
from gateway.connector.state import PendingRequest, State

_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_NOT_DONE = 1
_WRONG_INPUT = 2


def serve(config_path: Path) -> None:
    """Answer the gateway until SIGTERM or SIGINT; SIGHUP reads the policy again.

    Raises InvalidValue when the file, the key, the decisions or the address cannot be used.
    """
    asyncio.run(_serve(Connector(config_path, SystemClock())))


async def _serve(connector: Connector) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, connector.reload)
    # The ports first: one that cannot be had is told before anything else begins.
    async with connector.joining() as joins, connector.listening() as (host, port), asyncio.TaskGroup() as tasks:
        outward = tasks.create_task(connector.go_out(joins))
        # One line for whoever started us, as the other server programs print it.
        print(json.dumps({"listening": [host, port]}), flush=True)  # noqa: T201
        await stop.wait()
        outward.cancel()


def list_pending(config_path: Path) -> Sequence[PendingRequest]:
    """Return what waits for the owner, oldest first; the connector may be running meanwhile."""
    return State(read_settings(config_path).state_file).pending()


def answer(config_path: Path, request_id: str, capability: str, decision: str) -> None:
    """Note the owner's ``decision`` ("grant" or "deny"); the gateway learns it when it asks again.

    Raises InvalidValue for another word, NotFound for an unknown request or capability, WrongState when it is
    already decided.
    """
    if decision not in (Verdict.GRANT, Verdict.DENY):
        raise InvalidValue("the decision must be grant or deny", field="decision", fix="grant or deny")
    state = State(read_settings(config_path).state_file)
    state.answer(request_id=request_id, capability=capability, verdict=Verdict(decision), now_s=SystemClock().now_s())


def shown(config_path: Path, request_id: str, capability: str) -> bytes:
    """Return what approvers sign. Raises NotFound unless the request waits for approvals."""
    return State(read_settings(config_path).state_file).shown(request_id, capability)


def approve(config_path: Path, request_id: str, capability: str, approval: Approval) -> None:
    """Keep an approval, given here or elsewhere; see ``State.approve``."""
    State(read_settings(config_path).state_file).approve(request_id, capability, approval)


def public_key(config_path: Path) -> str:
    """Return the platform's public key in base64, as its enrolment wants it; creates the key if there is none."""
    return public_text(load_or_create_key(read_settings(config_path).key_file).public_key())


def dial_key(config_path: Path) -> str:
    """Return the SSH public key by which the connector dials out, as a relay's admin wants it; creates it if missing.

    Raises InvalidValue when the file says nothing of dialling out.
    """
    plan = read_settings(config_path).outward.dial_out
    if plan is None:
        raise InvalidValue("the file has no [dial_out]", field="dial_out", fix="see config/connector.example.toml")
    return ssh_public_line(load_or_create_key(plan.key_file))


def init(config_path: Path, first: FirstFile, providers: Collection[str], key_out: Path | None = None) -> int:
    """Write the first settings file, make the platform's key, write its public half to ``key_out`` or standard output.

    Returns the exit code. What is at ``key_out`` stays as it is unless the settings file was written.
    """
    try:
        first_file.write(config_path, first, providers)
        line = public_key(config_path) + "\n"
        if key_out is None:
            sys.stdout.write(line)
        else:
            key_out.write_text(line, encoding="ascii")
    except OSError as error:
        again = f"crossway connector key --config {config_path}"
        unwritten = InvalidValue(f"{error.filename} cannot be written: {error.strerror}", field="key-out", fix=again)
        return _complain(unwritten, _WRONG_INPUT)
    except InvalidValue as error:
        return _complain(error, _WRONG_INPUT)
    except CatalogError as error:
        return _complain(error, _NOT_DONE)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``crossway connector`` with ``argv`` and return its exit code: 0 done, 1 not done, 2 wrong input or file."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.config is None:
        parser.error("--config is needed: the connector's TOML file")
    try:
        _run(arguments)
    except InvalidValue as error:
        return _complain(error, _WRONG_INPUT)
    except CatalogError as error:
        return _complain(error, _NOT_DONE)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="crossway connector", description=__doc__)
    _add_config(parser, default=None)
    commands = parser.add_subparsers(dest="command")
    decide = commands.add_parser("answer", help="grant or deny one capability of a request")
    decide.add_argument("request")
    decide.add_argument("capability")
    decide.add_argument("decision", choices=("grant", "deny"))
    look = commands.add_parser("shown", help="print what approvers of a request sign, byte by byte")
    look.add_argument("request")
    look.add_argument("capability")
    sign = commands.add_parser("approve", help="approve a request: sign here, or bring a signature made elsewhere")
    sign.add_argument("request")
    sign.add_argument("capability")
    sign.add_argument("--key-file", type=Path, help="the approver's Ed25519 key (PEM, 0600)")
    sign.add_argument("--key", help="the approver's public key, in base64, with --signature")
    sign.add_argument("--signature", help="of what `shown` prints, in base64")
    make = commands.add_parser("approver-key", help="print an approver's public key; it is made if there is none")
    make.add_argument("--key-file", type=Path, required=True, help="the approver's Ed25519 key (PEM, 0600)")
    for command in (
        decide,
        make,
        look,
        sign,
        commands.add_parser("serve", help="answer the gateway (the default)"),
        commands.add_parser("pending", help="list what waits for you"),
        commands.add_parser("key", help="print this platform's public key"),
        commands.add_parser("dial-key", help="print the SSH key by which this connector dials out to relays"),
    ):
        # Suppressed, because a default here would overwrite what was given before the sub-command.
        _add_config(command, default=argparse.SUPPRESS)
    return parser


def _add_config(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help="the connector's TOML file")


def _run(arguments: argparse.Namespace) -> None:
    if arguments.command == "pending":
        for item in list_pending(arguments.config):
            state = f"answered: {item.answered}" if item.answered else "waits for you"
            sys.stdout.write(f"{item.request_id}  {item.capability}  {','.join(item.verbs)}  {item.gateway}  {state}\n")
    elif arguments.command == "answer":
        answer(arguments.config, arguments.request, arguments.capability, arguments.decision)
    elif arguments.command == "approver-key":
        sys.stdout.write(public_text(load_or_create_key(arguments.key_file).public_key()) + "\n")
    elif arguments.command == "shown":
        sys.stdout.buffer.write(shown(arguments.config, arguments.request, arguments.capability))
    elif arguments.command == "approve":
        approve(arguments.config, arguments.request, arguments.capability, _approval(arguments))
    elif arguments.command == "key":
        sys.stdout.write(public_key(arguments.config) + "\n")
    elif arguments.command == "dial-key":
        sys.stdout.write(dial_key(arguments.config) + "\n")
    else:
        _log_to_stderr()
        serve(arguments.config)


def _approval(arguments: argparse.Namespace) -> Approval:
    if arguments.key_file is not None:
        key = load_key(arguments.key_file)
        return sign_approval(key, shown(arguments.config, arguments.request, arguments.capability))
    if not (arguments.key and arguments.signature):
        raise InvalidValue("an approval is signed", field="key_file", fix="--key-file, or --key and --signature")
    return Approval(key=arguments.key, signature=arguments.signature)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Facts("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # It tells every channel at INFO, peers' addresses and all.
    logging.getLogger("asyncssh").setLevel(logging.WARNING)


class _Facts(logging.Formatter):
    """The message, then the facts of ``extra`` as JSON, which also keeps control characters out of the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the name is logging's
        facts = {key: value for key, value in vars(record).items() if key not in _PLAIN_RECORD}
        return f"{super().formatMessage(record)} {json.dumps(facts, default=str) if facts else ''}".rstrip()


def _complain(error: CatalogError, code: int) -> int:
    fix = f"\n{error.fix}" if error.fix else ""
    sys.stderr.write(f"crossway connector: {error}{fix}\n")
    return code
