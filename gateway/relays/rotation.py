"""Change the key shown to relays without an outage: let in, proved, used, and the old one taken away.

The next key is written beside the one in use by the caretakers; where a relay has none, an admin adds it. Once every
enabled relay has let it in, it is used; the caretakers then take the old one away. The files say how far that is.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from catalog.model.network import Login, Relay
from catalog.store.database import Database, Tx
from catalog.store.rows import where
from gateway.network import declared_topology
from gateway.relays.reach import Reach, ways_to_relays
from gateway.relays.ssh_keys import SshKeys
from routing.errors import RoutingError
from routing.topology import Node, Topology
from routing.tunnel.policy import TunnelCredentials

log = logging.getLogger(__name__)

_AT_ONCE = 4


@dataclass(slots=True, kw_only=True)
class KeyRotation:
    """``refusals`` says, by relay, why the next key is not let in yet; it is empty while no change is under way."""

    database: Database
    gateway_site: str
    reach: Reach
    keys: SshKeys
    refusals: dict[str, str] = field(default_factory=dict)

    async def advance(self) -> bool:
        """Use the next key if every relay lets it in; return whether it is in use now. May be repeated."""
        shown = self.keys.next_credentials
        if shown is None:
            self.refusals = {}
            return False
        network, names = await self.database.read(self._relays)
        turns = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            tried = {name: tasks.create_task(self._refusal(network, name, shown, turns)) for name in names}
        self.refusals = {name: said for name, task in tried.items() if (said := task.result())}
        if self.refusals or self.keys.next_credentials is None:
            return False
        self.keys.use_next()
        log.info("a new SSH key is in use", extra={"relays": len(names)})
        return True

    def _relays(self, tx: Tx) -> tuple[Topology, list[str]]:
        logins = (Login.KEY.value,)
        shown = [relay.name for relay in where(tx, Relay, enabled=True, login=logins)]
        return declared_topology(tx, gateway_site=self.gateway_site), shown

    async def _refusal(self, network: Topology, name: str, shown: TunnelCredentials, turns: asyncio.Semaphore) -> str:
        """Return why the relay does not let the next key in; empty: it does."""
        node: Node = next(relay for relay in network.relays if relay.name == name)
        way = ways_to_relays(network).get(name, (name,))
        try:
            async with turns, self.reach.to(network, way, node, shown):
                return ""
        except RoutingError as error:
            return str(error)
