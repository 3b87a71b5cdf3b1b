"""The one secret that gateway and provisioners share, and the SSH keys that both sides derive from it.

Whoever has the file may call clouds as far as the grants allow, and is believed to be the gateway by provisioners.
"""

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import InvalidSettings
from gateway.relays.ssh_keys import ssh_key_of
from gateway.secret_files import read_secret

FIELD = "provision.secret_file"
_SECRET_BYTES = 32
_COPY = "copy the file of that name from the gateway's state directory, where a start makes it; mode 600"


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressKeys:
    """What the gateway proves itself with, and what its provisioners do."""

    gateway: asyncssh.SSHKey
    provisioner: asyncssh.SSHKey

    @classmethod
    def load_or_create(cls, path: Path) -> "EgressKeys":
        """Read the secret, made first where there is none. Raises InvalidSettings."""
        if not path.exists():
            draft = path.with_name(f"{path.name}.draft")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(base64.b64encode(secrets.token_bytes(_SECRET_BYTES)) + b"\n")
            draft.replace(path)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> "EgressKeys":
        """Read the secret. Raises InvalidSettings when it is missing, can be read by others, or is no such secret."""
        if not path.exists():
            raise InvalidSettings(
                f"there is no {path}, the secret that gateway and provisioners share", field=FIELD, fix=_COPY
            )
        try:
            secret = base64.b64decode(read_secret(path, field=FIELD).reveal(), validate=True)
        except ValueError:  # not base64, or not even ASCII
            secret = b""
        if len(secret) != _SECRET_BYTES:
            raise InvalidSettings(f"{path} does not hold what gateway and provisioners share", field=FIELD, fix=_COPY)
        return cls(gateway=_derived(secret, b"gateway"), provisioner=_derived(secret, b"provisioner"))


def _derived(secret: bytes, whose: bytes) -> asyncssh.SSHKey:
    seed = HKDF(hashes.SHA256(), length=32, salt=None, info=b"crossway egress 1 " + whose).derive(secret)
    return ssh_key_of(Ed25519PrivateKey.from_private_bytes(seed))
