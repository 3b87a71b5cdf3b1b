"""Keep every relay's key file as it should be: the addresses it permits and the keys it lets in.

A background task: idempotent, woken after each approval and each change of the network. The nearest relays come first,
because those behind them are reached only over what these permit.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from catalog import relay_care
from catalog.errors import CatalogError, InvalidValue
from catalog.model.network import Relay, Site
from catalog.model.relay_care import RelayCare
from catalog.ports import Clock
from catalog.relay_care import GatewayKeys, KeyFile
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id, find, where
from gateway.network import declared_topology, relay_node
from gateway.relays.reach import Reach, ask, ways_to_relays
from routing.errors import RoutingError
from routing.topology import Node, Topology
from routing.tunnel.policy import TunnelCredentials

log = logging.getLogger(__name__)

_ANSWER_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Duty:
    """One relay to be looked at: how it is reached, what its file should hold and what we believe that it holds."""

    relay: Relay
    node: Node
    way: tuple[str, ...]
    wanted: KeyFile
    held: KeyFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caretaking:
    """Writes the key files of relays that have a caretaker.

    ``keys`` returns our public keys as they are now, ``caretaker`` is the private key that the caretakers know. A relay
    whose file is believed to be right is looked at again after ``check_period_s``.
    """

    database: Database
    clock: Clock
    gateway_site: str
    reach: Reach
    caretaker: TunnelCredentials
    keys: Callable[[], GatewayKeys]
    check_period_s: float

    async def run_once(self) -> int:
        """Return how many key files were written. A relay that cannot be looked after holds up no other."""
        network, duties, impossible = await self.database.read(self._plan)
        for relay, error in impossible:
            await self._record_failure(relay, error)
        return sum([await self._done(network, duty) for duty in duties])

    def _plan(self, tx: Tx) -> tuple[Topology, Sequence[_Duty], Sequence[tuple[Relay, CatalogError]]]:
        """Return what is to be done, and the relays for which no key file can be right, with why."""
        network = declared_topology(tx, gateway_site=self.gateway_site)
        ways = ways_to_relays(network)
        duties, impossible = [], []
        for relay in where(tx, Relay, enabled=True):
            if not relay.caretaker:
                continue
            try:
                wanted = relay_care.wanted(tx, relay, self.keys())
            except InvalidValue as error:
                impossible.append((relay, error))
                continue
            node = relay_node(relay, by_id(tx, Site, relay.site_id))
            duty = _Duty(
                relay=relay, node=node, way=ways.get(relay.name, (relay.name,)),
                wanted=wanted, held=relay_care.held(tx, relay),
            )  # fmt: skip
            if self._is_due(duty, find(tx, RelayCare, relay.id)):
                duties.append(duty)
        return network, sorted(duties, key=lambda duty: (len(duty.way), duty.relay.name)), impossible

    def _is_due(self, duty: _Duty, care: RelayCare | None) -> bool:
        if care is None or duty.wanted != duty.held or care.code or duty.relay.next_login:
            return True
        return self.clock.now_s() - (care.checked_at_s or 0.0) >= self.check_period_s

    async def _done(self, network: Topology, duty: _Duty) -> bool:
        """Look after one relay and record how that went; return whether its file was written."""
        try:
            found = await self._kept(network, duty)
            if duty.relay.next_login:
                await self._try_login(network, duty)
        except (RoutingError, CatalogError) as error:
            await self._record_failure(duty.relay, error)
            return False
        written = found != duty.wanted.lines
        drifted = written and duty.held is not None and found != duty.held.lines
        if drifted:
            log.warning("a relay's key file held what nobody here wrote", extra={"relay": duty.relay.name})
        now_s = self.clock.now_s()

        def work(tx: Tx) -> None:
            relay = find(tx, Relay, duty.relay.id)
            if relay is None:
                return
            relay_care.looked(tx, relay, duty.wanted, now_s, written=written, drifted=drifted)
            if relay.next_login and relay.next_login == duty.relay.next_login:
                relay_care.login_changed(tx, relay, now_s)

        await self.database.write(work)
        return written

    async def _kept(self, network: Topology, duty: _Duty) -> list[str]:
        """Return the lines that the relay's file held; they are the wanted ones afterwards."""
        name = duty.relay.name
        account = replace(duty.node, user=duty.relay.caretaker, certified=False)
        async with self.reach.to(network, duty.way, account, self.caretaker) as connection:
            found = (await ask(connection, "show\n", hop=name, timeout_s=_ANSWER_TIMEOUT_S)).splitlines()
            if found != duty.wanted.lines:
                words = "".join(f"{line}\n" for line in ("replace", *duty.wanted.lines, "end"))
                await ask(connection, words, hop=name, timeout_s=_ANSWER_TIMEOUT_S)
        return found

    async def _try_login(self, network: Topology, duty: _Duty) -> None:
        """Log in with what the relay is to be shown next. Raises HopRefused when it does not take it."""
        next_node = replace(duty.node, certified=duty.relay.next_login == "certificate")
        async with self.reach.to(network, duty.way, next_node):
            log.info("a relay takes its next log-in", extra={"relay": duty.relay.name, "login": duty.relay.next_login})

    async def _record_failure(self, relay: Relay, error: RoutingError | CatalogError) -> None:
        def work(tx: Tx) -> None:
            before = find(tx, RelayCare, relay.id)
            if before is None or before.code != error.code:
                log.warning("a relay cannot be looked after", extra={"relay": relay.name, "code": error.code})
            if find(tx, Relay, relay.id) is not None:
                relay_care.failed(tx, relay, code=error.code, reason=str(error), now_s=self.clock.now_s())

        await self.database.write(work)
