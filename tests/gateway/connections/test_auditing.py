"""What passages note in the audit log: what is refused or may change something, and through which way it went."""

import asyncio
from pathlib import Path

import pytest
from sqlmodel import select

from catalog.audit import Result
from catalog.errors import Denied
from catalog.model.audit import AuditRecord
from catalog.ports import Asked, PassageCall
from gateway.connections.auditing import may_change
from tests.gateway.api.test_passing import LISTING, World
from tests.gateway.api.test_passing import run as run_passing
from tests.support.streaming import HOST, PORT, streaming_world


@pytest.mark.parametrize(
    ("method", "asked", "expected"),
    [
        ("POST", Asked(what="list", capability="machine", verb="list"), False),
        ("POST", Asked(what="stop", capability="machine", verb="stop"), True),
        ("GET", Asked(what="odd", capability="machine", verb="create"), True),
        ("POST", Asked(what="log-in", is_local=True), False),
        ("GET", Asked(what="versions"), False),
        ("POST", Asked(what="unknown"), True),
    ],
)
def test_what_may_change_something(method: str, asked: Asked, expected: bool) -> None:  # noqa: FBT001
    """Reading by its verb or, where no grant speaks of it, by its method; what cannot be told counts as a change."""
    assert may_change(PassageCall(method=method, address="http://x", path="/"), asked) is expected


def test_calls_are_noted_with_their_way(tmp_path: Path) -> None:
    """A reading call is not noted, a changing one as passed, a refused one as refused; each names passage and route."""

    async def story(it: World) -> None:
        await it.open()
        await it.call(LISTING)
        await it.call({"Action": "StartInstances", "InstanceId.1": "i-1"})
        await it.call({"Action": "StopInstances", "InstanceId.1": "i-1"})
        noted = (await it.api.call("admin", "GET", "/v1/audit?action=passage_call")).body["items"]
        assert [(each["result"], each["code"], each["data"]["what"]) for each in noted] == [
            ("passed", "", "ec2 StartInstances"),
            ("refused", "denied", "ec2 StopInstances"),
        ]
        for each in noted:
            assert (each["actor"], each["actor_name"], each["subject"]) == ("admin", "root", it.opened["id"])
            assert each["via"] == {
                "passage": it.opened["id"],
                "connection": it.api.ids["connection"],
                "route": "",
                "platform": it.api.ids["platform"],
            }

    run_passing(tmp_path, story)


def test_streams_are_noted_opened_or_refused(tmp_path: Path) -> None:
    """A stream that the grants cover is noted with its destination; one that they do not is noted as refused."""

    async def story() -> None:
        async with streaming_world(tmp_path) as world:
            admin = world.principal("admin")
            async with world.streams.opened(admin, "platform", host=HOST, port=PORT):
                pass
            with pytest.raises(Denied):
                await world.streams.opened(admin, "platform", host=HOST, port=PORT + 1).__aenter__()
            found = await world.streams.database.read(lambda tx: tx.exec(select(AuditRecord)).all())
            assert [(row.action, row.result, row.data["what"]) for row in found] == [
                ("open_stream", Result.PASSED, f"{HOST}:{PORT}"),
                ("open_stream", Result.REFUSED, f"{HOST}:{PORT + 1}"),
            ]
            assert found[0].via["connection"] in {world.connection, world.from_other}
            assert (found[1].actor, found[1].subject, found[1].code) == ("admin", "platform", "denied")

    asyncio.run(story())
