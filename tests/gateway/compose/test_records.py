"""Which records the settings name, and how the password for them is found."""

import asyncio
from pathlib import Path

import pytest

from drivers.provisioner.records import SqliteRecords
from drivers.provisioner.shared_records import PostgresqlRecords
from gateway.compose.records import check_records, provisioner_records
from gateway.errors import InvalidSettings
from gateway.sections import ProvisionSettings
from tests.support.clocks import ManualClock
from tests.support.postgresql import PostgresqlServer


def test_a_file_unless_a_server_is_named(tmp_path: Path, postgresql_server: PostgresqlServer) -> None:
    """By a file's records the host's clock counts; by a server's its own."""
    host = ManualClock()

    async def story(url: str) -> None:
        async with provisioner_records(ProvisionSettings(), tmp_path, host) as (records, clock):
            assert isinstance(records, SqliteRecords)
            assert clock is host
        async with provisioner_records(ProvisionSettings(database_url=url), tmp_path, host) as (records, clock):
            assert isinstance(records, PostgresqlRecords)
            assert clock is records.clock

    with postgresql_server.fresh() as url:
        asyncio.run(story(url))
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".sqlite3"] == ["provisioner.sqlite3"]


def test_the_password_stands_in_a_file_of_our_own(tmp_path: Path, postgresql_server: PostgresqlServer) -> None:
    """It is given to the server that asks for it; a file that others may read, or none, is refused by its setting."""
    postgresql_server.run("CREATE ROLE filed LOGIN SUPERUSER PASSWORD 'canary-word'")
    postgresql_server.demand_password("filed")
    url = postgresql_server.url("postgres").replace("//crossway_tests@", "//filed@")
    settings = ProvisionSettings(database_url=url, database_password_file=Path("provision.password"))
    file = tmp_path / "provision.password"

    with pytest.raises(InvalidSettings, match="cannot be read"):
        check_records(settings, tmp_path)
    file.touch(mode=0o600)
    file.write_text("canary-word\n")
    check_records(settings, tmp_path)
    file.chmod(0o640)
    with pytest.raises(InvalidSettings, match="others may read") as refused:
        check_records(settings, tmp_path)
    assert refused.value.field == "provision.database_password_file"


@pytest.mark.parametrize("url", ["postgresql://role:canary@host/name", "sqlite:////tmp/p.sqlite3"])
def test_a_url_with_a_password_or_of_another_kind_is_no_setting(url: str) -> None:
    """The URL is printed, so that no password may stand in it; only PostgreSQL can be shared."""
    with pytest.raises(ValueError, match="database_url"):
        ProvisionSettings(database_url=url)
