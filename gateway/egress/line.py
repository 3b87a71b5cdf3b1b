"""The provisioner's side of one line: asks the gateway, and makes the calls that it allows."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.clouds import CloudAccount, CloudDriver
from catalog.errors import CatalogError, CloudMisbehaved, CloudTimedOut, CloudUnavailable
from catalog.model.ids import PlatformId
from gateway.egress.frames import READS, Frame, Reader, Writer, number_of, read_frame, until_ended, write_frame
from gateway.egress.methods import method, perform
from gateway.egress.told import pack_error, unpack_account, unpack_error

DriverOf = Callable[[CloudAccount], Awaitable[CloudDriver]]


@dataclass(slots=True)
class _Ask:
    """One question, and the calls that are made for it."""

    ended: asyncio.Future[Frame]
    calls: set[int] = field(default_factory=set)
    begun: bool = False  # something was called for it: its outcome is not known when the line breaks


class AskingLine:
    """One line, greeted already. ``owner`` is the mark that its gateway wants on everything that is made."""

    def __init__(self, reader: Reader, writer: Writer, *, owner: str, driver_of: DriverOf) -> None:
        """``driver_of`` returns the driver that makes an account's calls."""
        self.owner = owner
        self._reader = reader
        self._writer = writer
        self._driver_of = driver_of
        self._numbers = itertools.count(1)
        self._asks: dict[int, _Ask] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._broken = False

    @classmethod
    async def greet(cls, reader: Reader, writer: Writer, driver_of: DriverOf) -> "AskingLine":
        """Return the line once the gateway has answered. Raises what it says no by, IncompleteReadError."""
        write_frame(writer, {"reads": READS})
        answer = await read_frame(reader)
        if (told := answer.get("error")) is not None:
            raise unpack_error(told)
        if answer.get("version") not in READS:
            raise CloudMisbehaved("the gateway speaks a version that it was not offered")
        return cls(reader, writer, owner=str(answer["owner"]), driver_of=driver_of)

    async def run(self) -> None:
        """Hear the gateway until the line ends. Raises IncompleteReadError then, CloudMisbehaved for no frame."""
        try:
            async with asyncio.TaskGroup() as tasks:
                ended = await tasks.create_task(until_ended(lambda: self._hear(tasks)), name="egress hears")
                for task in tuple(self._calls.values()):
                    task.cancel()
        finally:
            self._broken = True
            for ask in self._asks.values():
                if not ask.ended.done():
                    ask.ended.set_exception(_broken(ask))
        raise ended

    async def ask(self, platform: PlatformId, name: str, arguments: Mapping[str, Any]) -> Any:
        """Return what calling ``name`` at ``platform`` came to. Raises what a driver does."""
        if self._broken:
            raise CloudUnavailable("there is no line to the gateway")
        number, asked = next(self._numbers), method(name)
        ask = self._asks[number] = _Ask(asyncio.get_running_loop().create_future())
        question = {"ask": number, "platform": platform, "method": name, "arguments": asked.pack(arguments)}
        try:
            write_frame(self._writer, question)
            end = await ask.ended
        finally:
            del self._asks[number]
            for call in tuple(ask.calls):
                self._calls[call].cancel()
        if (told := end.get("error")) is not None:
            raise unpack_error(told)
        return asked.unpack_result(end.get("result"))

    async def _hear(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._take(await read_frame(self._reader), tasks)

    def _take(self, frame: Frame, tasks: asyncio.TaskGroup) -> None:
        if "end" in frame:
            if (ask := self._asks.get(number_of(frame, "end"))) is not None and not ask.ended.done():
                ask.ended.set_result(frame)
        elif "cut" in frame:
            if (task := self._calls.get(number_of(frame, "cut"))) is not None:
                task.cancel()
        elif "call" in frame:
            number, ask = number_of(frame, "call"), self._asks.get(number_of(frame, "ask"))
            if ask is not None:
                ask.begun = True
                ask.calls.add(number)
            task = self._calls[number] = tasks.create_task(self._called(frame, number, ask), name=f"egress {number}")
            task.add_done_callback(lambda ended: self._ended(number, ask, was_cut=ended.cancelled()))

    async def _called(self, frame: Frame, number: int, ask: _Ask | None) -> None:
        write_frame(self._writer, {"answer": number, **await self._answer(frame, ask)})

    def _ended(self, number: int, ask: _Ask | None, *, was_cut: bool) -> None:
        """Forget a call. One that was cut, perhaps before it began, is answered for all the same: somebody waits."""
        del self._calls[number]
        if ask is not None:
            ask.calls.discard(number)
        if was_cut:
            error = CloudTimedOut("the call was cut off, and its outcome is not known")
            write_frame(self._writer, {"answer": number, "error": pack_error(error)})

    async def _answer(self, frame: Frame, ask: _Ask | None) -> Mapping[str, Any]:
        try:
            if ask is None:
                raise CloudUnavailable("nobody waits for this call any more: it was not made")
            called = method(frame.get("method"))
            driver = await self._driver_of(unpack_account(frame["account"]))
            result = await perform(driver, str(frame["method"]), called.unpack(frame.get("arguments", {})))
        except CatalogError as error:
            return {"error": pack_error(error)}
        return {"result": called.pack_result(result)}


def _broken(ask: _Ask) -> CatalogError:
    if ask.begun:
        return CloudTimedOut("the line to the gateway broke during the call, and its outcome is not known")
    return CloudUnavailable("the line to the gateway broke")
