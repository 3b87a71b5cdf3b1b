"""gateway.cli.output: tables, JSON and YAML, and that nothing a stranger wrote moves the cursor."""

import json
import os
import pty
import subprocess
import sys

import pytest
import yaml

from gateway.cli.output import Column, Format, aligned, cell, printable, show

ITEMS = [{"id": "order_1", "state": "placed", "name": "web"}, {"id": "order_22", "state": "failed", "name": None}]
COLUMNS = (Column("ID", "id"), Column("NAME", "name"), Column("STATE", lambda item: str(item.get("state")).upper()))


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns stand under their titles, what is missing is a dash, and no line ends in blanks."""
    show(ITEMS, Format.TABLE, COLUMNS)

    assert capsys.readouterr().out.splitlines() == [
        "ID        NAME  STATE",
        "order_1   web   PLACED",
        "order_22  -     FAILED",
    ]


def test_one_thing_is_a_field_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A single resource shows every field it has, also those this client does not know."""
    show({"id": "x", "new_field": [1, 2], "census": {"idle": 1}}, Format.TABLE)

    lines = capsys.readouterr().out.splitlines()
    assert lines == ["FIELD      VALUE", "id         x", "new_field  1, 2", 'census     {"idle": 1}']


def test_json_and_yaml_hold_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Both read back as exactly what came in; columns play no part."""
    show(ITEMS, Format.JSON, COLUMNS)
    assert json.loads(capsys.readouterr().out) == ITEMS

    show(ITEMS, Format.YAML, COLUMNS)
    assert yaml.safe_load(capsys.readouterr().out) == ITEMS


def test_an_empty_list_is_still_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    """No items: a table has its titles, JSON an empty list."""
    show([], Format.TABLE, COLUMNS)
    show([], Format.JSON, COLUMNS)

    assert capsys.readouterr().out == "ID  NAME  STATE\n[]\n"


def test_chinese_names_keep_the_columns() -> None:
    """A wide character counts for the two cells it takes."""
    assert aligned([("上海", "x"), ("abcd", "y")]) == ["上海  x", "abcd  y"]


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b31m", "\r", "\u202e", "\x07", "\u2066"])
def test_nothing_moves_the_cursor(evil: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A control character in a name, as any platform's owner could choose it, is shown and not obeyed."""
    for format_ in Format:
        show([{"id": f"a{evil}b"}], format_, COLUMNS)

    assert evil[0] not in capsys.readouterr().out
    assert evil[0] not in printable(f"a{evil}b")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (0.50, "0.5"),
        (2_592_000.0, "2592000"),
        (["a", "b"], "a, b"),
    ],
)
def test_cells(value: object, text: str) -> None:
    """Absent is a dash, zero is a zero, lists are short."""
    assert cell(value) == text


PROGRAM = (
    "import sys\nfrom gateway.cli.output import *\n"
    "show([{'state': 'failed'}], Format.TABLE, [Column('STATE', 'state')])\n"
    "print('rich' in sys.modules)"
)


def on_a_terminal(**environment: str) -> str:
    """Return what the program above writes to a terminal."""
    ours, theirs = pty.openpty()
    try:
        environment = {**os.environ, "TERM": "xterm-256color", **environment}
        subprocess.run([sys.executable, "-c", PROGRAM], stdout=theirs, check=True, timeout=60, env=environment)
        return os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_gets_colour() -> None:
    """On a terminal a failed state is coloured, by rich."""
    written = on_a_terminal(NO_COLOR="")

    assert "\x1b[31mfailed" in written
    assert "True" in written


def test_no_color_is_obeyed() -> None:
    """With NO_COLOR a terminal gets plain text, and rich is not even loaded."""
    written = on_a_terminal(NO_COLOR="1")

    assert "\x1b" not in written
    assert "False" in written
