"""Our tags as single words, for clouds whose machines bear words and no pairs: ``cw-machine:machine_01…``.

Pure. A word is short, because some clouds allow 50 characters of it, and a machine's id alone takes 34.
"""

from collections.abc import Iterable, Mapping
from typing import Final

_LONG: Final = "crossway-"
_SHORT: Final = "cw-"
_BETWEEN: Final = ":"


def words(tags: Mapping[str, str]) -> list[str]:
    """Return ``tags`` as words, sorted. ``tags_of`` returns what was given."""
    return sorted(f"{_shortened(key)}{_BETWEEN}{value}" for key, value in tags.items())


def tags_of(borne: Iterable[object]) -> dict[str, str]:
    """Return the tags among the words that a machine bears; what others wrote on it is left out."""
    pairs = (word.partition(_BETWEEN) for word in borne if isinstance(word, str) and word.startswith(_SHORT))
    return {f"{_LONG}{key.removeprefix(_SHORT)}": value for key, between, value in pairs if between}


def _shortened(key: str) -> str:
    if not key.startswith(_LONG) or _BETWEEN in key:
        raise ValueError("only tags of ours become words")
    return _SHORT + key.removeprefix(_LONG)
