"""The simulated cloud's memory: its machines, and every create and delete it was ever asked for (SQLite).

Each change is on disk before it is answered, so that the state survives SIGKILL. The database is also the only
clock: a machine runs once its ``ready_at`` (seconds since the epoch) has passed, restart or not.
"""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_NOW: Final = "((julianday('now') - 2440587.5) * 86400.0)"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS machines (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE, name TEXT, size TEXT, image TEXT, location TEXT, key_pair TEXT, network TEXT, tags TEXT,
    stopped INTEGER DEFAULT 0, ready_at REAL
);
CREATE TABLE IF NOT EXISTS ledger (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, verb TEXT, machine TEXT, name TEXT, tags TEXT
);
"""


class Ledger:
    """The durable state of one simulated cloud. Used from one thread."""

    def __init__(self, path: Path, *, boot_s: float) -> None:
        """Open or make the state at ``path``; a new machine is PENDING for ``boot_s`` seconds."""
        self._boot_s = boot_s
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def create(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make a machine and return it. The same call twice makes two."""
        tags = json.dumps(wanted["tags"], sort_keys=True)
        self._db.execute("BEGIN IMMEDIATE")
        cursor = self._db.execute(
            f"INSERT INTO machines (name, size, image, location, key_pair, network, tags, ready_at)"  # noqa: S608 - ours
            f" VALUES (?, ?, ?, ?, ?, ?, ?, {_NOW} + ?)",
            (wanted["name"], wanted["size"], wanted["image"], wanted.get("location"), wanted.get("key_pair"),
             wanted.get("network"), tags, self._boot_s),
        )  # fmt: skip
        machine = f"vm-{cursor.lastrowid:08d}"
        self._db.execute("UPDATE machines SET id = ? WHERE seq = ?", (machine, cursor.lastrowid))
        self._note("create", machine, wanted["name"], tags)
        self._db.execute("COMMIT")
        made = self.machine(machine)
        assert made is not None
        return made

    def delete(self, machine: str) -> bool:
        """Delete ``machine``; False when there is none."""
        known = self.machine(machine)
        if known is None:
            return False
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("DELETE FROM machines WHERE id = ?", (machine,))
        self._note("delete", machine, known["name"], json.dumps(known["tags"], sort_keys=True))
        self._db.execute("COMMIT")
        return True

    def set_power(self, machine: str, verb: str) -> bool:
        """Start, stop or reboot ``machine``; False when there is none. A start or reboot takes boot_s again."""
        ready = f"CASE WHEN stopped = 1 OR ? = 'reboot' THEN {_NOW} + ? ELSE ready_at END"
        changed = self._db.execute(
            f"UPDATE machines SET ready_at = {ready}, stopped = (? = 'stop') WHERE id = ?",  # noqa: S608 - ours
            (verb, self._boot_s, verb, machine),
        )
        return changed.rowcount == 1

    def change(self, machine: str, changes: Mapping[str, str], *, reboots: bool) -> bool:
        """Write ``changes`` (size, image, name) to ``machine``; False when there is none. A reboot takes boot_s."""
        changed = 0
        for column in ("size", "image", "name"):
            if column in changes:
                ready = f"{_NOW} + ?" if reboots else "ready_at + 0 * ?"
                statement = f"UPDATE machines SET {column} = ?, ready_at = {ready} WHERE id = ?"  # noqa: S608 - ours
                changed += self._db.execute(statement, (changes[column], self._boot_s, machine)).rowcount
        return changed > 0

    def machine(self, machine: str) -> dict[str, Any] | None:
        """Return ``machine`` as the API shows it, or None."""
        rows = self._db.execute(f"SELECT *, ready_at <= {_NOW} AS ready FROM machines WHERE id = ?", (machine,))  # noqa: S608 - ours
        row = rows.fetchone()
        return None if row is None else _shown(row)

    def machines(self, tags: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the machines that carry all of ``tags``, oldest first."""
        # Found as text first: reading ten thousand rows' tags for one machine would be the slowest thing here.
        texts = [json.dumps({key: value})[1:-1] for key, value in tags.items()]
        having = " AND ".join(["instr(tags, ?)"] * len(texts)) or "TRUE"
        rows = self._db.execute(
            f"SELECT *, ready_at <= {_NOW} AS ready FROM machines WHERE {having} ORDER BY seq",  # noqa: S608 - ours
            texts,
        )
        shown = [_shown(row) for row in rows]
        return [row for row in shown if all(row["tags"].get(key) == value for key, value in tags.items())]

    def entries(self) -> list[dict[str, Any]]:
        """Return every create and delete ever carried out, oldest first."""
        rows = self._db.execute("SELECT * FROM ledger ORDER BY seq")
        return [{**dict(row), "tags": json.loads(row["tags"])} for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _note(self, verb: str, machine: str, name: str, tags: str) -> None:
        self._db.execute(
            f"INSERT INTO ledger (at, verb, machine, name, tags) VALUES ({_NOW}, ?, ?, ?, ?)",  # noqa: S608 - ours
            (verb, machine, name, tags),
        )


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    state = "STOPPED" if row["stopped"] else "RUNNING" if row["ready"] else "PENDING"
    number = row["seq"] % 62_500
    return {
        "id": row["id"], "name": row["name"], "size": row["size"], "image": row["image"],
        "location": row["location"], "key_pair": row["key_pair"], "network": row["network"],
        "tags": json.loads(row["tags"]),
        "state": state, "reason": "", "addresses": [f"10.90.{number // 250}.{number % 250 + 1}"],
    }  # fmt: skip
