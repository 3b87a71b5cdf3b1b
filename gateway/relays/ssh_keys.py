"""The SSH keys of this gateway: the one shown to relays, the next one, the caretakers' and the certificate authority.

Each is a file of mode 0600. A key is changed without an outage: the next one stands in a file of its own and is let in
beside the one in use until every relay has proved to take it; then one rename makes it the key in use. Whatever dies
in between, the files say where to go on.
"""

from pathlib import Path

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from catalog.errors import WrongState
from catalog.messages.signing_key import load_or_create_key
from catalog.relay_care import GatewayKeys
from routing.tunnel.policy import TunnelCredentials

SSH_KEY_FILE = "ssh_key"
NEXT_KEY_FILE = "ssh_key.next"
CARETAKER_KEY_FILE = "ssh_caretaker_key"
AUTHORITY_KEY_FILE = "ssh_authority_key"


class SshKeys:
    """The keys in ``state_dir``; what is missing is made. Belongs to one event loop.

    ``credentials`` is what hops log in with, ``caretaker`` what key files are written with; both stay the same objects
    when a key is changed.
    """

    def __init__(self, state_dir: Path) -> None:
        """Load the keys. Raises InvalidValue when one can be read by others."""
        self._state_dir = state_dir
        authority = self._load(AUTHORITY_KEY_FILE)
        self.credentials = TunnelCredentials(client_key=self._load(SSH_KEY_FILE), authority=authority)
        self.caretaker = TunnelCredentials(client_key=self._load(CARETAKER_KEY_FILE))
        self._authority = authority
        self._next = self._load(NEXT_KEY_FILE) if (state_dir / NEXT_KEY_FILE).exists() else None

    def public(self) -> GatewayKeys:
        """Return the public keys as they are now."""
        shown = public_line(self.credentials.client_key)
        return GatewayKeys(
            shown=shown,
            accepted=(shown,) if self._next is None else (shown, public_line(self._next)),
            authority=public_line(self._authority),
            caretaker=public_line(self.caretaker.client_key),
        )

    @property
    def next_credentials(self) -> TunnelCredentials | None:
        """What hops are to log in with next; None while no change is under way."""
        return None if self._next is None else TunnelCredentials(client_key=self._next, authority=self._authority)

    def prepare_next(self) -> None:
        """Make the next key, durably. May be repeated: the same key stays the next one."""
        self._next = self._load(NEXT_KEY_FILE)

    def forget_next(self) -> None:
        """Give the change up. May be repeated."""
        (self._state_dir / NEXT_KEY_FILE).unlink(missing_ok=True)
        self._next = None

    def use_next(self) -> None:
        """Make the next key the one in use; the one before is gone. Raises WrongState when there is none."""
        if self._next is None:
            raise WrongState("no next key was made", fix="begin the change first: crossway ssh-key rotate")
        (self._state_dir / NEXT_KEY_FILE).replace(self._state_dir / SSH_KEY_FILE)
        self.credentials.client_key, self._next = self._next, None

    def _load(self, name: str) -> asyncssh.SSHKey:
        return ssh_key_of(load_or_create_key(self._state_dir / name))


def ssh_key_of(key: Ed25519PrivateKey) -> asyncssh.SSHKey:
    """Return ``key`` as asyncssh has it: one Ed25519 implementation for all keys, kept in the same PEM form."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return asyncssh.import_private_key(pem)


def public_line(key: asyncssh.SSHKey) -> str:
    """Return the public half of ``key`` as ``type base64``."""
    return " ".join(key.export_public_key().decode().split()[:2])
