"""The database: one process, immediate transactions, durable commits, tables made by migrations."""

import asyncio
import multiprocessing
import sqlite3
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from catalog.errors import InvalidValue, NotFound, WrongState
from catalog.model.ids import SiteId, new_id
from catalog.model.network import Relay, Site, SiteLink
from catalog.store import rows, schema
from catalog.store.database import Database, Tx, is_open_elsewhere, migrate, rehearse, schema_state
from tests.support.clocks import ManualClock
from tests.support.stores import Store, opened_store

CLAIMS = 1_000
OWN = MetaData()
TICKETS = Table("ticket", OWN, Column("id", Integer, primary_key=True), Column("taken_by", String))


def site(name: str) -> Site:
    """Return a site that is not stored yet."""
    return Site(id=SiteId(new_id("site", 0)), name=name)


def test_a_thousand_concurrent_claims_take_a_thousand_tickets(store: Store) -> None:
    """Of 1,000 claims that run at once on 900 tickets 900 get one each, nobody gets another's, and none fails."""

    def claim(tx: Tx, who: str) -> int | None:
        free = select(TICKETS.c.id).where(TICKETS.c.taken_by.is_(None)).limit(1).scalar_subquery()
        taken = update(TICKETS).where(TICKETS.c.id == free).values(taken_by=who).returning(TICKETS.c.id)
        return tx.connection().execute(taken).scalar_one_or_none()

    async def all_at_once() -> list[int | None]:
        await store.database.ensure_tables(OWN)
        await store.database.write(
            lambda tx: tx.connection().execute(insert(TICKETS), [{"id": number} for number in range(900)])
        )
        async with asyncio.TaskGroup() as tasks:
            claims = [
                tasks.create_task(store.database.write(lambda tx, who=str(number): claim(tx, who)))
                for number in range(CLAIMS)
            ]
        return [claim.result() for claim in claims]

    got = store._runner.run(all_at_once())
    taken = [ticket for ticket in got if ticket is not None]
    assert sorted(taken) == list(range(900))
    holders = store.read(lambda tx: dict(tx.connection().execute(select(TICKETS.c.id, TICKETS.c.taken_by)).all()))
    assert all(holders[ticket] == str(who) for who, ticket in enumerate(got) if ticket is not None)


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    """Whatever was done before an error is undone, and the error arrives as it was raised."""

    def work(tx: Tx) -> None:
        rows.insert(tx, site("fra"), 1.0)
        raise NotFound("on purpose")

    with pytest.raises(NotFound, match="on purpose"):
        store.write(work)
    assert store.read(lambda tx: rows.where(tx, Site)) == []


def test_a_stop_iteration_does_not_hang_the_caller(store: Store) -> None:
    """StopIteration, which a future cannot carry, arrives as RuntimeError instead of never."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        store.write(lambda _: next(iter(())))


def test_rows_stay_readable_after_the_commit(store: Store) -> None:
    """A row that left its transaction still has all its values, those written in it included."""
    kept = store.write(lambda tx: rows.insert(tx, site("fra"), 7.0))
    seen = store.read(lambda tx: rows.by_id(tx, Site, kept.id))
    assert (kept.name, kept.created_at_s, kept.version) == (seen.name, seen.created_at_s, seen.version) == ("fra", 7, 1)


def test_a_read_cannot_write(store: Store) -> None:
    """A change made in a read fails, even one that was never flushed, and is not in the database."""
    with pytest.raises(DBAPIError, match=r"read-?only"):
        store.read(lambda tx: tx.add(site("fra")))
    assert store.read(lambda tx: rows.where(tx, Site)) == []


def _try_to_open(url: str, answer: Pipe) -> None:
    async def attempt() -> None:
        async with Database.open(url, clock=ManualClock()):
            answer.send("opened")

    try:
        asyncio.run(attempt())
    except WrongState as error:
        answer.send((error.field, str(error), error.fix))


def test_a_second_process_is_refused_and_let_in_later(store: Store) -> None:
    """While one process has the database open another gets an error that names the setting; after that it gets in."""
    mine, theirs = multiprocessing.Pipe()
    fresh = multiprocessing.get_context("spawn")
    second = fresh.Process(target=_try_to_open, args=(store.url, theirs))
    second.start()
    assert mine.poll(60)
    field, words, fix = mine.recv()
    second.join()
    with pytest.raises(WrongState, match=r"database\.url"):
        migrate(store.url)
    assert is_open_elsewhere(store.url)
    assert field == "database.url"
    assert "database.url" in words
    assert "stop the other process" in fix
    store.close()
    assert not is_open_elsewhere(store.url)
    _try_to_open(store.url, theirs)
    assert mine.recv() == "opened"


def test_what_is_rehearsed_is_seen_and_does_not_stay(store: Store) -> None:
    """A rehearsal sees what is there, beside the process that has the database open, and leaves nothing behind."""
    store.write(lambda tx: rows.insert(tx, site("fra"), 1.0))

    def work(tx: Tx) -> list[str]:
        rows.insert(tx, site("sin"), 2.0)
        return sorted(each.name for each in rows.where(tx, Site))

    assert [rehearse(store.url, work) for _ in range(2)] == [["fra", "sin"]] * 2
    assert [each.name for each in store.read(lambda tx: rows.where(tx, Site))] == ["fra"]


def test_migrations_make_exactly_the_tables_of_the_models(store: Store) -> None:
    """An empty database migrated to the newest release differs in nothing from the models' metadata."""

    def difference(tx: Tx) -> list[object]:
        own = set(schema.metadata().tables)
        context = MigrationContext.configure(
            tx.connection(),
            opts={"include_name": lambda name, kind, _: kind != "table" or name in own, "compare_type": True},
        )
        return list(compare_metadata(context, schema.metadata()))

    assert store.read(difference) == []


def _as_release_made_it(url: str, revision: str) -> None:
    """Make the tables of the release whose newest migration is ``revision``."""
    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_what_older_releases_declared_stands_at_no_risk(tmp_path: Path) -> None:
    """A relay and a link of the release before risk and capacity come through the migration with neither."""
    path = tmp_path / "crossway.db"
    url = f"sqlite:///{path}"
    _as_release_made_it(url, "0002")
    common = "version, created_at_s, updated_at_s, id"
    with sqlite3.connect(path) as old:
        for name in ("fra", "sin"):
            old.execute(f"INSERT INTO site ({common}, name, region) VALUES (1, 0, 0, '{name}', '{name}', '')")
        old.execute(
            f"INSERT INTO relay ({common}, name, site_id, host, port, user, host_key, addresses_from, enabled)"
            " VALUES (1, 0, 0, 'r', 'fra-1', 'fra', 'h', 22, 'u', 'k', '{}', 1)"
        )
        old.execute(
            f"INSERT INTO sitelink ({common}, source_id, target_id, both_ways) VALUES (1,0,0,'l','fra','sin',1)"
        )
    old.close()
    assert schema_state(url) is schema.SchemaState.OLDER
    migrate(url)
    with opened_store(tmp_path) as store:
        relay = store.read(lambda tx: rows.by_id(tx, Relay, "r"))
        assert (relay.risk, relay.risk_groups) == (0.0, [])
        assert store.read(lambda tx: rows.by_id(tx, SiteLink, "l")).capacity_mbps is None


def test_an_interrupted_migration_leaves_an_empty_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that fails half-way leaves no table behind, and the next start makes them all."""
    url = f"sqlite:///{tmp_path / 'crossway.db'}"

    def die(connection: object) -> None:
        whole(connection)  # type: ignore[arg-type]
        raise NotFound("died")

    with monkeypatch.context() as patched:
        whole = schema.migrate
        patched.setattr(schema, "migrate", die)
        with pytest.raises(NotFound, match="died"):
            migrate(url)
    assert schema_state(url) is schema.SchemaState.EMPTY
    migrate(url)
    migrate(url)
    assert schema_state(url) is schema.SchemaState.CURRENT


def test_tables_of_a_newer_release_are_left_alone(tmp_path: Path) -> None:
    """A database that a newer release wrote is not opened: the error says what to do instead."""
    with opened_store(tmp_path) as store:
        store.write(lambda tx: tx.connection().execute(text("UPDATE alembic_version SET version_num = '9999'")))
    assert schema_state(f"sqlite:///{store.path}") is schema.SchemaState.NEWER
    with pytest.raises(WrongState, match=r"database\.url are newer"), opened_store(tmp_path):
        pass


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://u:canary@h/d"])
def test_a_url_that_is_not_understood_names_the_setting(url: str) -> None:
    """A URL that cannot be used is refused with the setting's name, and not repeated: it may hold a password."""
    with pytest.raises(InvalidValue) as refused:
        schema_state(url)
    assert refused.value.field == "database.url"
    assert "canary" not in f"{refused.value} {refused.value.fix}"
