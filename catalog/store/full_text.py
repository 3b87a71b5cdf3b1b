"""The words of sizes and images, and which of them begin with a given one. The only place that speaks FTS5 or tsvector.

``inventory_words`` is kept by the database itself (triggers), so no writer of inventory can forget it. It is no table
of the models: what it is differs from one database to the other.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

from catalog.store.database import Tx

WORD: Final = re.compile(r"[^\W_]+")  # what all databases here take for a word


def create(connection: Connection) -> None:
    """Make the words, and fill them from the inventory that is there."""
    for statement in _CREATE[connection.dialect.name]:
        connection.exec_driver_sql(statement)


def beginning_with(tx: Tx, words: Sequence[str]) -> Sequence[int]:
    """Return the ids of the inventory items that hold, for each of ``words`` (see WORD), one that begins with it."""
    assert words
    assert all(WORD.fullmatch(word) for word in words)
    connection = tx.connection()
    statement, form, join = _FIND[connection.dialect.name]
    wanted = join.join(form.format(word) for word in words)
    return connection.execute(text(statement), {"wanted": wanted}).scalars().all()


_SQLITE: Final = (
    """CREATE VIRTUAL TABLE inventory_words USING fts5(name, cloud_id, os_family, os_version, architecture,
    content='inventory_item', content_rowid='id', tokenize='unicode61', detail='none', columnsize=0)""",
    """CREATE TRIGGER inventory_words_in AFTER INSERT ON inventory_item BEGIN
    INSERT INTO inventory_words(rowid, name, cloud_id, os_family, os_version, architecture)
    VALUES (new.id, new.name, new.cloud_id, new.os_family, new.os_version, new.architecture); END""",
    # FTS5 is told what to take out: it keeps no copy of the text.
    """CREATE TRIGGER inventory_words_out AFTER DELETE ON inventory_item BEGIN
    INSERT INTO inventory_words(inventory_words, rowid, name, cloud_id, os_family, os_version, architecture)
    VALUES ('delete', old.id, old.name, old.cloud_id, old.os_family, old.os_version, old.architecture); END""",
    """CREATE TRIGGER inventory_words_on AFTER UPDATE OF name, cloud_id, os_family, os_version, architecture
    ON inventory_item BEGIN
    INSERT INTO inventory_words(inventory_words, rowid, name, cloud_id, os_family, os_version, architecture)
    VALUES ('delete', old.id, old.name, old.cloud_id, old.os_family, old.os_version, old.architecture);
    INSERT INTO inventory_words(rowid, name, cloud_id, os_family, os_version, architecture)
    VALUES (new.id, new.name, new.cloud_id, new.os_family, new.os_version, new.architecture); END""",
    "INSERT INTO inventory_words(inventory_words) VALUES ('rebuild')",
)
_POSTGRESQL: Final = (
    """CREATE TABLE inventory_words (
    id integer PRIMARY KEY REFERENCES inventory_item(id) ON DELETE CASCADE, words tsvector NOT NULL)""",
    "CREATE INDEX ix_inventory_words ON inventory_words USING gin (words)",
    # Its own parser takes "m5.large" for the name of a host, so it is given nothing but words and spaces.
    """CREATE FUNCTION inventory_words_of(item inventory_item) RETURNS tsvector LANGUAGE sql STABLE AS $$
    SELECT to_tsvector('simple', regexp_replace(
    concat_ws(' ', item.name, item.cloud_id, item.os_family, item.os_version, item.architecture),
    '[^[:alnum:]]+', ' ', 'g')) $$""",
    """CREATE FUNCTION inventory_words_put() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO inventory_words VALUES (NEW.id, inventory_words_of(NEW))
    ON CONFLICT (id) DO UPDATE SET words = EXCLUDED.words; RETURN NEW; END $$""",
    """CREATE TRIGGER inventory_words_put AFTER INSERT OR UPDATE OF name, cloud_id, os_family, os_version, architecture
    ON inventory_item FOR EACH ROW EXECUTE FUNCTION inventory_words_put()""",
    "INSERT INTO inventory_words SELECT item.id, inventory_words_of(item) FROM inventory_item item",
)
_CREATE: Final[Mapping[str, Sequence[str]]] = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
_FIND: Final[Mapping[str, tuple[str, str, str]]] = {  # statement, how a word stands in its parameter, and all of them
    "sqlite": ("SELECT rowid FROM inventory_words WHERE inventory_words MATCH :wanted", '"{}"*', " "),
    "postgresql": ("SELECT id FROM inventory_words WHERE words @@ to_tsquery('simple', :wanted)", "{}:*", " & "),
}
