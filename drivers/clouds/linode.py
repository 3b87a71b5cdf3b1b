"""Linode (Akamai): instances bear tags, which are words of 3 to 50 characters. From its API's reference, version 4.

A label is unique within the account there, so that a second creation of one name is refused by the cloud too. Root's
password is made up and forgotten: whoever ordered no key pair sets another one at the provider.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.linode import LinodeConnectionV4, LinodeExceptionV4, LinodeResponseV4
from libcloud.common.types import LibcloudError
from libcloud.compute.base import Node, NodeSize
from libcloud.compute.drivers.linode import LinodeNodeDriverV4

from catalog.clouds import CloudSize, MachineSpec, MachineStatus, Proof
from catalog.messages.handshake import Capability
from drivers.clouds.marked import MarkedCloud
from drivers.clouds.whole_lists import Page, Row, whole

_INSTANCES: Final = "/v4/linode/instances"
_MIB_IN_GIB: Final = 1024
_FORBIDDEN: Final = 403
_ENDING: Final = "deleting"
_WRITING: Final = frozenset({"*", "linodes:read_write", "linodes:*"})


class TellingResponse(LinodeResponseV4):
    """An answer whose 403 is a refusal: libcloud takes it for unknown credentials, and the token is merely narrow."""

    def parse_error(self) -> Any:
        """Raise the error that the answer is."""
        if int(self.status) == _FORBIDDEN:
            raise _error("the token's scopes, or the user's grants, do not cover the call", driver=None)
        parent: Any = super()
        return parent.parse_error()


class TellingConnection(LinodeConnectionV4):
    """A connection with such answers."""

    responseCls = TellingResponse  # noqa: N815 - libcloud's name


class TellingDriver(LinodeNodeDriverV4):
    """libcloud's driver on such a connection."""

    connectionCls = TellingConnection  # noqa: N815 - libcloud's name


_new_driver: Any = TellingDriver
_error: Any = LibcloudError  # its constructor is untyped


class LinodeCloud(MarkedCloud):
    """An account at Linode."""

    refusals = (BaseHTTPError, LinodeExceptionV4, LibcloudError)
    name_rule = re.compile(r"(?=.{3,64}$)[a-zA-Z]((?!--|__|\.\.)[a-zA-Z0-9_.-])+")
    name_rule_text = "3 to 64 letters, digits, dots, hyphens and underscores, none of the latter three twice in a row"
    word_rule = re.compile(r"[!-~]{3,50}")
    exhausted = ("limit reached",)
    busy = ("linode busy",)

    def _driver(self) -> Any:
        return _new_driver(self.account.secret.reveal(), api_version=self.facts.arguments["api_version"])

    def _rows(self, driver: Any) -> Sequence[Row]:
        def ask(number: str | None) -> Page:
            told = driver.connection.request(_INSTANCES, params={"page": number or "1"}).object
            following = str(told["page"] + 1) if told["page"] < told["pages"] else None
            return Page(rows=told["data"], total=told["results"], following=following)

        return whole(ask)

    def _row(self, driver: Any, cloud_id: str) -> Row:
        row: Row = driver.connection.request(f"{_INSTANCES}/{cloud_id}").object
        return row

    def _node(self, driver: Any, row: Row) -> Node:
        status = row["status"]
        # libcloud fails at a status that it does not know, and one odd machine would hide all others.
        node = super()._node(driver, row if status in driver.LINODE_STATES else {**row, "status": "migrating"})
        node.extra["status"] = status
        return node

    def _status(self, node: Node) -> MachineStatus:
        # It cannot be undone, so nothing may be decided on such a machine any more.
        return MachineStatus.GONE if node.extra.get("status") == _ENDING else super()._status(node)

    def _right(self, driver: Any) -> Proof | None:
        told = driver.connection.request("/v4/profile").headers.get("x-oauth-scopes", "")
        scopes = set(re.split(r"[\s,]+", told)) - {""}
        if not scopes:
            return None
        allowed = bool(scopes & _WRITING)
        return Proof(capability=Capability.MACHINE, allowed=allowed, request="token scopes", detail=self._text(told))

    def _size(self, size: NodeSize) -> CloudSize:
        parsed = super()._size(size)
        return replace(parsed, disk_gib=None if parsed.disk_gib is None else parsed.disk_gib // _MIB_IN_GIB)

    def _options(self, driver: Any, spec: MachineSpec, words: list[str]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "location": self._place(driver, spec), "ex_tags": words, "root_pass": secrets.token_urlsafe(32),
        }  # fmt: skip
        key = self._key(driver, spec)
        return options if key is None else {**options, "ex_authorized_keys": [key.public_key]}
