"""The gateway's side of one line: what a provisioner asks is called by it, as far as the grants allow, and no further.

A call runs here as every other does, through the driver that asks the grants first; only the innermost step, the call
of the cloud, is made at the other end of the line. So it is counted, limited, cut and audited like any other.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from catalog.clouds import CloudAccount, CloudDriver, MachineAction
from catalog.errors import CatalogError, CloudMisbehaved, CloudRefused, CloudTimedOut
from catalog.model.ids import PlatformId
from catalog.ports import Address
from gateway.background.runner import contained
from gateway.egress.frames import READS, Frame, Reader, Writer, number_of, read_frame, until_ended, write_frame
from gateway.egress.methods import PassedOn, method, perform
from gateway.egress.told import pack_account, pack_error, unpack_error
from gateway.errors import InternalError

# What exactly-one needs, and nothing that reads more of an account.
ASKABLE: Final = frozenset(
    {"find_machines", "create_machine", "machine", "act"}
    | {"assets.find", "assets.create", "assets.read", "assets.destroy"}
)
ASKS_LIMIT: Final = 256  # of one line at once; further ones wait


class GrantedClouds(Protocol):
    """What is needed of the gateway's clouds."""

    async def account(self, platform: PlatformId) -> CloudAccount:
        """Return the platform's account as it is now."""
        ...

    async def granted(self, platform: PlatformId, inner: CloudDriver) -> CloudDriver:
        """Return a driver that asks the grants before it calls ``inner``. Raises CloudUnavailable."""
        ...


class AskedLine:
    """One line, from its greeting to its end."""

    def __init__(
        self,
        clouds: GrantedClouds,
        owner: str,
        reader: Reader,
        writer: Writer,
        *,
        cut_off: Callable[[PlatformId], None],
        answer_s: float,
    ) -> None:
        """``cut_off`` closes what this provisioner has dialled at a platform.

        A call that it has not answered for ``answer_s``, longer than its drivers take, is cut.
        """
        self._answer_s = answer_s
        self._clouds = clouds
        self._owner = owner
        self._reader = reader
        self._writer = writer
        self._cut_off = cut_off
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Frame]] = {}
        self._places = asyncio.Semaphore(ASKS_LIMIT)
        self._may_dial: defaultdict[PlatformId, list[CloudAccount]] = defaultdict(list)  # of the calls under way

    async def run(self) -> None:
        """Serve until the other side ends. Raises IncompleteReadError then, CloudMisbehaved for what is no frame."""
        greeting = await read_frame(self._reader)
        offered = greeting.get("reads")
        both = set(READS) & set(offered if isinstance(offered, list) else ())
        if not both:
            fix = "upgrade whichever of gateway and provisioner is older by more than one release"
            write_frame(self._writer, {"error": pack_error(CloudRefused("no version in common", fix=fix))})
            return
        write_frame(self._writer, {"version": max(both), "owner": self._owner})
        asks: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(until_ended(lambda: self._hear(tasks, asks)), name="egress hears")
            ended = await hearing
            # What is called at the other end goes on there, or not: here its outcome is unknown.
            for task in asks:
                task.cancel()
        raise ended

    async def _hear(self, tasks: asyncio.TaskGroup, asks: set[asyncio.Task[None]]) -> None:
        while True:
            self._take(await read_frame(self._reader), tasks, asks)

    def _take(self, frame: Frame, tasks: asyncio.TaskGroup, asks: set[asyncio.Task[None]]) -> None:
        if "answer" in frame:
            # One that nobody waits for any more was cut off.
            if (waiting := self._calls.get(number_of(frame, "answer"))) is not None and not waiting.done():
                waiting.set_result(frame)
        elif "ask" in frame:
            task = tasks.create_task(self._asked(frame, number_of(frame, "ask")), name="egress asked")
            asks.add(task)
            task.add_done_callback(asks.discard)

    async def _asked(self, frame: Frame, number: int) -> None:
        try:
            # Waited for here and not where frames are read: what ends another ask comes the same way.
            async with self._places:
                result = await contained(lambda: self._outcome(frame, number), (CatalogError,))
            end = {"end": number, "result": result}
        except CatalogError as error:
            end = {"end": number, "error": pack_error(error)}
        except InternalError as error:
            end = {"end": number, "error": pack_error(CloudMisbehaved(str(error)))}
        write_frame(self._writer, end)

    async def _outcome(self, frame: Frame, number: int) -> Any:
        name, platform = str(frame.get("method")), PlatformId(str(frame.get("platform")))
        asked = method(name)
        arguments = asked.unpack(frame.get("arguments", {}))
        if name not in ASKABLE or arguments.get("action", MachineAction.DESTROY) is not MachineAction.DESTROY:
            raise CloudRefused(f"no provisioner may ask for '{name}' but what making and ending needs", field="method")
        account = await self._clouds.account(platform)

        async def call(inner: str, /, **given: Any) -> Any:
            return await self._called(account, number, inner, given)

        driver = await self._clouds.granted(platform, PassedOn(call))
        return asked.pack_result(await perform(driver, name, arguments))

    async def _called(self, account: CloudAccount, ask: int, name: str, arguments: Mapping[str, Any]) -> Any:
        """Return what came of calling ``name`` at the other end; cut off when this is cancelled."""
        number, asked = next(self._numbers), method(name)
        waiting = self._calls[number] = asyncio.get_running_loop().create_future()
        self._may_dial[account.platform].append(account)
        try:
            write_frame(
                self._writer,
                {
                    "call": number,
                    "ask": ask,
                    "account": pack_account(account),
                    "method": name,
                    "arguments": asked.pack(arguments),
                },
            )
            async with asyncio.timeout(self._answer_s):
                answer = await waiting
        except (asyncio.CancelledError, TimeoutError) as error:
            write_frame(self._writer, {"cut": number})
            self._cut_off(account.platform)
            if isinstance(error, TimeoutError):
                raise CloudTimedOut("the provisioner did not say what came of the call") from error
            raise
        finally:
            del self._calls[number]
            self._may_dial[account.platform].remove(account)
        if (told := answer.get("error")) is not None:
            raise unpack_error(told)
        return asked.unpack_result(answer.get("result"))

    def may_dial(self, platform: PlatformId, address: Address) -> bool:
        """Tell whether a call at ``platform`` is under way whose account has ``address`` as an approved endpoint."""
        return any(
            address in {each.dial for each in (account.endpoint, *account.services)}
            for account in self._may_dial.get(platform, ())
        )
