"""Let the links in a JSON answer lead back through the passage, piece by piece and in constant memory. Pure.

Only the beginning of a JSON string is looked at: a link is a string of its own in every OpenStack answer.
"""

import re
from collections.abc import Iterator, Mapping


class LinkRewriter:
    """Replaces known beginnings of URLs at the start of JSON strings, whatever pieces the text comes in."""

    def __init__(self, beginnings: Mapping[str, str]) -> None:
        """Take URL beginnings, without a slash at their end, and what each is replaced by; the longest one wins."""
        self._known = {f'"{old}'.encode(): f'"{new}'.encode() for old, new in beginnings.items()}
        longest_first = sorted(self._known, key=len, reverse=True)
        # A beginning ends where a path does: "/compute" is not the beginning of "/computers".
        self._pattern = re.compile(
            b"(" + b"|".join(map(re.escape, longest_first)) + rb')(?=["/?#])' if self._known else b"(?!)"
        )
        self._reach = max(map(len, self._known), default=0)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Return what can be said of the text so far."""
        text = self._held + piece
        # A match that begins before this is wholly here, the character behind it included.
        sure = len(text) - self._reach
        done, parts = 0, []
        for found in self._matches(text, sure):
            parts += [text[done : found.start()], self._known[found.group(1)]]
            done = found.end()
        cut = max(done, sure)
        self._held = text[cut:]
        return b"".join((*parts, text[done:cut]))

    def end(self) -> bytes:
        """Return the rest."""
        rest, self._held = self._held, b""
        return self._pattern.sub(lambda found: self._known[found.group(1)], rest)

    def _matches(self, text: bytes, sure: int) -> Iterator[re.Match[bytes]]:
        for found in self._pattern.finditer(text):
            if found.start() >= sure:
                return
            yield found

    def url(self, text: str) -> str:
        """Return a URL that stands alone, as in a Location header, rewritten likewise."""
        quoted = f'"{text}"'.encode()
        return self._pattern.sub(lambda found: self._known[found.group(1)], quoted).decode()[1:-1]
