"""Drivers that are kept, threads and all, for as long as their platforms' accounts stay what they are."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from catalog.clouds import CloudAccount, CloudDriver
from catalog.model.ids import PlatformId


@dataclass(frozen=True, slots=True)
class _Held:
    account: CloudAccount
    driver: CloudDriver


class HeldDrivers:
    """One driver a platform, built when it is first wanted and anew when its account has changed."""

    def __init__(self, build: Callable[[CloudAccount], CloudDriver]) -> None:
        """``build`` makes a driver of an account."""
        self._build = build
        self._held: dict[PlatformId, _Held] = {}
        self._building = asyncio.Lock()

    async def of(self, account: CloudAccount) -> CloudDriver:
        """Return the driver for ``account``."""
        async with self._building:
            held = self._held.get(account.platform)
            if held is not None and _same(held.account, account):
                return held.driver
            fresh = self._held[account.platform] = _Held(account, self._build(account))
            if held is not None:
                await held.driver.close()
            return fresh.driver

    async def close(self) -> None:
        """Let go of every driver."""
        for held in self._held.values():
            await held.driver.close()
        self._held.clear()


def _same(one: CloudAccount, other: CloudAccount) -> bool:
    """Tell whether a driver built for ``one`` serves ``other``: secrets compare by what they hold."""
    return one.secret.reveal() == other.secret.reveal() and _public(one) == _public(other)


def _public(account: CloudAccount) -> tuple[object, ...]:
    reached = (account.endpoint, account.services)
    return (account.provider, account.region, *reached, account.account, dict(account.options))
