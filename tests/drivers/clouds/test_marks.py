"""Our tags survive as words, and words of others are none of ours."""

import pytest

from drivers.clouds.marks import tags_of, words

ULID = "01JDN7ZK3V8X9Q2W4R6T8Y0ABC"


def test_what_is_written_is_read_back() -> None:
    """Each tag comes back under its own name, whatever else a machine bears."""
    tags = {
        "crossway-owner": f"gateway_{ULID}",
        "crossway-machine": f"machine_{ULID}",
        "crossway-order": f"order_{ULID}",
    }
    assert tags_of([*words(tags), "web", "env:test", "cw", "cw-", 7, None]) == tags


def test_a_word_fits_where_50_characters_are_allowed() -> None:
    """The longest tag that the gateway writes is a machine's id."""
    assert max(map(len, words({"crossway-machine": f"machine_{ULID}", "crossway-owner": f"gateway_{ULID}"}))) <= 50


@pytest.mark.parametrize("key", ["other", "crossway-a:b"])
def test_a_tag_that_could_not_be_read_back_is_refused(key: str) -> None:
    """Only our own tags become words: another would be taken for somebody else's, or for two."""
    with pytest.raises(ValueError, match="tags of ours"):
        words({key: "x"})
