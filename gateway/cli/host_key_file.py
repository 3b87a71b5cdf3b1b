"""Read a host key from a file, as ssh-keyscan or an admin wrote it there."""

from pathlib import Path

from gateway.cli.exits import CliError


def host_key_in(path: Path) -> str:
    """Return the one key in ``path`` as ``type base64``, with its comment. Raises CliError for none or several."""
    try:
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"cannot read the host key from {path}") from error
    if len(lines) != 1:
        raise CliError(
            f"{path} holds {len(lines)} keys instead of one", fix="keep the line of one key, checked by hand"
        )
    words = lines[0].split()
    # ssh-keyscan puts the host before the key; a key begins with its type.
    return " ".join(words if words[0].startswith(("ssh-", "ecdsa-", "sk-")) else words[1:])
