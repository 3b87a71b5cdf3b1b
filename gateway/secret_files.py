"""Secrets that the settings name by a file, so that neither the settings nor the environment hold them."""

from pathlib import Path

from catalog.secrets import Secret
from gateway.errors import InvalidSettings


def read_secret(path: Path, *, field: str) -> Secret:
    """Return what the file holds. Raises InvalidSettings when it cannot be read, or can be read by others."""
    try:
        if path.stat().st_mode & 0o077:
            raise InvalidSettings(f"others may read {path}", field=field, fix=f"chmod 600 {path}")
        return Secret(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise InvalidSettings(
            f"{path} cannot be read: {error.strerror}", field=field, fix="a file of mode 600"
        ) from error
