"""What happens is told in one order across a restart, and whoever alters the audit log is found out."""

import os
import queue
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from catalog.messages.handshake import public_text
from catalog.messages.signing_key import load_or_create_key
from gateway.bootstrap import SIGNING_KEY_FILE
from gateway.cli.app import app
from gateway.client.client import Client
from gateway.client.events import Event
from gateway.client.problems import ClientError
from tests.support.receivers import is_genuine, receiver
from tests.support.small_world import PATIENCE_S, SmallWorld, small_world
from tests.support.waiting import wait_until

RECORDS = 8  # enough to have something before and after the altered ones


class Watcher:
    """Somebody who watches the event log from its beginning, in a thread of its own."""

    def __init__(self, client: Client) -> None:
        """Begin."""
        self.seen: list[Event] = []
        self.error: ClientError | None = None
        self._fresh: queue.Queue[Event] = queue.Queue()
        threading.Thread(target=self._watch, args=(client,), daemon=True).start()

    def wait_for(self, kind: str, subject: str = "") -> Event:
        """Return the next event of ``kind`` (about ``subject``, if given) among those not looked at yet."""
        while True:
            event = self._fresh.get(timeout=PATIENCE_S)
            self.seen.append(event)
            if event["kind"] == kind and subject in {"", event["subject"]}:
                return event

    def _watch(self, client: Client) -> None:
        try:
            for event in client.events.watch(since=0):
                self._fresh.put(event)
        except ClientError as error:
            self.error = error


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """A world with a gateway that runs, and nothing else yet."""
    settings = '[webhooks]\ninside_networks = ["127.0.0.0/8"]\n'
    with small_world(tmp_path_factory.mktemp("world"), settings=settings) as world:
        world.start_gateway()
        yield world


def test_a_watcher_sees_it_all_in_order_across_a_restart(world: SmallWorld) -> None:
    """Enrolled, connected, granted, ordered, the gateway killed meanwhile: every number once, in order, to the end."""
    watcher = Watcher(world.admin)
    world.declare_network()
    platform = world.enrol()
    watcher.wait_for("platform.enrolled", platform)
    connection = world.connect()
    watcher.wait_for("connection.established", connection)

    assert world.gateway is not None
    os.kill(world.gateway.process.pid, signal.SIGKILL)
    world.gateway.wait_killed()
    world.start_gateway()
    watcher.wait_for("connection.lost", connection)
    watcher.wait_for("connection.established", connection)

    world.accept_all()
    tenant, choice = world.tenant(), world.machine_choice()
    assert choice is not None
    order = tenant.orders.create(**choice)
    done = watcher.wait_for("order.fulfilled", order["id"])
    assert [event["seq"] for event in watcher.seen] == list(range(1, done["seq"] + 1))
    kinds = {event["kind"] for event in watcher.seen}
    assert kinds >= {"grant.granted", "grant.accepted", "offer.offered", "order.placed", "machine.in-use"}
    mine = [event["kind"] for event in tenant.events.list()]
    assert [kind for kind in mine if kind.startswith("order.")][-1] == "order.fulfilled"
    assert {kind.partition(".")[0] for kind in mine} == {"order", "machine"}
    assert watcher.error is None


def test_a_receiver_is_told_and_verifies_what_it_is_told(world: SmallWorld) -> None:
    """Each order's event arrives, signed by either secret while it is changed; all of it is replayed."""
    admin = world.admin
    with receiver() as there:
        there.status = 500
        webhook = admin.webhooks.create(there.url, kind="token")
        secret = str(webhook["signing_secret"])
        admin.tokens.create(role="admin", name="one")
        refused = there.wait_for(lambda sent: sent.document["type"] == "token.issued")
        assert is_genuine(refused, secret)
        there.status = 204
        fresh = str(admin.webhooks.rotate(webhook["id"])["signing_secret"])
        admin.tokens.create(role="admin", name="two")
        second = there.wait_for(lambda sent: sent.document["data"]["facts"]["name"] == "two")
        assert is_genuine(second, secret)
        assert is_genuine(second, fresh)
        assert admin.webhooks.replay(webhook["id"], since=refused.document["data"]["seq"] - 1) == 2
        same = refused.headers["webhook-id"]
        again = there.wait_for(lambda sent: sent.headers["webhook-id"] == same and sent is not refused)
        assert is_genuine(again, fresh)
        wait_until(
            lambda: {each["state"] for each in admin.webhooks.deliveries(webhook["id"])} == {"delivered"}, "all arrived"
        )
        admin.webhooks.remove(webhook["id"])


def edit(database: sqlite3.Connection) -> None:
    """Make record 4 say that somebody else did it."""
    database.execute("UPDATE audit_record SET actor = 'tenant:x' WHERE id = 4")


def delete(database: sqlite3.Connection) -> None:
    """Take record 4 out."""
    database.execute("DELETE FROM audit_record WHERE id = 4")


def swap(database: sqlite3.Connection) -> None:
    """Exchange records 4 and 5."""
    for before, after in ((4, -1), (5, 4), (-1, 5)):
        database.execute("UPDATE audit_record SET id = ? WHERE id = ?", (after, before))


def cut(database: sqlite3.Connection) -> None:
    """Cut record 4 and all later ones off, and turn the log's end back, as who knows the tables would."""
    (digest,) = database.execute("SELECT digest FROM audit_record WHERE id = 3").fetchone()
    database.execute("DELETE FROM audit_record WHERE id >= 4")
    database.execute("UPDATE log_head SET seq = 3, digest = ? WHERE name = 'audit'", (digest,))


@pytest.mark.parametrize(
    ("tamper", "first_bad"),
    [
        pytest.param(edit, "record 4 was altered", id="a row edited"),
        pytest.param(delete, "record 4 was removed", id="one deleted"),
        pytest.param(swap, "record 4 was altered", id="two swapped"),
        # What was done since then took the number 4 anew; what a checkpoint knows and is not there begins with 5.
        pytest.param(cut, "record 5 was cut off", id="the tail cut"),
    ],
)
def test_whoever_alters_the_audit_log_is_found_out(
    world: SmallWorld, tmp_path: Path, tamper: Callable[[sqlite3.Connection], None], first_bad: str
) -> None:
    """The log verifies; then rows are edited, deleted, swapped or cut off in the file, and it names which."""
    key = public_text(load_or_create_key(world.state_dir / SIGNING_KEY_FILE).public_key())
    while sum(1 for _ in world.admin.audit.list()) < RECORDS:
        world.admin.sites.create(name=f"site-{os.urandom(4).hex()}")
    sound, altered = tmp_path / "sound.jsonl", tmp_path / "altered.jsonl"
    exported(world, sound)
    assert "sound: " in verified(sound, key)

    with altering(world, tamper):
        exported(world, altered)
    assert f"NOT SOUND: {first_bad}" in verified(altered, key)


@contextmanager
def altering(world: SmallWorld, tamper: Callable[[sqlite3.Connection], None]) -> Iterator[None]:
    """Have the tables of the running gateway altered until the block ends."""
    tables = ("audit_record", "log_head")
    with closing(sqlite3.connect(world.state_dir / "crossway.sqlite3", timeout=PATIENCE_S)) as database:
        with database:
            database.execute("BEGIN IMMEDIATE")
            kept = {table: database.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
            tamper(database)
        yield
        with database:
            database.execute("BEGIN IMMEDIATE")
            for table, held in kept.items():
                database.execute(f"DELETE FROM {table}")
                database.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(held[0]))})", held)


def exported(world: SmallWorld, file: Path) -> None:
    """Export the log as an admin does."""
    token = world.admin.wire.token
    result = CliRunner().invoke(
        app, ["audit", "export", str(file)], env={"CROSSWAY_SERVER": world.server, "CROSSWAY_TOKEN": token}
    )
    assert result.exit_code == 0, result.output


def verified(file: Path, key: str) -> str:
    """Return what verifying says."""
    result = CliRunner().invoke(app, ["audit", "verify", str(file), "--key", key])
    return result.output
