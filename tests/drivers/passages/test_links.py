"""Links in JSON answers, rewritten whatever pieces the text comes in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.passages.links import LinkRewriter

KNOWN = {
    "http://cloud:80": "http://gw/p/identity",
    "http://cloud:80/compute": "http://gw/p/compute",
    "http://cloud:80/image": "http://gw/p/image",
}


def whole(text: bytes, cuts: tuple[int, ...] = ()) -> bytes:
    """Return ``text`` rewritten, fed in pieces that end at ``cuts``."""
    rewriter = LinkRewriter(KNOWN)
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return b"".join(rewriter.feed(piece) for piece in pieces) + rewriter.end()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param('"http://cloud:80/compute/v2.1/x"', '"http://gw/p/compute/v2.1/x"', id="longest wins"),
        pytest.param('"http://cloud:80/v3/"', '"http://gw/p/identity/v3/"', id="the service at the root"),
        pytest.param('"http://cloud:80"', '"http://gw/p/identity"', id="nothing behind it"),
        pytest.param('"http://cloud:80/computers"', '"http://gw/p/identity/computers"', id="no beginning of a word"),
        pytest.param('"http://cloud:8080/compute"', '"http://cloud:8080/compute"', id="another port"),
        pytest.param('"see http://cloud:80/compute/"', '"see http://cloud:80/compute/"', id="in the middle of a text"),
        pytest.param('"http://else/compute"', '"http://else/compute"', id="another host"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_only_strings_that_begin_as_a_known_url_are_rewritten(text: str, told: str) -> None:
    """What begins otherwise stays as it is."""
    assert whole(text.encode()) == told.encode()


PARTS = st.lists(
    st.sampled_from(
        ['"http://cloud:80/compute/a"', '"http://cloud:80/image"', '"http://cl', '"', "x" * 30, "/", ",", "é"]
    ),
    max_size=12,
)


@given(parts=PARTS, cuts=st.lists(st.integers(0, 300), max_size=30))
def test_pieces_make_no_difference(parts: list[str], cuts: list[int]) -> None:
    """However the text is cut, the outcome is that of the text in one piece."""
    text = "".join(parts).encode()
    assert whole(text, tuple(cuts)) == whole(text)


@given(names=st.lists(st.text(max_size=8), max_size=6))
def test_json_stays_json(names: list[str]) -> None:
    """A document of links and odd texts is the same document with the links replaced."""
    document = [{"href": f"http://cloud:80/image/v2/{index}", "name": name} for index, name in enumerate(names)]
    wanted = [{**each, "href": each["href"].replace("http://cloud:80/image", "http://gw/p/image")} for each in document]
    assert json.loads(whole(json.dumps(document).encode(), tuple(range(0, 400, 7)))) == wanted


def test_a_location_is_rewritten_alone() -> None:
    """A URL outside JSON, as a header has it."""
    rewriter = LinkRewriter(KNOWN)
    assert rewriter.url("http://cloud:80/image/v2/1") == "http://gw/p/image/v2/1"
    assert rewriter.url("http://else/") == "http://else/"
    assert LinkRewriter({}).url("http://cloud:80/") == "http://cloud:80/"


def test_what_is_held_back_is_bounded() -> None:
    """No more than the longest beginning waits for the next piece."""
    rewriter = LinkRewriter(KNOWN)
    fed = told = 0
    for _ in range(1000):
        fed += 1000
        told += len(rewriter.feed(b"x" * 1000))
        assert fed - told < 40
