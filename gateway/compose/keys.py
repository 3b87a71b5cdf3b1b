"""The gateway's own keys, read from its state directory or made there."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.messages.signing_key import load_or_create_key
from drivers.keys.file import FileKeys
from gateway.bootstrap import SEALING_KEYS_FILE, SIGNING_KEY_FILE
from gateway.relays.ssh_keys import SshKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The gateway's own keys, all in files of mode 0600 in the state directory."""

    signing: Ed25519PrivateKey
    ssh: SshKeys
    sealing: FileKeys

    @classmethod
    def load(cls, state_dir: Path) -> "Keys":
        """Load the keys, creating what is missing. Raises InvalidValue when one can be read by others."""
        return cls(
            ssh=SshKeys(state_dir),
            signing=load_or_create_key(state_dir / SIGNING_KEY_FILE),
            sealing=FileKeys.load_or_create(state_dir / SEALING_KEYS_FILE),
        )
