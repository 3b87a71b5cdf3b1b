"""Price lists as text: what is read, and what is refused with its line."""

import json
from decimal import Decimal

import pytest

from catalog.prices.lines import ListFormat, ListRefused, PriceKind, per_hour, plain, read

HEADER = "provider,region,item,unit,amount,currency,valid_from,valid_to\n"
GOOD = "ec2,eu-west-1,t3.nano,hour,0.0057,USD,2026-01-01,\n"


def refused(text: str, written: ListFormat = ListFormat.CSV) -> list[str]:
    """Return the fields of what stands against ``text``."""
    with pytest.raises(ListRefused) as caught:
        read(text, written, source="list", now_s=5.0)
    return [fault["field"] for fault in caught.value.faults]


def test_a_csv_list_is_read_with_its_defaults() -> None:
    """Comments and empty lines are none; a line keeps its number, the amount every digit; dates are UTC."""
    told = read(
        "# July\n\n" + HEADER + GOOD + "ec2,,m5.large,month,10.10,EUR,,\n", ListFormat.CSV, source="l", now_s=5.0
    )
    first, second = told
    assert (first.line, first.amount, first.region, first.source) == (4, Decimal("0.0057"), "eu-west-1", "l")
    assert (first.valid_from_s, first.valid_to_s, first.kind) == (1767225600.0, None, PriceKind.SIZE)
    assert (second.valid_from_s, second.region, plain(second.amount)) == (5.0, "", "10.1")


def test_a_json_list_says_the_same_and_numbers_are_exact() -> None:
    """0.1 as a JSON number is the decimal 0.1, not the nearest binary one."""
    line = {"platform": "north", "item": "s1", "unit": "hour", "amount": 0.1, "currency": "USD", "valid_to": None}
    (told,) = read(json.dumps([line]), ListFormat.JSON, source="l", now_s=5.0)
    assert (told.platform, told.amount) == ("north", Decimal("0.1"))


@pytest.mark.parametrize(
    ("line", "column"),
    [
        pytest.param("ec2,,t3.nano,hour,-1,USD,,", "amount", id="less than nothing"),
        pytest.param("ec2,,t3.nano,hour,1e3,USD,,", "amount", id="exponent"),
        pytest.param("ec2,,t3.nano,hour,NaN,USD,,", "amount", id="no number"),
        pytest.param("ec2,,t3.nano,hour,,USD,,", "amount", id="unknown is not a price"),
        pytest.param("ec2,,t3.nano,hour,1,USX,,", "currency", id="no currency"),
        pytest.param("ec2,,t3.nano,GiB,1,USD,,", "unit", id="unit of another kind"),
        pytest.param("ec2,,,hour,1,USD,,", "item", id="no item"),
        pytest.param(",,t3.nano,hour,1,USD,,", "platform", id="nobody's"),
        pytest.param("ec2,,t3.nano,hour,1,USD,yesterday,", "valid_from", id="no date"),
        pytest.param("ec2,,t3.nano,hour,1,USD,2026-02-01,2026-01-01", "valid_to", id="ends before it begins"),
        pytest.param("ec2,,t3.\x1b[2J,hour,1,USD,,", "item", id="control characters"),
    ],
)
def test_a_line_that_cannot_be_is_named(line: str, column: str) -> None:
    """The fault names line and column; the good line beside it does not help."""
    assert refused(HEADER + GOOD + line + "\n") == [f"line 3, {column}"]


def test_every_bad_line_is_named_at_once() -> None:
    """Two bad lines of three, and one with too few values, are three faults."""
    text = HEADER + "ec2,,a,hour,x,USD,,\n" + GOOD + "ec2,,b,hour,1,XXX,,\nec2,b\n"
    assert refused(text) == ["line 2, amount", "line 4, currency", "line 5"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("provider,item,cost\n", ListFormat.CSV, id="unknown column"),
        pytest.param("item,item\n", ListFormat.CSV, id="column twice"),
        pytest.param(HEADER, ListFormat.CSV, id="no lines"),
        pytest.param(HEADER + '"ec2', ListFormat.CSV, id="open quote"),
        pytest.param("{}", ListFormat.JSON, id="no array"),
        pytest.param("[1]", ListFormat.JSON, id="no object"),
        pytest.param("[" * 100_000, ListFormat.JSON, id="endless nesting"),
        pytest.param('[{"item": ["a"]}]', ListFormat.JSON, id="a list for a text"),
        pytest.param('[{"amount": true}]', ListFormat.JSON, id="a truth for a number"),
        pytest.param('[{"cost": 1}]', ListFormat.JSON, id="unknown name"),
    ],
)
def test_what_is_no_list_is_refused(text: str, written: ListFormat) -> None:
    """Each is refused as a whole, whatever else it holds."""
    assert len(refused(text, written)) == 1


def test_an_hour_of_every_unit_of_time() -> None:
    """7.30 a month of 730 hours is 0.01; a second of 0.0001 is 0.36; a GiB is not of time."""
    assert per_hour(Decimal("7.30"), "month") == Decimal("0.01")
    assert per_hour(Decimal("0.0001"), "second") == Decimal("0.36")
    assert per_hour(Decimal(8760), "year") == 1
    assert per_hour(Decimal(1), "GiB") is None
