"""Where the provisioner's records are: a file of this process alone, or the PostgreSQL that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from catalog.ports import Clock
from catalog.secrets import Secret
from drivers.provisioner.records import SqliteRecords, SqlRecords
from drivers.provisioner.shared_records import PostgresqlRecords, check
from gateway.secret_files import read_secret
from gateway.sections import ProvisionSettings

PROVISIONER_FILE = "provisioner.sqlite3"


@asynccontextmanager
async def provisioner_records(
    settings: ProvisionSettings, state_dir: Path, clock: Clock
) -> AsyncIterator[tuple[SqlRecords, Clock]]:
    """Give the records, and the clock that whoever works them off goes by. Raises WrongState, InvalidSettings."""
    if not settings.database_url:
        async with SqliteRecords.open(state_dir / PROVISIONER_FILE) as alone:
            yield alone, clock
        return
    password = _password(settings, state_dir)
    async with PostgresqlRecords.open(settings.database_url, clock, password=password) as shared:
        yield shared, shared.clock


def check_records(settings: ProvisionSettings, state_dir: Path) -> None:
    """Raise what opening the records that the settings name would; changes nothing."""
    check(settings.database_url, password=_password(settings, state_dir))


def _password(settings: ProvisionSettings, state_dir: Path) -> Secret | None:
    if settings.database_password_file is None:
        return None
    return read_secret(state_dir / settings.database_password_file, field="provision.database_password_file")
