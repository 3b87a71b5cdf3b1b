"""Vultr: instances bear tags, which are words. From its API's reference, version 2.

libcloud's driver knows one tag of an instance, of an earlier day, and none of these; so an instance is asked for here,
over its connection. Bare metal is an API of its own there, of which nothing is made.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.vultr import VultrConnectionV2, VultrException
from libcloud.compute.base import Node, NodeImage, NodeLocation, NodeSize
from libcloud.compute.drivers.vultr import VultrNodeDriverV2
from libcloud.compute.types import NodeState

from catalog.clouds import MachineSpec, Proof
from catalog.errors import CloudRefused
from catalog.messages.handshake import Capability
from drivers.clouds.marked import MarkedCloud
from drivers.clouds.whole_lists import Page, Row, whole

_INSTANCES: Final = "/v2/instances"
_BARE_METAL: Final = "vbm"
_DEPLOYING: Final = "provisioning"


class TaggingDriver(VultrNodeDriverV2):
    """libcloud's driver, with the tags that the API has now."""

    connectionCls = VultrConnectionV2  # noqa: N815 - libcloud's name

    def create_node(  # type: ignore[override]  # asked for by MarkedCloud alone, and by name
        self, *, name: str, size: NodeSize, image: NodeImage, location: NodeLocation, tags: list[str], keys: list[str]
    ) -> Any:
        """Return the new instance."""
        asked = {
            "label": name, "region": location.id, "plan": size.id, "os_id": int(image.id), "tags": tags,
            "sshkey_id": keys, "activation_email": False,
        }  # fmt: skip
        connection: Any = self.connection
        told = connection.request(_INSTANCES, data=json.dumps(asked), method="POST").object["instance"]
        return self._to_node(told)

    def _to_node(self, data: Any) -> Node:
        # The single tag of old need not be told any more.
        parent: Any = super()
        node: Node = parent._to_node({"tag": "", **data})  # noqa: SLF001  # libcloud's own reading of one
        node.extra["tags"] = data["tags"]
        return node


_new_driver: Any = TaggingDriver


class VultrCloud(MarkedCloud):
    """An account at Vultr."""

    refusals = (BaseHTTPError, VultrException)
    name_rule = re.compile(r"[!-~]{1,255}")
    name_rule_text = "up to 255 characters, none of them a space"
    word_rule = re.compile(r"[!-~]{1,255}")
    exhausted = ("you have reached the maximum",)

    def _driver(self) -> Any:
        return _new_driver(self.account.secret.reveal(), api_version="2")

    def _rows(self, driver: Any) -> Sequence[Row]:
        def ask(cursor: str | None) -> Page:
            params = {} if cursor is None else {"cursor": cursor}
            told = driver.connection.request(_INSTANCES, params=params).object
            meta: Mapping[str, Any] = told["meta"]
            return Page(rows=told["instances"], total=meta["total"], following=meta["links"]["next"] or None)

        return whole(ask)

    def _row(self, driver: Any, cloud_id: str) -> Row:
        row: Row = driver.connection.request(f"{_INSTANCES}/{cloud_id}").object["instance"]
        return row

    def _right(self, driver: Any) -> Proof:
        held = driver.connection.request("/v2/account").object["account"].get("acls") or ()
        # Of a root key, which may do everything, all are told too.
        return Proof(
            capability=Capability.MACHINE, allowed=_DEPLOYING in held, request="account acls",
            detail=self._text(", ".join(map(str, held))),
        )  # fmt: skip

    def _handle(self, driver: Any, cloud_id: str) -> Node:
        # libcloud looks at the size, whether it is bare metal, which none of ours is.
        return Node(cloud_id, "", NodeState.UNKNOWN, [], [], driver, size=NodeSize("instance", "", 0, 0, 0, 0, driver))

    def _options(self, driver: Any, spec: MachineSpec, words: list[str]) -> dict[str, Any]:
        if spec.size.startswith(_BARE_METAL):
            raise CloudRefused("no bare metal is made at this provider", field="size")
        if not spec.image.isdecimal():
            raise CloudRefused("the provider numbers its images", field="image")
        key = self._key(driver, spec)
        keys = [] if key is None else [key.extra["id"]]
        return {"location": self._place(driver, spec), "tags": words, "keys": keys}
