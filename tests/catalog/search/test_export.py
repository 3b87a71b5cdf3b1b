"""What was found, for other programs."""

import csv
import io
import json
import re

import yaml

from catalog.model.offering import InventoryItem
from catalog.search.export import ExportFormat, written
from catalog.search.find import find
from catalog.search.index import SearchIndex
from catalog.search.query import read
from catalog.search.told import told
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.markets import NOW_S
from tests.support.stores import Store


def exported(store: Store, how: ExportFormat, **query: str) -> str:
    """Return the export of a search."""
    found = store.read(lambda tx: find(tx, SearchIndex(), read(query), now_s=NOW_S, limit=500))
    return written((told(hit, NOW_S) for hit in found.hits), how).decode()


def test_json_and_csv_say_the_same(market: Store) -> None:
    """The same rows in the same order; unknown is null here and empty there; times are ISO 8601."""
    as_json = json.loads(exported(market, ExportFormat.JSON, kind="size"))
    as_csv = list(csv.DictReader(io.StringIO(exported(market, ExportFormat.CSV, kind="size"))))
    assert [row["id"] for row in as_json] == [row["id"] for row in as_csv]
    assert len(as_json) == 96
    for left, right in zip(as_json, as_csv, strict=True):
        assert (left["price"] or {}).get("amount", "") == right["price_amount"]
        assert (left["price"] is None) == (right["price_valid_from"] == "")
    priced = next(row["price"] for row in as_json if row["price"])
    assert priced["valid_from"] == "2027-01-15T08:00:00Z"


def test_no_cell_is_a_formula(market: Store) -> None:
    """What a cloud calls its image may begin with "=": a spreadsheet shall not run it."""
    item = InventoryItem(platform_id="platform_000", kind="image", cloud_id="x", name="=cmd()")  # type: ignore[arg-type]
    market.write(lambda tx: rows.insert(tx, item, NOW_S))
    assert [row["name"] for row in csv.DictReader(io.StringIO(exported(market, ExportFormat.CSV, text="cmd")))] == [
        "'=cmd()"
    ]


def test_backstage_entities_have_valid_names_and_hold_what_is_known(market: Store) -> None:
    """Every document is an entity of kind Resource whose name, owner and tags follow Backstage's rules."""
    entities = list(yaml.safe_load_all(exported(market, ExportFormat.BACKSTAGE)))
    assert len(entities) == 6 * (16 + 8)
    name = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
    for entity in entities:
        assert (entity["apiVersion"], entity["kind"]) == ("backstage.io/v1alpha1", "Resource")
        for text in (entity["metadata"]["name"], entity["spec"]["owner"], *entity["metadata"]["tags"]):
            assert name.fullmatch(text)
            assert len(text) <= 63
        assert all(isinstance(text, str) for text in entity["metadata"]["annotations"].values())
    assert len({entity["metadata"]["name"] for entity in entities}) == len(entities)


def test_backstage_names_differ_where_letters_do_not(market: Store) -> None:
    """Sizes told apart by case or signs alone, and those alike for longer than a name, have names of their own.

    A name that says the whole text is that text; another is the same in every export.
    """
    names = ["m5.large", "m5-large", "M5.Large", "x" * 70 + "1", "x" * 70 + "2", "\u4e2d", "plain"]

    def add(tx: Tx) -> None:
        for name in names:
            item = InventoryItem(platform_id="platform_000", kind="size", cloud_id=name, name=name)  # type: ignore[arg-type]
            rows.insert(tx, item, NOW_S)

    market.write(add)

    def exported_names() -> dict[str, str]:
        found = yaml.safe_load_all(exported(market, ExportFormat.BACKSTAGE, kind="size", platform="cloud-000"))
        return {each["metadata"]["annotations"]["crossway/item"]: each["metadata"]["name"] for each in found}

    held = exported_names()
    assert exported_names() == held
    assert len(set(held.values())) == len(held) == len(names) + 16
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", each) and len(each) <= 63 for each in held.values())
    assert (held["plain"], held["m5-large"]) == ("cloud-000-size-plain", "cloud-000-size-m5-large")
