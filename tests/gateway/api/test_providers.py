"""Whoever looks before enrolling a platform is told what may be done at its provider, and how that was tried."""

import asyncio
from pathlib import Path

from tests.support.api_world import api_world


def test_each_provider_says_what_may_be_done_and_how_that_was_tried(tmp_path: Path) -> None:
    """One where machines are made at an emulated server only, one that lists, one that is refused; by filter too."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            reply = await world.call("admin", "GET", "/v1/providers")
            told = {each["name"]: each for each in reply.body["items"]}
            linode, upcloud, azure = told["linode"], told["upcloud"], told["azure"]
            assert (linode["standing"], linode["may"]) == ("emulated", ["list", "create", "act"])
            assert linode["capabilities"]["machine"] == "emulated"
            assert "key pair" in linode["note"]
            assert (upcloud["standing"], upcloud["may"]) == ("contract", ["list"])
            assert "machine" not in upcloud["capabilities"]
            assert (azure["standing"], azure["may"], azure["capabilities"]) == ("refused", [], {})
            emulated = await world.call("admin", "GET", "/v1/providers?standing=emulated")
            names = {each["name"] for each in emulated.body["items"]}
            assert names == {name for name, each in told.items() if each["standing"] == "emulated"}
            assert names

    asyncio.run(story())
