"""Relays as hosts that this gateway cares for, in one value: the background task, and what the API asks for."""

from dataclasses import dataclass

from catalog.ports import Clock
from catalog.relay_care import GatewayKeys
from catalog.store.database import Database
from gateway.background.runner import BackgroundTask
from gateway.relays.caretaking import Caretaking
from gateway.relays.reach import Reach
from gateway.relays.ssh_keys import SshKeys
from routing.tunnel.policy import TunnelPolicy

_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayService:
    """``keys`` are this gateway's own; ``check_period_s`` is how often a key file is looked at for no reason."""

    database: Database
    clock: Clock
    gateway_site: str
    keys: SshKeys
    policy: TunnelPolicy
    check_period_s: float

    def task(self) -> BackgroundTask:
        """Return the work that keeps relays' key files, to be woken as "relays"."""
        caretaking = Caretaking(
            database=self.database,
            clock=self.clock,
            gateway_site=self.gateway_site,
            reach=self._reach,
            caretaker=self.keys.caretaker,
            keys=self.keys.public,
            check_period_s=self.check_period_s,
        )
        return BackgroundTask(
            name="relays", run_once=caretaking.run_once, period_s=min(self.check_period_s, 60.0), timeout_s=_TIMEOUT_S
        )

    def public_keys(self) -> GatewayKeys:
        """Return the public keys by which relays know this gateway, as they are now."""
        return self.keys.public()

    @property
    def _reach(self) -> Reach:
        return Reach(credentials=self.keys.credentials, policy=self.policy)
