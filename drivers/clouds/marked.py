"""A provider of ``libcloud_facts`` at which machines are made: each bears words of ours, by which it is found again.

What is common to them stands here; a provider's own file says how its API wants to be asked, and what its words for
"no" mean.
"""

import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final
from urllib.parse import quote

from libcloud.compute.base import Node, NodeLocation

from catalog.clouds import CloudMachine, MachineAction, MachineSpec, MachineStatus, Proof
from catalog.errors import CloudRefused, CloudUnavailable
from catalog.messages.handshake import Capability, ServiceInformation
from drivers.clouds import marks
from drivers.clouds.any_libcloud import LibcloudCloud
from drivers.clouds.generic import told
from drivers.clouds.whole_lists import Row

_AFTER: Final = {MachineAction.START: MachineStatus.RUNNING, MachineAction.STOP: MachineStatus.STOPPED}
_NO_TO_STATE: Final = frozenset({400, 409, 412, 422})


class MarkedCloud(LibcloudCloud):
    """An account at a provider whose machines bear words."""

    name_rule: ClassVar[re.Pattern[str]]  # what it calls a name
    name_rule_text: ClassVar[str]
    word_rule: ClassVar[re.Pattern[str]]
    exhausted: ClassVar[tuple[str, ...]]  # what it says, in lower case, when the account may have no more
    busy: ClassVar[tuple[str, ...]] = ()  # and while it is still at an earlier call about the same machine

    # What a provider's file says

    @abstractmethod
    def _rows(self, driver: Any) -> Sequence[Row]:
        """Return every machine of the account as the API tells it: whole, or not at all."""

    @abstractmethod
    def _row(self, driver: Any, cloud_id: str) -> Row:
        """Return one machine as the API tells it."""

    @abstractmethod
    def _options(self, driver: Any, spec: MachineSpec, words: list[str]) -> dict[str, Any]:
        """Return the arguments of create_node that are the provider's own; ``words`` must be among them."""

    def _right(self, driver: Any) -> Proof | None:
        """Return whether the account may make machines, as the provider tells its rights; None: it tells nothing."""
        del driver
        return None

    # What follows from it

    def _log_in(self, driver: Any) -> ServiceInformation:
        services = super()._log_in(driver).services
        return ServiceInformation(provider=self.provider, region=self.account.region, services=("machine", *services))

    def _rights(self, driver: Any) -> list[Proof]:
        """Return proofs by the service list, and of machines by the account's own rights, where those are told."""
        return [self._by_right(driver, proof) for proof in super()._rights(driver)]

    def _prove(self, driver: Any, capability: Capability) -> Proof:
        return self._by_right(driver, super()._prove(driver, capability))

    def _by_right(self, driver: Any, proof: Proof) -> Proof:
        if proof.capability != Capability.MACHINE or not proof.allowed:
            return proof
        right = self._right(driver)
        return proof if right is None else self._witnessed(right)

    def _list_nodes(self, driver: Any) -> Iterable[Node]:
        return [self._node(driver, row) for row in self._rows(driver)]

    def _one(self, driver: Any, cloud_id: str) -> CloudMachine | None:
        return self._machine(self._node(driver, self._row(driver, quote(cloud_id, safe=""))))

    def _node(self, driver: Any, row: Row) -> Node:
        node: Node = driver._to_node(row)  # noqa: SLF001 - libcloud's own reading of one
        return node

    def _machine(self, node: Node) -> CloudMachine:
        return replace(super()._machine(node), tags=marks.tags_of(node.extra["tags"]))

    def _create_options(self, driver: Any, spec: MachineSpec) -> dict[str, Any]:
        words = marks.words(spec.tags)
        if not self.name_rule.fullmatch(spec.name):
            raise CloudRefused("the provider takes no such name for a machine", field="name", fix=self.name_rule_text)
        if not all(self.word_rule.fullmatch(word) for word in words):
            raise CloudRefused("the provider would not keep our mark on the machine as it is", field="tags")
        return self._options(driver, spec, words)

    def _place(self, driver: Any, spec: MachineSpec) -> NodeLocation:
        """Return where the machine shall be: as ordered, else the region that the platform was enrolled with."""
        where = spec.location or self.account.region
        if not where:
            fix = "a location of the platform; or enrol it with a region"
            raise CloudRefused("the provider makes no machine without a location", field="location", fix=fix)
        return NodeLocation(where, where, "", driver)

    def _key(self, driver: Any, spec: MachineSpec) -> Any:
        """Return the key pair that was ordered, as the provider lists it; None when none was."""
        if spec.key_pair is None:
            return None
        for pair in driver.list_key_pairs():
            if self._key_pair(pair).cloud_id == spec.key_pair:
                return pair
        raise CloudRefused("the account has no such key pair", field="key_pair")

    def _is_exhausted(self, error: Any) -> bool:
        return self._says(error, self.exhausted)

    def _says(self, error: Any, phrases: Iterable[str]) -> bool:
        return any(phrase in str(error.message).lower() for phrase in phrases)

    def _act(self, driver: Any, cloud_id: str, action: MachineAction) -> None:
        try:
            super()._act(driver, cloud_id, action)
        except self.refusals as error:
            refused = told(error)
            if self._is_already(driver, cloud_id, action, refused.code):
                return
            if self._says(refused, self.busy):
                raise CloudUnavailable("the cloud is still at an earlier call about the machine") from None
            raise

    def _is_already(self, driver: Any, cloud_id: str, action: MachineAction, code: int) -> bool:
        """Return whether the machine is what ``action`` would make it: such a cloud refuses to do it again."""
        wanted = _AFTER.get(action)
        if wanted is None or code not in _NO_TO_STATE:
            return False
        machine = self._unless_missing(lambda: self._one(driver, cloud_id))
        return machine is not None and machine.status is wanted
