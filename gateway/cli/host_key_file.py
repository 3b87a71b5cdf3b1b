"""Read a host key from a file, as ssh-keyscan or an admin wrote it there."""

from pathlib import Path

from gateway.cli.exits import CliError

_TYPES = ("ssh-", "ecdsa-", "sk-")


def host_key_in(path: Path) -> str:
    """Return the one key in ``path`` as ``type base64``, with its comment. Raises CliError for none or several."""
    try:
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"cannot read the host key from {path}") from error
    if any("PRIVATE KEY" in line for line in lines):
        raise CliError(f"{path} is a private key", fix=f"the public one, which stands in {path}.pub")
    # ssh-keyscan puts the host before the key; a key begins with its type.
    keys = [
        words[at:] for words in map(str.split, lines) for at in (0, 1) if words[at:] and words[at].startswith(_TYPES)
    ]
    if len(keys) != 1:
        raise CliError(
            f"{path} holds {len(keys)} host keys instead of one", fix="keep the line of one key, checked by hand"
        )
    return " ".join(keys[0])
