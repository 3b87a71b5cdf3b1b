"""The shell script that makes a host a relay: two locked-down accounts, and how the second keeps the first's list.

The script is ``account.sh`` and the program that it installs ``caretaker.sh``; what is filled in passed a grammar.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from catalog.addresses import ssh_public_key
from catalog.errors import InvalidValue

ACCOUNT = "crossway"
_HERE = Path(__file__).parent
# What useradd, sudo's rules and a file name all take as it is.
_ACCOUNT = re.compile(r"[a-z][a-z0-9-]{0,19}", re.ASCII)


def caretaker_of(account: str) -> str:
    """Return the name of the account that may rewrite the list of ``account``. Raises InvalidValue for a bad name."""
    if not _ACCOUNT.fullmatch(account):
        raise InvalidValue(
            "this cannot be a relay's account", field="account", fix="a-z 0-9 -, beginning with a letter, at most 20"
        )
    return f"{account}-caretaker"


def account_script(account: str, lines: Sequence[str], caretaker_key: str) -> str:
    """Return the POSIX shell script, to be run as root at the relay; with the argument ``remove`` it takes all away.

    ``lines`` are those of the key file (``catalog.permits.key_lines``), ``caretaker_key`` is the public key that may
    replace them. Raises InvalidValue for a bad name or key.
    """
    given = {
        "account": account,
        "caretaker": caretaker_of(account),
        "caretaker_key": ssh_public_key(caretaker_key, field="caretaker_key"),
    }
    head = "".join(f"{name}={shlex.quote(text)}\n" for name, text in given.items())
    program = (_HERE / "caretaker.sh").read_text(encoding="ascii")
    listed = "".join(f"{line}\n" for line in lines)
    return (
        f"#!/bin/sh\n{head}{_document('lines', listed)}{_document('program_text', program)}"
        f"{(_HERE / 'account.sh').read_text(encoding='ascii')}"
    )


def _document(name: str, text: str) -> str:
    """Return a shell function that prints ``text`` as it is."""
    return f"{name}() {{\n  cat <<'CROSSWAY'\n{text}CROSSWAY\n}}\n"
