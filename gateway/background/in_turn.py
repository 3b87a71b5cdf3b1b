"""Work at one platform's machines, one after the other: trouble with one of them is nobody else's.

No clock. What is remembered is only an order, and a restart forgets it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from catalog.errors import CatalogError
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from gateway.background.rounds import Visit

# So many in a row that are not answered for are not their own trouble any more, but the platform's.
SILENT_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class InTurn:
    """Which machines could not be worked on the last time: they come last, so that none waits behind them for ever."""

    _ill: dict[PlatformId, frozenset[str]] = field(default_factory=dict)

    def visits(
        self, machines: Iterable[Machine], deed: Callable[[Machine], Awaitable[None]]
    ) -> Mapping[PlatformId, Visit]:
        """Return a visit to each platform of these machines, in which ``deed`` is done to its own as in ``each``."""
        by_platform: dict[PlatformId, list[Machine]] = {}
        for machine in machines:
            by_platform.setdefault(machine.platform_id, []).append(machine)
        return {platform: partial(self.each, platform, theirs, deed) for platform, theirs in by_platform.items()}

    async def each(
        self, platform: PlatformId, machines: Sequence[Machine], deed: Callable[[Machine], Awaitable[None]]
    ) -> None:
        """Do ``deed`` to each machine of ``platform``, and raise at the end what the first could not be done for now.

        Given up after ``SILENT_IN_A_ROW`` in a row. An error that will not pass, and any that is not the catalog's,
        leaves at once.
        """
        ill, failed, in_a_row = self._ill.get(platform, frozenset()), list[tuple[str, CatalogError]](), 0
        reached = set[str]()
        try:
            for machine in sorted(machines, key=lambda each: each.id in ill):
                reached.add(machine.id)
                try:
                    await deed(machine)
                    in_a_row = 0
                except CatalogError as error:
                    if not error.retryable:
                        raise
                    failed.append((machine.id, error))
                    in_a_row += 1
                    if in_a_row == SILENT_IN_A_ROW:
                        break
        finally:
            left = frozenset({id_ for id_, _ in failed} | {each.id for each in machines if each.id in ill - reached})
            if left:
                self._ill[platform] = left
            else:
                self._ill.pop(platform, None)
        if failed:
            raise failed[0][1]
