"""The tables of ``catalog.model`` in a database: which release made them, and how they are brought up to this one.

Works on a connection that is inside a transaction: either all of a migration happens or nothing does.
"""

import importlib
import pkgutil
from enum import StrEnum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect
from sqlmodel import SQLModel

import catalog.model


class SchemaState(StrEnum):
    """How the tables found stand to this release."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def state(connection: Connection) -> SchemaState:
    """Return how the tables of ``connection``'s database stand to this release; changes nothing."""
    found = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config(connection))
    if found is None:
        return SchemaState.OLDER if _foreign_tables(connection) else SchemaState.EMPTY
    if found == scripts.get_current_head():
        return SchemaState.CURRENT
    known = {script.revision for script in scripts.walk_revisions()}
    return SchemaState.OLDER if found in known else SchemaState.NEWER


def migrate(connection: Connection) -> None:
    """Bring the tables up to this release, in the transaction that ``connection`` is in."""
    command.upgrade(_config(connection), "head")


def metadata() -> MetaData:
    """Return the tables of every row in ``catalog.model`` (and of nobody else, whatever was imported)."""
    names = set()
    for module in pkgutil.iter_modules(catalog.model.__path__, "catalog.model."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, SQLModel) and hasattr(value, "__table__"):
                names.add(inspect(value).local_table.name)
    own = MetaData()
    for table in SQLModel.metadata.sorted_tables:
        if table.name in names:
            table.to_metadata(own)
    return own


def _foreign_tables(connection: Connection) -> bool:
    return bool(set(inspect(connection).get_table_names()) & set(metadata().tables))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
