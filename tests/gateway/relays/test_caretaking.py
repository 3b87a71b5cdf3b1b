"""Key files are kept relay by relay: what is wrong with one is that one's alone."""

import asyncio
from pathlib import Path

import asyncssh

from catalog import network
from catalog.model.network import Relay
from catalog.model.relay_care import RelayCare
from catalog.permits import ADDRESS_LIMIT
from catalog.relay_care import GatewayKeys
from catalog.store import rows
from catalog.store.database import Tx
from gateway.relays.caretaking import Caretaking
from gateway.relays.reach import Reach
from gateway.relays.ssh_keys import public_line
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from tests.support.api_world import ApiWorld, api_world
from tests.support.sshd import free_port
from tests.support.stores import HOST_KEY

KEY = asyncssh.generate_private_key("ssh-ed25519")
TOO_MANY = [f"10.{number // 62_500}.{number // 250 % 250}.{number % 250}:22" for number in range(ADDRESS_LIMIT)]


def caretaking(world: ApiWorld) -> Caretaking:
    """Return the task over the world's database."""
    shown, credentials = public_line(KEY), TunnelCredentials(client_key=KEY)
    return Caretaking(
        database=world.services.database,
        clock=world.clock,
        gateway_site="fra",
        reach=Reach(credentials=credentials, policy=TunnelPolicy()),
        caretaker=credentials,
        keys=lambda: GatewayKeys(shown=shown, accepted=(shown,), authority=shown, caretaker=shown),
        check_period_s=60,
    )


def _declare(tx: Tx) -> None:
    rows.update(tx, rows.by_name_or_id(tx, Relay, "fra-1"), {"also_permitted": TOO_MANY, "caretaker": "c"}, 1.0)
    network.add_relay(
        tx, name="fra-2", site="fra", host="127.0.0.1", port=free_port(), user="u", host_key=HOST_KEY, caretaker="c",
        now_s=1.0,
    )  # fmt: skip


def _codes(tx: Tx) -> dict[str, str]:
    return {relay.name: rows.by_id(tx, RelayCare, relay.id).code for relay in rows.where(tx, Relay)}


def test_a_relay_with_more_addresses_than_an_sshd_takes_holds_up_no_other(tmp_path: Path) -> None:
    """It is told as failing wherever it is shown, and can still be changed; the other one is looked after (refused)."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await world.write(_declare)
            assert await caretaking(world).run_once() == 0
            assert await world.services.database.read(_codes) == {"fra-1": "invalid-value", "fra-2": "hop-refused"}
            shown = await world.call("admin", "GET", "/v1/relays")
            told = {each["name"]: each["permits"] for each in shown.body["items"]}
            assert (told["fra-1"]["state"], told["fra-1"]["code"]) == ("failing", "invalid-value")
            changed = await world.call("admin", "PATCH", "/v1/relays/fra-1", {"also_permitted": []})
            assert changed.status == 200

    asyncio.run(story())
