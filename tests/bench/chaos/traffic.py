"""Tenants who order over HTTP, ask again with the same key when nobody answers, and wait for the end."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

_ASK_AGAIN_S = 0.2
# Whoever looks makes the gateway work: seldom, and at one order where that is enough.
_LOOK_EVERY_S = 0.5
_END_LOOK_S = 1.0
_PATIENCE_S = 30.0
_PAGE = 200
_AWAY = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(slots=True, kw_only=True)
class Traffic:
    """Orders of one tenant. ``url`` may be left by a gateway and taken up by the next."""

    url: str
    token: str
    choice: Mapping[str, str]
    accepted: dict[str, str] = field(default_factory=dict)  # order ids by key
    answers_s: list[float] = field(default_factory=list)
    ended: int = 0
    more_ended: asyncio.Condition = field(default_factory=asyncio.Condition)
    _waiting: dict[str, asyncio.Event] = field(default_factory=dict)

    async def flow(self, count: int, *, under_way: int, within_s: float) -> None:
        """Order ``count`` machines, ``under_way`` at a time, each seen to its end. Raises TimeoutError."""
        keys = iter(range(count))

        async def one_after_another(http: aiohttp.ClientSession) -> None:
            for number in keys:
                await self._end_of(await self._order(http, f"flow-{number}"))
                async with self.more_ended:
                    self.ended += 1
                    self.more_ended.notify_all()

        async with asyncio.timeout(within_s), self._session() as http, asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look_for_ever(http))
            async with asyncio.TaskGroup() as tenants:
                for _ in range(under_way):
                    tenants.create_task(one_after_another(http))
            looking.cancel()

    async def burst(self, count: int, *, under_way: int, within_s: float) -> None:
        """Order ``count`` machines, ``under_way`` at a time to be answered, and see all to their end: to the second.

        Raises TimeoutError.
        """
        keys = iter(range(count))

        async def one_after_another(http: aiohttp.ClientSession) -> None:
            for number in keys:
                await self._order(http, f"burst-{number}")

        async with asyncio.timeout(within_s):
            async with self._session() as http, asyncio.TaskGroup() as tenants:
                for _ in range(under_way):
                    tenants.create_task(one_after_another(http))
            await self.all_ended(within_s=within_s)

    async def until_ended(self, count: float) -> None:
        """Wait until ``count`` orders of the flow have ended."""
        async with self.more_ended:
            await self.more_ended.wait_for(lambda: self.ended >= count)

    async def arrive(self, count: int, *, per_s: float, within_s: float) -> None:
        """Order ``count`` machines at the moments of an even rate, whether or not the earlier ones are answered."""
        async with asyncio.timeout(within_s), self._session() as http, asyncio.TaskGroup() as tenants:
            begun_s = time.perf_counter()
            for number in range(count):
                due_s = begun_s + number / per_s
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                tenants.create_task(self._timed_order(http, f"arrive-{number}", due_s))

    async def all_ended(self, *, within_s: float) -> None:
        """Wait until no order is being created. Raises TimeoutError."""
        async with asyncio.timeout(within_s), self._session() as http:
            while True:
                if (creating := await self._in_state(http, "creating", limit=1)) is not None and not creating:
                    return
                await asyncio.sleep(_END_LOOK_S)

    async def in_state(self, state: str) -> set[str]:
        """Return the ids of all orders in ``state``, asking until somebody answers."""
        async with asyncio.timeout(_PATIENCE_S), self._session() as http:
            while True:
                if (found := await self._in_state(http, state)) is not None:
                    return found
                await asyncio.sleep(_ASK_AGAIN_S)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=aiohttp.ClientTimeout(total=_PATIENCE_S),
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def _timed_order(self, http: aiohttp.ClientSession, key: str, due_s: float) -> None:
        await self._order(http, key)
        self.answers_s.append(time.perf_counter() - due_s)

    async def _order(self, http: aiohttp.ClientSession, key: str) -> str:
        """Return the id of the order that was accepted for ``key``; whoever calls has a deadline."""
        while True:
            try:
                async with http.post(
                    f"{self.url}/v1/orders", json=dict(self.choice), headers={"Idempotency-Key": key}
                ) as answer:
                    told = await answer.json()
            except _AWAY:
                pass
            else:
                if answer.status == HTTPStatus.ACCEPTED:
                    self.accepted[key] = told["id"]
                    return str(told["id"])
                if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and "Retry-After" not in answer.headers:
                    raise RuntimeError(f"refused: {answer.status} {told}")
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _end_of(self, order: str) -> None:
        await self._waiting.setdefault(order, asyncio.Event()).wait()

    async def _look_for_ever(self, http: aiohttp.ClientSession) -> None:
        while True:
            # Only of those that were accepted before the look does not being in it say anything.
            asked = set(self._waiting)
            creating = await self._in_state(http, "creating") if asked else None
            if creating is not None:
                for order in asked - creating:
                    self._waiting.pop(order).set()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _in_state(self, http: aiohttp.ClientSession, state: str, *, limit: int | None = None) -> set[str] | None:
        """Return the ids of all orders in ``state``, or of ``limit``; None when nobody answers."""
        found: set[str] = set()
        page: dict[str, str] = {}
        try:
            while True:
                query = {"state": state, "limit": str(limit or _PAGE), **page}
                async with http.get(f"{self.url}/v1/orders", params=query) as answer:
                    if answer.status != HTTPStatus.OK:
                        return None
                    told = await answer.json()
                found.update(each["id"] for each in told["items"])
                if limit or not told["next_page_token"]:
                    return found
                page = {"page_token": told["next_page_token"]}
        except _AWAY:
            return None
