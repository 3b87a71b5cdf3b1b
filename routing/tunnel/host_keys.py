"""Pinned host keys: a relay is who an admin said it is, or nobody.

The keys belong to the relay, not to its address, so neither a moved relay nor a lying name server changes whom we
trust. There is no trust on first use and no file in a home directory.
"""

import asyncssh

from routing.errors import TopologyInvalid
from routing.topology import Node

# Trusted host keys, trusted authorities, revoked keys: the form asyncssh takes without any matching by name.
PinnedKeys = tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]


def pinned_keys(relay: Node) -> PinnedKeys:
    """Return the only host keys accepted from ``relay``: one OpenSSH public key per line of its ``host_key``.

    Raises TopologyInvalid when there is none, or a line is not a public key. Never returns an empty pin, which would
    make the next reader wonder whether it means "none" or "any".
    """
    keys = []
    for line in relay.host_key.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            keys.append(asyncssh.import_public_key(line.strip()))
        except asyncssh.KeyImportError as error:
            raise TopologyInvalid(
                f"a host key of relay {relay.name} is not an OpenSSH public key line", node=relay.name
            ) from error
    if not keys:
        raise TopologyInvalid(f"no host key is pinned for relay {relay.name}", node=relay.name)
    return (keys, [], [])


# The kinds of key worth trusting; no SHA-1, no DSA.
_KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


def host_key_algorithms(pinned: PinnedKeys) -> list[str]:
    """Return the host key algorithms to offer: those of the pinned keys first, then the others.

    Without the others a relay with another kind of key would break off the negotiation, which looks like any
    failure; with them it shows its key, and the mismatch has its name.
    """
    ours = {name.decode() for key in pinned[0] for name in key.sig_algorithms}
    return sorted(_KINDS, key=lambda kind: kind not in ours)
