"""The field's words: names that say nothing and words that mean something else here are refused."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("gateway", "routing", "catalog", "drivers")

JUNK = re.compile(r"^_?(utils?|helpers?|managers?|misc|common|base|core|stuff|tools|shared)$")

# Words that would be ambiguous here: word in an identifier -> what to say instead.
AMBIGUOUS = {
    "db_session": "tx: a session is one of S1's account sessions",
    "vm": "machine",
    "dbsession": "tx: a session is one of S1's account sessions",
    "worker_node": "machine or relay",
}


def sources() -> list[Path]:
    """Return every module of ours and of the tests."""
    return sorted(path for package in (*OURS, "tests") for path in (ROOT / package).rglob("*.py"))


def test_no_module_is_a_drawer_for_everything() -> None:
    """No module or folder is called utils, helpers, manager, common or base: it has one reason to exist."""
    named = [path for path in sources() if JUNK.match(path.stem) or JUNK.match(path.parent.name)]
    assert named == []


def test_no_ambiguous_identifier() -> None:
    """Nothing is named by a word that means something else in this house."""
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "name", None) or getattr(node, "arg", None) or getattr(node, "id", None)
            if isinstance(name, str) and name.lower() in AMBIGUOUS:
                found.append(f"{path.relative_to(ROOT)}: {name}: say {AMBIGUOUS[name.lower()]}")
    assert found == []


def test_tasks_are_born_in_groups_only() -> None:
    """Nothing starts a task outside a TaskGroup: what nobody owns, nobody ends."""
    banned = {"ensure_future", "gather", "shield"}
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            of_asyncio = isinstance(owner, ast.Name) and owner.id == "asyncio"
            if of_asyncio and node.func.attr in {*banned, "create_task"}:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: asyncio.{node.func.attr}")
    assert found == []


def test_host_keys_are_never_waived() -> None:
    """``known_hosts=None`` makes asyncssh accept any key; it stands nowhere, tests included."""
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "known_hosts":
                is_none = isinstance(node.value, ast.Constant) and node.value.value is None
                if is_none:
                    found.append(f"{path.relative_to(ROOT)}:{node.value.lineno}")
    assert found == []
