"""DigitalOcean: droplets bear tags, which are words. From its API's reference, version 2.

libcloud's driver reads the machines by the number of pages that the first one tells, so they are read here. A
droplet is shut down gracefully; one that ignores that goes on running.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from libcloud.compute.base import Node

from catalog.clouds import MachineSpec
from drivers.clouds.marked import MarkedCloud
from drivers.clouds.whole_lists import Page, Row, whole

_DROPLETS: Final = "/v2/droplets"


class DigitalOceanCloud(MarkedCloud):
    """An account, or a team, at DigitalOcean."""

    name_rule = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
    name_rule_text = "letters, digits, dots and hyphens"
    word_rule = re.compile(r"[A-Za-z0-9:_-]{1,255}")
    exhausted = ("droplet limit",)
    busy = ("pending event",)

    def _rows(self, driver: Any) -> Sequence[Row]:
        def ask(number: str | None) -> Page:
            told = driver.connection.request(_DROPLETS, params={"page": number or "1"}).object
            more = bool(told.get("links", {}).get("pages", {}).get("next"))
            # Only that there is more is taken from the cloud's link: where to ask is ours to say.
            following = str(int(number or "1") + 1) if more else None
            return Page(rows=told["droplets"], total=told["meta"]["total"], following=following)

        return whole(ask)

    def _row(self, driver: Any, cloud_id: str) -> Row:
        row: Row = driver.connection.request(f"{_DROPLETS}/{cloud_id}").object["droplet"]
        return row

    def _options(self, driver: Any, spec: MachineSpec, words: list[str]) -> dict[str, Any]:
        key = self._key(driver, spec)
        keys = {} if key is None else {"ssh_keys": [key.extra["id"]]}
        return {"location": self._place(driver, spec), "ex_create_attr": {"tags": words, **keys}}

    def _start(self, driver: Any, node: Node) -> None:
        driver.ex_power_on_node(node)

    def _stop(self, driver: Any, node: Node) -> None:
        driver.ex_shutdown_node(node)
