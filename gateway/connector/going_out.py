"""What the connector does by itself, put together from its file: dial out to relays, join what others grant."""

import asyncio

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from catalog.messages.signing_key import load_or_create_key
from catalog.ports import Clock
from gateway.connector.dial_out import DialingOut
from gateway.connector.gateway_door import GatewayDoor
from gateway.connector.joining import OpenJoins, serve_joins
from gateway.connector.outward import Outward
from gateway.connector.settings import ConnectorSettings


def load_dial_key(outward: Outward) -> asyncssh.SSHKey | None:
    """Return the key by which the connector dials out, created if missing; None when it is not to dial out.

    Raises InvalidValue when others can read it.
    """
    if outward.dial_out is None:
        return None
    key = load_or_create_key(outward.dial_out.key_file)
    return asyncssh.import_private_key(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


async def go_out(
    settings: ConnectorSettings,
    *,
    key: Ed25519PrivateKey,
    dial_key: asyncssh.SSHKey | None,
    clock: Clock,
    joins: OpenJoins,
) -> None:
    """Do what ``settings.outward`` says until cancelled; return at once when it says nothing.

    ``key`` signs for the platform, ``dial_key`` is from ``load_dial_key``.
    """
    outward = settings.outward
    if outward.gateway is None:
        return
    door = GatewayDoor(
        access=outward.gateway, platform=settings.platform, gateway_key=settings.gateway_key, key=key, clock=clock
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_joins(joins, door))
        if outward.dial_out is not None and dial_key is not None:
            tasks.create_task(DialingOut(plan=outward.dial_out, key=dial_key, door=door).run())


def ssh_public_line(key: Ed25519PrivateKey) -> str:
    """Return the public half as relays' key files have it."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
