"""Every provider of libcloud's that the routed dial can carry, by the facts in ``libcloud_facts``.

Lists are read. Machines are made only under ``marked``, where a provider's API has a mark by which one is found again
whose creation was not answered; elsewhere one order would make two, so that none is asked to be granted.
"""

from typing import Any

from libcloud.compute.providers import get_driver

from catalog.clouds import CloudAccount, MachineSpec
from catalog.errors import CloudRefused, InvalidValue
from catalog.messages.handshake import Capability, ServiceInformation
from catalog.ports import Dialer
from drivers.clouds.generic import GenericCloud
from drivers.clouds.libcloud_facts import ACCEPTED, Shape
from drivers.clouds.policy import CallPolicy


class LibcloudCloud(GenericCloud):
    """An account at any of the accepted providers."""

    def __init__(self, account: CloudAccount, dialer: Dialer, policy: CallPolicy) -> None:
        self.provider = account.provider
        self.facts = ACCEPTED[account.provider]
        super().__init__(account, dialer, policy)
        if self.facts.host and self.facts.host != self.target.host:
            fix = f"https://{self.facts.host}"
            raise InvalidValue("this provider's API has one address only", field="endpoint", fix=fix)

    def _driver(self) -> Any:
        kind: Any = get_driver(self.provider)
        who = [self.account.secret.reveal()]
        if self.facts.shape is Shape.PAIR:
            who.insert(0, self.account.account)
        where: dict[str, Any] = {}
        if not self.facts.host:
            where = {"host": self.target.host, "port": self.target.port, "secure": self.target.scheme == "https"}
        return kind(*who, **where, **self.facts.arguments, **self.account.options)

    def _log_in(self, driver: Any) -> ServiceInformation:
        # No call of all of these APIs tells who one is; of a list, the first row is enough.
        next(self._items(driver, self.facts.asked), None)
        held = set(self.facts.capabilities) - {Capability.MACHINE}
        services = tuple(kind.value for kind in Capability if kind in held)
        return ServiceInformation(provider=self.provider, region=self.account.region, services=services)

    def _create_options(self, driver: Any, spec: MachineSpec) -> dict[str, Any]:
        del driver, spec
        # One whose creation was not answered could not be found again, and would be made twice.
        raise CloudRefused(f"no machines are made at this provider: {self.facts.lists_only}", field="platform")
