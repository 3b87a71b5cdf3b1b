"""gateway.cli.picture.svg: whatever a gateway sends, the document stays one, and says what was sent."""

import unicodedata
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.picture.svg import element, fixed, text, title


@given(words=st.text(st.characters()))
def test_no_text_breaks_the_document(words: str) -> None:
    """Any text at all, as content and as an attribute, parses, and no character of it is markup or steers an eye."""
    whole = element("g", title(words), text(words, 1, 2), id=words)
    parsed = ET.fromstring(whole)
    assert len(list(parsed.iter())) == 3
    assert not [each for each in parsed[1].text or "" if unicodedata.category(each)[0] == "C"]


def test_names_that_look_like_markup_are_words() -> None:
    """A name of angle brackets is shown as such."""
    name = '<script>alert("&amp;")</script>'
    assert ET.fromstring(text(name, 0, 0)).text == name


@pytest.mark.parametrize(
    ("value", "short"), [(1.0, "1"), (1.25, "1.2"), (-0.04, "0"), (0.05, "0.1"), (100, "100"), (-2.5, "-2.5")]
)
def test_pixels_are_short(value: float, short: str) -> None:
    """A tenth of a pixel is enough; no trailing zero and no minus zero."""
    assert fixed(value) == short


def test_an_attribute_has_a_dash() -> None:
    """stroke_width is stroke-width."""
    assert element("line", stroke_width=1.0, stroke="red") == '<line stroke-width="1" stroke="red"/>'
