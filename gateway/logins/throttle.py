"""How often one may try to log in: tokens in buckets, by address and by user, that fill again by themselves.

A user's bucket keeps strangers from guessing. It must not become a way to lock the user out, so whoever logs in from
where that user was let in before has a bucket of the own, which no stranger can empty. Nothing here locks for ever.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from gateway.errors import TooManyLogins

_SUBNET = 64  # bits: what one holder of IPv6 addresses has at least (RFC 6177), each of which would be a fresh bucket
_KNOWN = 20_000  # buckets that are remembered; the one that was not asked for longest is forgotten first


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many tries at once, and one more each ``every_s``."""

    burst: int
    every_s: float


BY_ADDRESS = Rate(burst=30, every_s=4.0)
BY_USER = Rate(burst=10, every_s=30.0)


class Throttle:
    """The buckets. A try takes a token of each of its buckets; a log-in that succeeds gives them back."""

    def __init__(self, *, by_address: Rate = BY_ADDRESS, by_user: Rate = BY_USER) -> None:
        """Begin with full buckets."""
        self._rates = {"address": by_address, "user": by_user}
        self._tries: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, user: str, address: str, now_s: float, *, is_known_there: bool) -> None:
        """Take a try. Raises TooManyLogins, saying when to come back, and takes nothing, when none is left."""
        keys = self._keys(user, address, is_known_there=is_known_there)
        left = {key: self._left(key, now_s) for key in keys}
        waits_s = [(1 - tokens) * self._rates[key[0]].every_s for key, tokens in left.items() if tokens < 1]
        if waits_s:
            raise TooManyLogins(
                "too many failed log-ins", retry_after_s=max(waits_s), fix="wait as Retry-After says, then try again"
            )
        for key, tokens in left.items():
            self._keep(key, tokens - 1, now_s)

    def give_back(self, user: str, address: str, now_s: float, *, is_known_there: bool) -> None:
        """Give back what the try took: it succeeded."""
        for key in self._keys(user, address, is_known_there=is_known_there):
            self._keep(key, min(float(self._rates[key[0]].burst), self._left(key, now_s) + 1), now_s)

    def _keys(self, user: str, address: str, *, is_known_there: bool) -> list[tuple[str, str]]:
        place = _place(address)
        return [("address", place), ("user", f"{user} at {place}" if is_known_there else user)]

    def _left(self, key: tuple[str, str], now_s: float) -> float:
        rate = self._rates[key[0]]
        tokens, at_s = self._tries.get(key, (float(rate.burst), now_s))
        return min(float(rate.burst), tokens + max(0.0, now_s - at_s) / rate.every_s)

    def _keep(self, key: tuple[str, str], tokens: float, now_s: float) -> None:
        self._tries[key] = (tokens, now_s)
        self._tries.move_to_end(key)
        while len(self._tries) > _KNOWN:
            self._tries.popitem(last=False)


def _place(address: str) -> str:
    """Return where the address is, as far as guesses are counted together: an IPv6 one's network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, _SUBNET), strict=False)) if found.version == 6 else address  # noqa: PLR2004
