"""The words of sizes and images, and which of them begin with a given one. The only place that speaks FTS5 or tsvector.

``inventory_words`` is kept by the database itself (triggers), so no writer of inventory can forget it. It is no table
of the models: what it is differs from one database to the other. What a word is does not: letters and digits of any
script, large and small alike, those of Latin without their accents.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

from catalog.store.database import Tx

# Letters now, signs in the Unicode 6.1 of FTS5's unicode61: what it splits there is split everywhere.
_ONCE_SIGNS: Final = "\u19b0-\u19c0\u19c8\u19c9\u1cf2\u1cf3"
_WORD: Final = re.compile(rf"[^\W_{_ONCE_SIGNS}]+")
_SIGMA: Final = ("\u03c2", "\u03c3")  # at a word's end, and elsewhere
_KEPT: Final = "Ǡǡ"  # FTS5 forgot their accents
_ACCENTS: Final = re.compile("([A-Za-z])[\u0300-\u036f]+")
_LENGTH: Final = 256  # of a word on PostgreSQL, cut there; what is searched for is no longer
# What knows letters beyond ASCII, whatever the database's own locale, which is C: see pg_collation. Best first.
_COLLATIONS: Final = ("und-x-icu", "pg_c_utf8", "C.utf8")


def words_of(told: str) -> list[str]:
    """Return the words in ``told``, as all databases here have them."""
    # Others than Latin stay composed: the databases tell apart what has a mark and what has none.
    bare = _ACCENTS.sub(r"\1", "".join(_bare(each) for each in told))
    # One by one, for a sigma is written otherwise at a word's end, and a beginning has none.
    return _WORD.findall("".join(_small(each) for each in bare).replace(*_SIGMA))


def create(connection: Connection) -> None:
    """Make the words, and fill them from the inventory that is there."""
    collation = "default"
    if connection.dialect.name == "postgresql":
        known = connection.exec_driver_sql("SELECT collname FROM pg_collation WHERE collencoding IN (-1, 6)").scalars()
        collation = next(iter(sorted(set(known) & set(_COLLATIONS), key=_COLLATIONS.index)), collation)
    for statement in _CREATE[connection.dialect.name]:
        connection.exec_driver_sql(statement.replace("LETTERS", f'"{collation}"'))


def remove(connection: Connection) -> None:
    """Take away what ``create`` made, now or as it did once."""
    for statement in _REMOVE[connection.dialect.name]:
        connection.exec_driver_sql(statement)


def beginning_with(tx: Tx, words: Sequence[str]) -> Sequence[int]:
    """Return the ids of the inventory items that hold, for each of ``words`` (see ``words_of``), one that begins so."""
    assert words
    assert all(_WORD.fullmatch(word) for word in words)
    connection = tx.connection()
    statement, form = _FIND[connection.dialect.name]
    wanted = " ".join(form.format(word) for word in words)
    return connection.execute(text(statement), {"wanted": wanted}).scalars().all()


def _bare(letter: str) -> str:
    single = unicodedata.normalize("NFD", letter)
    return single if single[0].isascii() and letter not in _KEPT else letter


def _small(letter: str) -> str:
    """Return the letter in lower case, if both were there in Unicode 3.2: FTS5 does not know all later pairs."""
    small = letter.lower()
    return letter if "Cn" in map(unicodedata.ucd_3_2_0.category, (letter, small)) else small


_SQLITE: Final = (
    """CREATE VIRTUAL TABLE inventory_words USING fts5(name, cloud_id, os_family, os_version, architecture,
    content='inventory_item', content_rowid='id', tokenize='unicode61 remove_diacritics 2', detail='none',
    columnsize=0)""",
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
    # Not by its own parser, which takes "m5.large" for the name of a host, and not by the database's locale. Nor whole,
    # when somebody calls an image by one word of more bytes than a tsvector takes.
    rf"""CREATE FUNCTION inventory_lexemes(told text) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(DISTINCT left(word, {_LENGTH})), '{{}}') FROM regexp_split_to_table(
    translate(lower(normalize(regexp_replace(normalize(told, NFD), '([A-Za-z])[\u0300-\u036f]+', '\1', 'g'), NFC)
    COLLATE LETTERS), '{_SIGMA[0]}', '{_SIGMA[1]}'), '([^[:alnum:]]|[{_ONCE_SIGNS}])+') word WHERE word <> '' $$""",  # noqa: S608 - of constants
    """CREATE FUNCTION inventory_words_of(item inventory_item) RETURNS tsvector LANGUAGE sql STABLE AS $$
    SELECT array_to_tsvector(inventory_lexemes(
    concat_ws(' ', item.name, item.cloud_id, item.os_family, item.os_version, item.architecture))) $$""",
    """CREATE FUNCTION inventory_words_put() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO inventory_words VALUES (NEW.id, inventory_words_of(NEW))
    ON CONFLICT (id) DO UPDATE SET words = EXCLUDED.words; RETURN NEW; END $$""",
    """CREATE TRIGGER inventory_words_put AFTER INSERT OR UPDATE OF name, cloud_id, os_family, os_version, architecture
    ON inventory_item FOR EACH ROW EXECUTE FUNCTION inventory_words_put()""",
    "INSERT INTO inventory_words SELECT item.id, inventory_words_of(item) FROM inventory_item item",
)
_CREATE: Final[Mapping[str, Sequence[str]]] = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
_REMOVE: Final[Mapping[str, Sequence[str]]] = {
    "sqlite": (
        *(f"DROP TRIGGER inventory_words_{when}" for when in ("in", "out", "on")),
        "DROP TABLE inventory_words",
    ),
    "postgresql": (
        "DROP TRIGGER inventory_words_put ON inventory_item",
        "DROP FUNCTION inventory_words_put, inventory_words_of",
        "DROP FUNCTION IF EXISTS inventory_lexemes",
        "DROP TABLE inventory_words",
    ),
}
_FIND: Final[Mapping[str, tuple[str, str]]] = {  # statement, and how a word stands in its parameter
    "sqlite": ("SELECT rowid FROM inventory_words WHERE inventory_words MATCH :wanted", '"{}"*'),
    "postgresql": (
        """SELECT id FROM inventory_words WHERE words @@ (
        SELECT string_agg('''' || word || ''':*', ' & ')::tsquery FROM unnest(inventory_lexemes(:wanted)) word)""",
        "{}",
    ),
}
