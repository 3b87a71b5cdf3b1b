"""What belongs to a project is read by the API through a scope, and by no other way."""

import ast
import importlib
import pkgutil
from pathlib import Path

import catalog.model
from catalog.model.rows import Row

ROOT = Path(__file__).parents[2]
# Rows of projects that are about who is let in: their own modules decide, see catalog.accounts and catalog.events.
DECIDED_ELSEWHERE = {"Account", "Membership", "Event"}
UNSCOPED = {"find", "by_id", "by_name_or_id", "where", "first", "page", "known"}


def of_projects() -> set[str]:
    """Return the names of the kinds of rows that carry a project's id."""
    found = set()
    for module in pkgutil.iter_modules(catalog.model.__path__, "catalog.model."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Row) and "project_id" in value.model_fields:
                found.add(value.__name__)
    return found - DECIDED_ELSEWHERE


def unscoped_reads(source: str, kinds: set[str]) -> list[int]:
    """Return the lines that read one of ``kinds`` by a function that asks for no scope."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = (
            node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
        )
        named = {argument.id for argument in node.args if isinstance(argument, ast.Name)}
        if owner != "scoped" and ((name in UNSCOPED and named & kinds) or (name == "select" and named & kinds)):
            lines.append(node.lineno)
    return lines


def test_the_api_reads_what_belongs_to_projects_through_a_scope() -> None:
    """No module of gateway/api reads rows that carry a project's id past ``catalog.store.scoped``."""
    kinds = of_projects()
    assert {"Order", "Machine"} <= kinds
    wrong = {
        f"{path.name}:{line}"
        for path in sorted((ROOT / "gateway" / "api").glob("*.py"))
        for line in unscoped_reads(path.read_text(), kinds)
    }
    assert wrong == set()


def test_an_unscoped_read_is_noticed() -> None:
    """Each way past the scope is found, and the scoped one is not."""
    bad = "rows.find(tx, Order, id)\npage(tx, Machine, limit=1)\nrows.first(tx, Order)\nselect(Order)\n"
    assert unscoped_reads(bad, {"Order", "Machine"}) == [1, 2, 3, 4]
    assert unscoped_reads("scoped.find(tx, call.scope, Order, id)\nrows.find(tx, Site, id)", {"Order"}) == []
