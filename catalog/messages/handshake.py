"""The capability handshake between gateway and connector: what is said, and how it is signed (S1 steps 9-12).

Each side has an Ed25519 key. The gateway's public key stands in the connector's policy file, the platform's was
given at enrolment; so a relay or whoever sits between the exit relay and the connector can neither forge a
grant nor replay one (every answer repeats the nonce of its question).

A signed message is ``{"payload": {...}, "key": "<base64 public key>", "signature": "<base64>"}``; the signature
covers ``DOMAIN + canonical JSON of payload`` (sorted keys, no spaces, UTF-8).
"""

import base64
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from catalog.errors import CloudMisbehaved
from catalog.messages.quorum import Approvals
from catalog.model.terms import OF_MACHINES, OF_WHAT_IS_MADE, Scope, Terms

DOMAIN = b"crossway-handshake-v1\n"


class Capability(StrEnum):
    """What a platform can grant. The verbs of a capability are granted one by one, see CAPABILITY_VERBS."""

    MACHINE = "machine"
    IMAGE = "image"
    SIZE = "size"
    LOCATION = "location"
    NETWORK = "network"
    KEY_PAIR = "key-pair"
    VOLUME = "volume"
    CONTAINER = "container"
    ZONE = "zone"
    BALANCER = "balancer"
    FORWARD = "forward"


CAPABILITY_VERBS: dict[Capability, tuple[str, ...]] = {
    # "adopt": to steer machines that were there before, as far as the other verbs go.
    Capability.MACHINE: (
        *("create", "list", "reboot", "stop", "start"),
        *("rebuild", "resize", "rename", "console", "destroy", "adopt"),
    ),
    Capability.IMAGE: ("list",),
    Capability.SIZE: ("list",),
    Capability.LOCATION: ("list",),
    Capability.NETWORK: ("list",),
    Capability.KEY_PAIR: ("list",),
    Capability.VOLUME: ("create", "list", "attach", "detach", "snapshot", "destroy"),
    Capability.CONTAINER: ("create", "list", "destroy"),
    Capability.ZONE: ("create", "list", "records", "destroy"),
    Capability.BALANCER: ("create", "list", "members", "destroy"),
    # "open": by those who use the gateway; "join": by other platforms whose connection the owner consented to.
    Capability.FORWARD: ("open", "join"),
}

# Verbs that nobody has who was not given them by name: "every verb" of a policy is without them.
BY_NAME_ONLY = frozenset({(Capability.MACHINE, "adopt")})

# What projects hold beside machines, made to order: see catalog.cloud_assets.
OF_ASSETS = frozenset({Capability.VOLUME, Capability.CONTAINER, Capability.ZONE, Capability.BALANCER})

# What a cloud does not know of itself: the owner's word alone says that it is there.
OF_THE_OWNER = frozenset({Capability.FORWARD})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInformation:
    """What a platform says it has: its provider kind, regions and services, as plain words."""

    provider: str
    region: str
    services: tuple[str, ...]  # capability names, e.g. ("machine", "image", "size")
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """The gateway asks the owner for ``wanted`` (capability -> verbs), repeating the service information it saw."""

    request_id: str  # names this request, whatever it asks for: repeating it never makes a second one
    platform: str  # the platform's name
    gateway: str
    service_information: ServiceInformation
    wanted: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedCapability(Terms):
    """One granted capability, and the terms of it; with ``approvals`` where the owner's policy wants some."""

    capability: str
    approvals: Approvals | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The owner's answer. Only grants are answered: what is denied is absent; ``pending`` means ask again later."""

    request_id: str
    granted: tuple[GrantedCapability, ...]
    pending: tuple[str, ...] = ()  # capabilities whose owner has yet to say
    signed: str = ""  # the signed message as it came, kept as evidence
    # Grows with every answer of the platform; None from a connector that does not number them.
    serial: int | None = None
    issued_at_s: float | None = None


def terms_of_others(capability: str, scope: Scope) -> tuple[str, ...]:
    """Return the terms that a grant of ``capability`` cannot have: those of machines, or of what is made to order.

    A quota is none of them: a connector may always say one, and of what is not made it counts nothing.
    """
    if capability == Capability.MACHINE:
        return ()
    if capability in OF_ASSETS and not (scope.sizes or scope.images or scope.networks):
        return OF_MACHINES
    return (*OF_MACHINES, *(name for name in OF_WHAT_IS_MADE if name != "quota"))


def canonical(payload: dict[str, Any]) -> bytes:
    """Return the bytes that a signature covers."""
    return DOMAIN + json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign(payload: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return ``payload`` wrapped with the public key and the signature of ``key``."""
    return {
        "payload": payload,
        "key": public_text(key.public_key()),
        "signature": base64.b64encode(key.sign(canonical(payload))).decode(),
    }


def verified(message: object, expected_key: str) -> dict[str, Any]:
    """Return the payload of ``message`` if ``expected_key`` (base64) signed it.

    Raises CloudMisbehaved for a wrong shape, another key or a bad signature.
    """
    if not isinstance(message, dict) or not isinstance(message.get("payload"), dict):
        raise CloudMisbehaved("the handshake message is not a signed JSON object")
    if message.get("key") != expected_key:
        raise CloudMisbehaved("the handshake message is signed by another key than the one enrolled")
    try:
        signature = base64.b64decode(str(message.get("signature", "")), validate=True)
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(expected_key, validate=True))
        public.verify(signature, canonical(message["payload"]))
    except (ValueError, InvalidSignature) as error:
        raise CloudMisbehaved("the signature of the handshake message does not verify") from error
    payload: dict[str, Any] = message["payload"]
    return payload


def public_text(key: Ed25519PublicKey) -> str:
    """Return the 32 raw bytes of ``key`` in base64: the form that policy files and enrolments use."""
    return base64.b64encode(key.public_bytes_raw()).decode()
