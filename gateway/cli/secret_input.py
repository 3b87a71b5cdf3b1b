"""Take a secret from a file, stdin or a prompt: never from an argument, where every process list shows it."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.cli.exits import CliError

# Longer than any token or cloud secret (a certificate with its key included).
LIMIT_BYTES = 65_536


def read_secret(what: str, source: str | None, *, may_ask: bool) -> str:
    """Return the secret called ``what`` from the file ``source`` ("-" = stdin), or ask for it on the terminal.

    White space around it is dropped, for editors end files with a newline. Raises CliError when there is none.
    """
    text = _asked(what, may_ask=may_ask) if source is None else _read(what, source)
    text = text.strip()
    if not text:
        raise CliError(f"the {what} is empty")
    return text


def read_token(source: str) -> str:
    """Return the bearer token in the file ``source`` ("-" = stdin). Raises CliError when it cannot be one."""
    return checked_token(read_secret("token", source, may_ask=False), source)


def checked_token(text: str, source: str) -> str:
    """Return ``text`` if it can stand in a header. Raises CliError naming ``source``, never showing the text."""
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise CliError(f"what {source} holds is not a token", fix="give the token text alone, on one line")
    return text


@contextmanager
def kept_secret(path: Path | None) -> Iterator[Callable[[str], None] | None]:
    """Give a writer for a new file that only its owner may read; None when there is no ``path``.

    The file is made before the block begins, so that nothing is issued that could not be kept, and removed when the
    block did not write it. Raises CliError when it cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CliError(f"cannot create {path}: {error.strerror}", fix="name a file that does not exist yet") from error
    with os.fdopen(handle, "w") as file:

        def keep(text: str) -> None:
            file.write(f"{text}\n")

        try:
            yield keep
        finally:
            if not file.tell():
                path.unlink()


def _read(what: str, source: str) -> str:
    try:
        if source == "-":
            raw = sys.stdin.buffer.read(LIMIT_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                raw = file.read(LIMIT_BYTES + 1)
        text = raw.decode()
    except OSError as error:
        raise CliError(f"cannot read the {what} from {source}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise CliError(f"the {what} in {source} is not text") from None
    if len(raw) > LIMIT_BYTES:
        raise CliError(f"the {what} in {source} is longer than {LIMIT_BYTES} bytes")
    return text


def _asked(what: str, *, may_ask: bool) -> str:
    if not (may_ask and sys.stdin.isatty()):
        raise CliError(f"the {what} is missing", fix="name a file that holds it, or - for stdin")
    from getpass import getpass  # noqa: PLC0415 - only a human at a terminal is asked

    return getpass(f"{what}: ", stream=sys.stderr)
