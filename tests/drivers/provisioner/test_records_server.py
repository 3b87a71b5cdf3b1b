"""The server that has a provisioner's records: killed under load, not there, asking for a password."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from catalog.errors import InvalidValue, LeaseLost, WrongState
from catalog.messages.contracts import CreateMachine, MachineCreated
from catalog.model.ids import MachineId, MessageId, PlatformId
from catalog.secrets import Secret
from drivers.provisioner.journal import Phase
from drivers.provisioner.shared_records import CONNECTIONS, PostgresqlRecords, check
from gateway.clock import SystemClock
from tests.support import postgresql

PLATFORM = PlatformId("platform_P")
NAMES = [f"m{number}" for number in range(120)]
KILLED_AT = (24, 72)  # so many results


@pytest.fixture
def own_server() -> Iterator[postgresql.PostgresqlServer]:
    """Return a server that a test may kill."""
    with postgresql.running() as server:
        yield server


class Load:
    """Messages received, jobs taken and results written, by as many processes as there are records."""

    def __init__(self) -> None:
        self.done = set[str]()
        self.killed_at = {count: asyncio.Event() for count in KILLED_AT}

    async def tell(self, records: PostgresqlRecords, names: list[str]) -> None:
        """Receive an order for each of ``names``."""
        for name in names:
            asked = CreateMachine(
                id=MessageId(f"create_{name}"), created_at_s=1.0, machine=MachineId(name), platform=PLATFORM,
                name=name, size="s", image="i", attempt=1,
            )  # fmt: skip
            await records.receive_create(asked, {}, records.clock.now_s())

    async def work(self, records: PostgresqlRecords) -> None:
        """Take what is due and report it as made, until everything is."""
        while len(self.done) < len(NAMES):
            # The lease is short: one whose taking was not answered is nobody's until it is over.
            job = await records.take(records.clock.now_s(), 1.0, ())
            if job is None:
                await asyncio.sleep(0.01)
                continue
            result = MachineCreated(
                id=MessageId(f"created_{job.subject}"), created_at_s=1.0, machine=MachineId(job.subject),
                platform=PLATFORM, attempt=1, cloud_id="vm-1",
            )  # fmt: skip
            ready = replace(job, phase=Phase.READY, due_at_s=None)
            try:
                await records.write(ready, [result], records.clock.now_s(), release=True)
            except LeaseLost:
                continue
            self._is_done(job.subject)

    def _is_done(self, name: str) -> None:
        self.done.add(name)
        for count, reached in self.killed_at.items():
            if len(self.done) >= count:
                reached.set()


def test_a_server_that_dies_under_load_loses_nothing(own_server: postgresql.PostgresqlServer) -> None:
    """Killed twice while two processes receive and write: every message is noted once, every result is there once.

    Nor do connections pile up: each process has as many as it may, however often the server went away.
    """
    own_server.run("CREATE DATABASE loaded TEMPLATE template0")
    url, clock = own_server.url("loaded"), SystemClock()

    async def kill(load: Load) -> None:
        for reached in load.killed_at.values():
            await reached.wait()
            await asyncio.to_thread(own_server.stop, signal.SIGQUIT)
            await asyncio.to_thread(own_server.start)

    async def story() -> None:
        load = Load()
        async with PostgresqlRecords.open(url, clock) as one, PostgresqlRecords.open(url, clock) as other:
            async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
                tasks.create_task(kill(load))
                for records, names in ((one, NAMES[::2]), (other, NAMES[1::2])):
                    tasks.create_task(load.tell(records, names))
                    tasks.create_task(load.work(records))
                    tasks.create_task(load.work(records))
            jobs = [await one.job(MachineId(name)) for name in NAMES]
            assert {job.phase if job else None for job in jobs} == {Phase.READY}
            results = {message for records in (one, other) for message, _ in await records.unsent(1000)}
            assert results == {f"created_{name}" for name in NAMES}
            [(connected,)] = own_server.run("SELECT count(*) FROM pg_stat_activity WHERE datname = 'loaded'")
            assert isinstance(connected, int)
            assert connected <= 2 * CONNECTIONS

    asyncio.run(story())


def test_a_server_that_cannot_be_used_names_the_setting(own_server: postgresql.PostgresqlServer) -> None:
    """At the start, and to whoever checks before it; a password that the URL holds is in no text."""
    url = own_server.url("nowhere").replace("@", ":canary@")

    async def story() -> None:
        async with PostgresqlRecords.open(url, SystemClock()):
            pass

    for attempt in (lambda: asyncio.run(story()), lambda: check(url)):
        with pytest.raises(WrongState) as refused:
            attempt()
        assert refused.value.field == "provision.database_url"
        assert "canary" not in f"{refused.value} {refused.value.detail} {refused.value.fix}"
    with pytest.raises(InvalidValue) as misread:
        check("sqlite:////tmp/p.sqlite3")
    assert misread.value.field == "provision.database_url"


def test_a_role_s_password_is_asked_for_and_shown_nowhere(
    own_server: postgresql.PostgresqlServer, caplog: pytest.LogCaptureFixture
) -> None:
    """With it the server lets us in, with another it does not; no text, log or repr has either."""
    own_server.run("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'canary-word'")
    own_server.demand_password("guarded")
    url = own_server.url("postgres").replace(f"{postgresql.ADMIN}@", "guarded@")

    async def story(password: str) -> str:
        async with PostgresqlRecords.open(url, SystemClock(), password=Secret(password)) as records:
            await records.unsent(1)
            return repr(vars(records))

    with caplog.at_level(logging.DEBUG):
        shown = asyncio.run(story("canary-word"))
        with pytest.raises(WrongState) as refused:
            asyncio.run(story("canary-wrong"))
    assert "canary" not in shown + caplog.text + f"{refused.value} {refused.value.detail}"
