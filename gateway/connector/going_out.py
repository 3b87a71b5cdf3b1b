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
from gateway.connector.settings import ConnectorSettings


async def go_out(settings: ConnectorSettings, key: Ed25519PrivateKey, clock: Clock, joins: OpenJoins) -> None:
    """Do what ``settings.outward`` says until cancelled; return at once when it says nothing."""
    outward = settings.outward
    if outward.gateway is None:
        return
    door = GatewayDoor(
        access=outward.gateway, platform=settings.platform, gateway_key=settings.gateway_key, key=key, clock=clock
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_joins(joins, door))
        if outward.dial_out is not None:
            ssh_key = _ssh_key(load_or_create_key(outward.dial_out.key_file))
            tasks.create_task(DialingOut(plan=outward.dial_out, key=ssh_key, door=door).run())


def ssh_public_line(key: Ed25519PrivateKey) -> str:
    """Return the public half as relays' key files have it."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _ssh_key(key: Ed25519PrivateKey) -> asyncssh.SSHKey:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return asyncssh.import_private_key(pem)
