"""What of a machine that exists becomes another: its disk, size and name; and what it writes to its console.

A provider overrides what its cloud can do. The methods with an underscore block and run in a platform thread; what is
not overridden is refused.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from catalog.clouds import Proof
from catalog.errors import CloudRefused, CloudTimedOut
from catalog.messages.handshake import Capability
from drivers.clouds.policy import CallPolicy

T = TypeVar("T")

CONSOLE_LENGTH: Final = 65_536  # characters: about what clouds keep, and more than anybody reads
_LINE_LENGTH: Final = 4_096


class Changing:
    """One account's changes of machines. Implements ``catalog.clouds.MachineChanges``."""

    policy: CallPolicy

    def told_lacking(self, proof: Proof) -> Proof:
        """Return ``proof``; one of machines says which changes there is no way to make here: they are on no offer."""
        if proof.capability != Capability.MACHINE or not proof.allowed:
            return proof
        deeds = ("rebuild", "resize", "rename", "console")
        cannot = [deed for deed in deeds if getattr(type(self), f"_{deed}") is getattr(Changing, f"_{deed}")]
        return replace(proof, lacking=(*proof.lacking, *cannot))

    async def rebuild(self, cloud_id: str, image: str) -> None:
        """Ask for the machine's own disk to be made anew from ``image``."""
        await self._do(lambda driver: self._rebuild(driver, cloud_id, image))

    async def resize(self, cloud_id: str, size: str) -> None:
        """Give the machine another size; looks again until it has it. After CloudTimedOut a repeat goes on."""

        def step(*, is_begun: bool) -> Callable[[Any], bool]:
            return lambda driver: self._resize(driver, cloud_id, size, is_begun=is_begun)

        try:
            async with asyncio.timeout(self.policy.resize_deadline_s):
                has_it = await self._do(step(is_begun=False))
                while not has_it:
                    await asyncio.sleep(self.policy.look_again_s)
                    has_it = await self._do(step(is_begun=True))
        except TimeoutError as error:
            raise CloudTimedOut("the cloud is still at it", field="size", fix="ask for the same size again") from error

    async def rename(self, cloud_id: str, name: str) -> None:
        """Have the machine called ``name``."""
        await self._do(lambda driver: self._rename(driver, cloud_id, name))

    async def console(self, cloud_id: str) -> str:
        """Return the newest part of what the machine has written to its console, line by line, printable."""
        written = newest(await self._read(lambda driver: self._console(driver, cloud_id)))
        return "\n".join(self._text(line, _LINE_LENGTH) for line in written.splitlines())

    # What a provider overrides

    def _rebuild(self, driver: Any, cloud_id: str, image: str) -> None:
        del driver, cloud_id, image
        raise _cannot("a machine's disk is not made anew")

    def _resize(self, driver: Any, cloud_id: str, size: str, *, is_begun: bool) -> bool:
        """Take the resize a step further; return whether the machine has its size. ``is_begun``: it was asked for."""
        del driver, cloud_id, size, is_begun
        raise _cannot("a machine keeps its size")

    def _rename(self, driver: Any, cloud_id: str, name: str) -> None:
        del driver, cloud_id, name
        raise _cannot("a machine keeps its name")

    def _console(self, driver: Any, cloud_id: str) -> str:
        del driver, cloud_id
        raise _cannot("a machine's console is not read")

    # What it needs of the driver that it is part of

    async def _do(self, blocking: Callable[[Any], T]) -> T:
        raise NotImplementedError

    async def _read(self, blocking: Callable[[Any], T]) -> T:
        raise NotImplementedError

    def _text(self, value: object, limit: int = 255) -> str:
        raise NotImplementedError


def newest(text: str) -> str:
    """Return the end of a console's text that is worth showing, whole lines alone where it was cut."""
    cut = text[-CONSOLE_LENGTH:]
    return text if len(text) <= CONSOLE_LENGTH else cut.partition("\n")[2] or cut


def _cannot(words: str) -> CloudRefused:
    return CloudRefused(f"{words} at this kind of cloud", field="action", fix="order another machine, or do it there")
