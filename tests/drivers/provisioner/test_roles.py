"""Least privilege: ``config/roles.sql`` on a real server, and what each application's role is denied of the other's."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from catalog.store.database import Database
from drivers.provisioner.shared_records import SCHEMA, PostgresqlRecords
from tests.support.clocks import ManualClock
from tests.support.postgresql import ADMIN, PostgresqlServer

ROLES = Path(__file__).parents[3] / "config" / "roles.sql"
CATALOG, PROVISIONER = "crossway", "crossway_provisioner"
DEEDS = (
    "SELECT * FROM {}",
    "SELECT count(*) FROM {}",
    "INSERT INTO {} DEFAULT VALUES",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "LOCK TABLE {} IN ACCESS SHARE MODE",
    "DROP TABLE {}",
    "GRANT ALL ON {} TO PUBLIC",
)


@pytest.fixture
def url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """Return the URL of a database in which both applications have made their tables, each as its own role."""
    with postgresql_server.fresh() as made:
        with psycopg.connect(made, autocommit=True) as admin:
            for _ in range(2):  # an operator may run it again
                admin.execute(ROLES.read_bytes())

        async def start_both() -> None:
            clock = ManualClock()
            async with (
                Database.open(as_role(made, CATALOG), clock=clock),
                PostgresqlRecords.open(as_role(made, PROVISIONER), clock),
            ):
                pass

        asyncio.run(start_both())
        yield made


def as_role(url: str, role: str) -> str:
    """Return the URL for whoever logs in as ``role``."""
    return url.replace(f"//{ADMIN}@", f"//{role}@")


def tables(url: str, schema: str) -> list[str]:
    """Return every table of a schema, as the superuser sees them."""
    with psycopg.connect(url) as admin:
        found = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,))
        return sorted(name for (name,) in found)


@pytest.mark.parametrize(("role", "schema"), [(PROVISIONER, "public"), (CATALOG, SCHEMA)])
def test_a_role_is_denied_every_table_of_the_other_application(url: str, role: str, schema: str) -> None:
    """Neither reads, writes, locks, drops nor shares one of them, whatever it is called."""
    denied = tables(url, schema)
    assert len(denied) >= 4
    with psycopg.connect(as_role(url, role), autocommit=True) as connection:
        for table in denied:
            for deed in DEEDS:
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(sql.SQL(deed).format(sql.Identifier(schema, table)))


@pytest.mark.parametrize(
    "deed",
    [
        "CREATE TABLE public.mine (a int)",
        "CREATE SCHEMA mine",
        "SET ROLE crossway",
        "CREATE ROLE another",
        "ALTER ROLE crossway_provisioner SUPERUSER",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
def test_the_provisioner_s_role_makes_nothing_and_becomes_nobody_outside_its_schema(url: str, deed: str) -> None:
    """What would give it more than its own tables is refused."""
    with (
        psycopg.connect(as_role(url, PROVISIONER), autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(deed.encode())


def test_a_stranger_s_role_does_not_come_in(url: str) -> None:
    """A role of the same server that the file does not name may not even connect."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE ROLE stranger LOGIN")
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                psycopg.connect(as_role(url, "stranger"))
        finally:
            admin.execute("DROP ROLE stranger")
