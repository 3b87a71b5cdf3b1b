"""The connector's first settings file, written for an owner who has none. What it leaves out is in the example file."""

import difflib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.errors import AlreadyExists, InvalidValue
from gateway.connector.policy import Verdict
from gateway.connector.settings import read_settings

_HEAD: Final = """\
# The platform owner's side: crossway connector serve --config {name}
# What else may stand here (quotas, scopes, ends, forwarding, dialling out) is in config/connector.example.toml.

[connector]
listen = {listen}
platform = {platform}
key_file = "platform.key"
gateway_key = {gateway_key}
state_file = "connector.db"

[service]
provider = {provider}
region = {region}
services = {services}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFile:
    """What an owner says at the start; ``granted`` and ``asked`` are capabilities, which no other word is."""

    platform: str
    provider: str
    region: str
    gateway_key: str
    listen: str
    granted: Sequence[str] = ()
    asked: Sequence[str] = ()

    def text(self, name: str) -> str:
        """Return the file, to be called ``name``."""
        words = {
            "listen": self.listen,
            "platform": self.platform,
            "gateway_key": self.gateway_key,
            "provider": self.provider,
            "region": self.region,
            "services": [*self.granted, *self.asked],
        }
        # What JSON writes of texts and lists of texts is TOML too.
        told = _HEAD.format(name=name, **{key: json.dumps(value) for key, value in words.items()})
        decided = [(each, Verdict.GRANT) for each in self.granted] + [(each, Verdict.ASK) for each in self.asked]
        return told + "".join(f'\n[policy.{each}]\ndecision = "{verdict}"\n' for each, verdict in decided)


def write(path: Path, first: FirstFile, providers: Collection[str]) -> None:
    """Write ``first`` to a new file at ``path``, for its owner's eyes only; ``providers`` are those that there are.

    Raises AlreadyExists for a file that is there, InvalidValue for an unknown provider and for what could not be read
    back; then there is none.
    """
    if first.provider not in providers:
        near = difflib.get_close_matches(first.provider, providers, n=1)
        meant = f"did you mean {near[0]}?" if near else "crossway provider list names them"
        raise InvalidValue(f"there is no provider '{first.provider}'", field="provider", fix=meant)
    if double := sorted({each for each in first.granted if each in first.asked or first.granted.count(each) > 1}):
        raise InvalidValue(f"'{double[0]}' is said twice", field="grant", fix="grant it, or ask, once")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise AlreadyExists(f"{path} is there already", fix="edit it, or name another with --config") from None
    except OSError as error:
        raise InvalidValue(f"{path} cannot be written: {error.strerror}", field="config") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(first.text(path.name))
    try:
        read_settings(path)
    except InvalidValue:
        path.unlink()
        raise
