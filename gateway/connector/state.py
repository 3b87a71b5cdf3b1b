"""What the connector has decided and what waits for the owner, durable in one SQLite file (mode 0600).

Every method is one transaction, synced to disk before it returns, and safe from several processes: the owner answers
with the command line while the connector runs. Blocking; raises sqlite3.Error when the file cannot be used.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from catalog.errors import InvalidValue, NotFound, WrongState
from catalog.messages.handshake import AuthorizationRequest, Decision, GrantedCapability
from catalog.messages.handshake_json import granted_from, granted_json
from catalog.messages.handshake_shapes import GrantedShape
from catalog.messages.quorum import Approval
from catalog.messages.signing_key import refuse_wide_mode
from gateway.connector import drafts
from gateway.connector.policy import Policy, Verdict, decide

_BUSY_S = 2.0  # how long one transaction waits for another process's
_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
    id TEXT PRIMARY KEY, gateway TEXT NOT NULL, wanted TEXT NOT NULL, asked_at_s REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS answer (
    request TEXT NOT NULL REFERENCES request (id), capability TEXT NOT NULL, verdict TEXT NOT NULL,
    answered_at_s REAL NOT NULL, PRIMARY KEY (request, capability)
) STRICT;
-- The number of the newest answer, in one row.
CREATE TABLE IF NOT EXISTS told (one INTEGER PRIMARY KEY CHECK (one = 1), serial INTEGER NOT NULL) STRICT;
-- granted is NULL where the capability was denied.
CREATE TABLE IF NOT EXISTS settled (
    request TEXT NOT NULL REFERENCES request (id), capability TEXT NOT NULL, granted TEXT,
    settled_at_s REAL NOT NULL, PRIMARY KEY (request, capability)
) STRICT;
-- The terms that approvers are shown, and what they signed of them.
CREATE TABLE IF NOT EXISTS draft (
    request TEXT NOT NULL REFERENCES request (id), capability TEXT NOT NULL, granted TEXT NOT NULL,
    shown TEXT NOT NULL, PRIMARY KEY (request, capability)
) STRICT;
CREATE TABLE IF NOT EXISTS approval (
    request TEXT NOT NULL, capability TEXT NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL,
    PRIMARY KEY (request, capability, key)
) STRICT;
"""


class RequestChanged(WrongState):
    """The request id is known and asked for something else before."""

    code = "request-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """One capability of one request that waits for the owner; ``answered`` is what the owner said, if anything.

    An answer takes effect when the gateway asks again; until then it can be changed.
    """

    request_id: str
    gateway: str
    capability: str
    verbs: tuple[str, ...]  # as the gateway asked; the rule may grant fewer
    asked_at_s: float
    answered: Verdict | None = None


class State:
    """The decisions of one connector. Opening creates the file; raises InvalidValue when others may read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InvalidValue(f"{path} cannot be opened: {error.strerror}", field="state_file") from error
        try:
            refuse_wide_mode(path, os.fstat(handle))
        finally:
            os.close(handle)
        try:
            with closing(self._connected()) as connection:
                connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise InvalidValue(f"{path} is not a usable SQLite file: {error}", field="state_file") from error

    def settle(self, request: AuthorizationRequest, policy: Policy, now_s: float) -> Decision:
        """Return the decision on ``request``, durable before this returns; the same id gets the same decision anew.

        What was granted or denied stays so, whatever ``policy`` says by now; only what was pending is decided anew.
        Raises RequestChanged when the id asked for something else before.
        """
        wanted = json.dumps({capability: sorted(verbs) for capability, verbs in request.wanted.items()}, sort_keys=True)
        with self._transaction() as tx:
            _remember(tx, request, wanted, now_s)
            settled = _settled(tx, request.request_id)
            rest = {name: verbs for name, verbs in request.wanted.items() if name not in settled}
            fresh = decide(replace(request, wanted=rest), policy, _answers(tx, request.request_id), now_s)
            approved = drafts.approved(tx, request, policy, fresh.pending, now_s)
            fresh = replace(fresh, pending=tuple(name for name in fresh.pending if name not in approved))
            settled |= {name: None for name in rest if name not in fresh.pending}
            settled |= {grant.capability: grant for grant in fresh.granted} | approved
            tx.executemany(
                "INSERT INTO settled VALUES (?, ?, ?, ?)",
                [(request.request_id, name, _dump(settled[name]), now_s) for name in rest if name in settled],
            )
            serial = _next_serial(tx, now_s)
        granted = tuple(grant for _, grant in sorted(settled.items()) if grant is not None)
        return Decision(
            request_id=request.request_id,
            granted=granted,
            pending=tuple(sorted(fresh.pending)),
            serial=serial,
            issued_at_s=now_s,
        )

    def pending(self) -> Sequence[PendingRequest]:
        """Return what waits for the owner or for the gateway to fetch the owner's answer, oldest first."""
        with self._transaction() as tx:
            rows = tx.execute(
                "SELECT request.id, gateway, item.key, item.value, asked_at_s, verdict FROM request"
                " JOIN json_each(request.wanted) AS item"
                " LEFT JOIN answer ON answer.request = request.id AND answer.capability = item.key"
                " LEFT JOIN settled ON settled.request = request.id AND settled.capability = item.key"
                " WHERE settled.request IS NULL ORDER BY asked_at_s, request.id, item.key"
            ).fetchall()
        return [
            PendingRequest(
                request_id=request_id,
                gateway=gateway,
                capability=capability,
                verbs=tuple(json.loads(verbs)),
                asked_at_s=asked_at_s,
                answered=Verdict(verdict) if verdict else None,
            )
            for request_id, gateway, capability, verbs, asked_at_s, verdict in rows
        ]

    def answer(self, *, request_id: str, capability: str, verdict: Verdict, now_s: float) -> None:
        """Note the owner's ``verdict`` (GRANT or DENY); answering again before the gateway asks again replaces it.

        Raises NotFound for an unknown request or a capability it does not ask for, WrongState for one already decided.
        """
        with self._transaction() as tx:
            row = tx.execute("SELECT wanted FROM request WHERE id = ?", (request_id,)).fetchone()
            if row is None:
                raise NotFound("no such request; the pending ones can be listed", field="request")
            wanted = json.loads(row[0])
            if capability not in wanted:
                raise NotFound(f"the request asks only for {', '.join(wanted)}", field="capability")
            if capability in _settled(tx, request_id):
                raise WrongState(f"{capability} of this request is already decided", field="capability")
            tx.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?)", (request_id, capability, verdict, now_s))

    def shown(self, request_id: str, capability: str) -> bytes:
        """Return what an approver of the request signs. Raises NotFound unless it waits for approvals."""
        with self._transaction() as tx:
            return drafts.shown(tx, request_id, capability)

    def approve(self, request_id: str, capability: str, approval: Approval) -> None:
        """Keep an approval of what is shown now; it counts when the gateway asks next. May be repeated.

        Raises NotFound unless the request waits for approvals, InvalidValue for a signature of anything else.
        """
        with self._transaction() as tx:
            drafts.approve(tx, request_id, capability, approval)

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        # EXTRA also syncs the directory after the journal is removed: without it a power loss may undo the commit.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connected()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")  # closing without it rolls back


def _remember(tx: sqlite3.Connection, request: AuthorizationRequest, wanted: str, now_s: float) -> None:
    tx.execute(
        "INSERT OR IGNORE INTO request VALUES (?, ?, ?, ?)", (request.request_id, request.gateway, wanted, now_s)
    )
    row = tx.execute("SELECT gateway, wanted FROM request WHERE id = ?", (request.request_id,)).fetchone()
    if row != (request.gateway, wanted):
        raise RequestChanged("this request id asked for something else before")


def _next_serial(tx: sqlite3.Connection, now_s: float) -> int:
    # No less than the clock, so that a connector whose file was lost or restored goes on above what it told before.
    row = tx.execute("SELECT max(serial) FROM told").fetchone()
    serial = max(int(row[0] or 0) + 1, int(now_s * 1000))
    tx.execute("INSERT OR REPLACE INTO told VALUES (1, ?)", (serial,))
    return serial


def _settled(tx: sqlite3.Connection, request_id: str) -> dict[str, GrantedCapability | None]:
    rows = tx.execute("SELECT capability, granted FROM settled WHERE request = ?", (request_id,))
    return {capability: _load(granted) for capability, granted in rows}


def _answers(tx: sqlite3.Connection, request_id: str) -> dict[str, Verdict]:
    rows = tx.execute("SELECT capability, verdict FROM answer WHERE request = ?", (request_id,))
    return {capability: Verdict(verdict) for capability, verdict in rows}


def _dump(granted: GrantedCapability | None) -> str | None:
    return None if granted is None else json.dumps(granted_json(granted))


def _load(text: str | None) -> GrantedCapability | None:
    return None if text is None else granted_from(GrantedShape.model_validate_json(text))
