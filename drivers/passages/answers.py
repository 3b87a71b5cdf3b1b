"""Answers of our own making, and answers within limits."""

from collections.abc import AsyncIterator

from catalog.errors import CloudMisbehaved
from catalog.ports import HttpAnswer


def one_piece(status: int, content_type: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> HttpAnswer:
    """Return an answer that is all there."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    return HttpAnswer(status=status, headers=(("Content-Type", content_type), *headers), body=pieces())


async def within(body: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    """Yield ``body`` as it comes. Raises CloudMisbehaved as soon as it is longer than ``limit_bytes``."""
    seen = 0
    async for piece in body:
        seen += len(piece)
        if seen > limit_bytes:
            raise CloudMisbehaved(f"the answer is longer than {limit_bytes} bytes")
        yield piece
