"""Relays as hosts that this gateway cares for, in one value: the background task, and what the API asks for."""

from collections.abc import Mapping, Sequence

from catalog import relay_care
from catalog.model.network import Relay, Site
from catalog.ports import Clock
from catalog.relay_care import GatewayKeys
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id, by_name_or_id
from gateway.background.runner import BackgroundTask
from gateway.network import declared_topology, relay_node
from gateway.relays.caretaking import Caretaking
from gateway.relays.doctor import Doctor, Patient
from gateway.relays.facts import Finding
from gateway.relays.reach import Reach, ways_to_relays
from gateway.relays.rotation import KeyRotation
from gateway.relays.ssh_keys import SshKeys
from routing.tunnel.policy import TunnelPolicy

_TIMEOUT_S = 600.0
_PERIOD_S = 60.0


class RelayService:
    """``keys`` are this gateway's own; ``check_period_s`` is how often a key file is looked at for no reason."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        gateway_site: str,
        keys: SshKeys,
        policy: TunnelPolicy,
        check_period_s: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._gateway_site = gateway_site
        self._keys = keys
        self._check_period_s = check_period_s
        self._reach = Reach(credentials=keys.credentials, policy=policy)
        self._rotation = KeyRotation(database=database, gateway_site=gateway_site, reach=self._reach, keys=keys)

    def task(self) -> BackgroundTask:
        """Return the work that keeps relays' key files and changes our key, to be woken as "relays"."""
        caretaking = Caretaking(
            database=self._database,
            clock=self._clock,
            gateway_site=self._gateway_site,
            reach=self._reach,
            caretaker=self._keys.caretaker,
            keys=self._keys.public,
            check_period_s=self._check_period_s,
        )

        async def run_once() -> None:
            await caretaking.run_once()
            if await self._rotation.advance():
                await caretaking.run_once()  # which takes the old key away

        period_s = min(self._check_period_s, _PERIOD_S)
        return BackgroundTask(name="relays", run_once=run_once, period_s=period_s, timeout_s=_TIMEOUT_S)

    def public_keys(self) -> GatewayKeys:
        """Return the public keys by which relays know this gateway, as they are now."""
        return self._keys.public()

    def rotation(self) -> Mapping[str, str]:
        """Return why the next SSH key is not in use yet, by relay; empty when nothing is known to stand against it."""
        return dict(self._rotation.refusals)

    def begin_rotation(self) -> None:
        """Make the next SSH key, which relays are then given beside the one in use. May be repeated."""
        self._keys.prepare_next()

    def give_up_rotation(self) -> None:
        """Forget the next SSH key. May be repeated."""
        self._keys.forget_next()

    async def examine(self, relay: str, facts: Mapping[str, str]) -> Sequence[Finding]:
        """Return what the doctor finds at the relay with this name or id. Raises NotFound."""
        patient = await self._database.read(lambda tx: self._patient(tx, relay))
        doctor = Doctor(reach=self._reach, caretaker=self._keys.caretaker, clock=self._clock)
        return await doctor.examine(patient, facts)

    def _patient(self, tx: Tx, ref: str) -> Patient:
        relay = by_name_or_id(tx, Relay, ref)
        network = declared_topology(tx, gateway_site=self._gateway_site)
        return Patient(
            network=network,
            way=ways_to_relays(network).get(relay.name, (relay.name,)),
            node=relay_node(relay, by_id(tx, Site, relay.site_id)),
            relay=relay,
            wanted=relay_care.wanted(tx, relay, self._keys.public()),
        )
