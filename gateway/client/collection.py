"""What all collections of the API share: read, page through, change under a version, wait for a state."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, cast
from urllib.parse import quote

from gateway.client.problems import AnswerUnreadable, ServerUnreachable, WaitTimedOut
from gateway.client.wire import Answer, Wire

T = TypeVar("T")
S = TypeVar("S")

# The longest the API lets a watcher hang.
WATCH_LIMIT_S = 60
PAGE_LIMIT = 200
# Between two looks when the gateway is away or does not hold a watch open.
LOOK_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged(Generic[T]):
    """A thing and the version tag it had when it was read."""

    value: T
    etag: str


def body_of(answer: Answer, wire: Wire) -> T:  # type: ignore[type-var] # the caller names the shape
    """Return the JSON object of ``answer`` as the shape the caller names. Raises AnswerUnreadable if it is none.

    The shape itself is the gateway's promise, pinned by its own strict models; checking it twice would only
    make an old client refuse a newer gateway.
    """
    if not isinstance(answer.body, dict):
        raise AnswerUnreadable(str(wire.address), "a JSON object was expected")
    return cast("T", answer.body)


def given(**fields: object) -> dict[str, object]:
    """Return the fields that are not None: what a caller leaves out is the gateway's to choose."""
    return {name: value for name, value in fields.items() if value is not None}


class Collection(Generic[T]):
    """The things under one path. Names and ids may be used alike where the API allows both."""

    def __init__(self, wire: Wire, path: str) -> None:
        """Speak over ``wire`` about what is under ``path``, such as ``/v1/relays``."""
        self._wire = wire
        self._path = path

    def list(self, *, page_size: int = PAGE_LIMIT, **filters: str | None) -> Iterator[T]:
        """Yield every item that the ``filters`` let through (None: any), a page at a time, in the gateway's order."""
        query: dict[str, str | int] = {"limit": page_size}
        query |= {name: value for name, value in filters.items() if value is not None}
        while True:
            page: dict[str, object] = body_of(self._wire.call("GET", self._path, query=query), self._wire)
            items, token = page.get("items"), page.get("next_page_token")
            if not isinstance(items, list):
                raise AnswerUnreadable(str(self._wire.address), "a page without items")
            yield from items
            if not isinstance(token, str) or token == query.get("page_token"):
                return
            query["page_token"] = token

    def read(self, key: str) -> Tagged[T]:
        """Return one thing and its version tag. Raises ApiProblem with status 404 when there is none."""
        answer = self._wire.call("GET", self._at(key))
        return Tagged(value=body_of(answer, self._wire), etag=answer.etag)

    def get(self, key: str) -> T:
        """Return one thing. Raises ApiProblem with status 404 when there is none."""
        return self.read(key).value

    def wait(
        self,
        key: str,
        *,
        until: Callable[[T], bool],
        timeout_s: float,
        on_change: Callable[[T], None] = lambda _: None,
    ) -> T:
        """Wait until ``until`` holds and return the thing as it then is; ``on_change`` sees every version on the way.

        A gateway that goes away meanwhile is asked again until the time is up: a restart ends nobody's wait.
        Raises WaitTimedOut after ``timeout_s``, or ServerUnreachable when it was still away then.
        """
        deadline_s = self._wire.clock_s() + timeout_s
        tagged = self.read(key)
        on_change(tagged.value)
        while not until(tagged.value):
            remaining_s = deadline_s - self._wire.clock_s()
            if remaining_s <= 0:
                raise WaitTimedOut(key, timeout_s=timeout_s, last_state=_state_of(tagged.value))
            try:
                changed = self._watch(key, tagged.etag, remaining_s)
            except ServerUnreachable:
                if deadline_s - self._wire.clock_s() <= LOOK_PAUSE_S:
                    raise
                changed = None
            if changed is None:
                self._wire.pause(min(LOOK_PAUSE_S, max(0.0, deadline_s - self._wire.clock_s())))
                continue
            tagged = changed
            on_change(tagged.value)
        return tagged.value

    def _watch(self, key: str, etag: str, remaining_s: float) -> Tagged[T] | None:
        """Return the next version of the thing, or None when it stayed as it was for as long as could be asked."""
        wait_s = min(WATCH_LIMIT_S, math.ceil(remaining_s))
        headers = {"Prefer": f"wait={wait_s}", "If-None-Match": etag}
        answer = self._wire.call("GET", self._at(key), headers=headers, extra_wait_s=wait_s)
        if answer.body is None or answer.etag == etag:
            return None
        return Tagged(value=body_of(answer, self._wire), etag=answer.etag)

    def _at(self, key: str, *more: str) -> str:
        return "/".join((self._path, *(quote(part, safe="") for part in (key, *more))))

    def _create(self, body: Mapping[str, object], *, idempotency_key: str | None = None) -> T:
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return body_of(self._wire.call("POST", self._path, body=body, headers=headers), self._wire)

    def _act(self, key: str, *action: str, body: Mapping[str, object] | None = None, extra_wait_s: float = 0.0) -> T:
        """Do something to a thing; return how it is then."""
        return self._obtain(key, *action, body=body, extra_wait_s=extra_wait_s)

    def _obtain(self, key: str, *what: str, body: Mapping[str, object] | None = None, extra_wait_s: float = 0.0) -> S:  # type: ignore[type-var] # the caller names the shape
        """Have something made that belongs to a thing, and is of another shape; return it."""
        answer = self._wire.call("POST", self._at(key, *what), body=body or {}, extra_wait_s=extra_wait_s)
        return body_of(answer, self._wire)

    def _change(self, method: str, key: str, *action: str, body: Mapping[str, object], if_match: str | None) -> T:
        """Send a change under a version: ``if_match``, or the one just read when the caller names none."""
        tag = if_match or self.read(key).etag
        answer = self._wire.call(method, self._at(key, *action), body=body, headers={"If-Match": tag})
        return body_of(answer, self._wire)

    def _remove(self, key: str) -> None:
        """Remove the thing whatever version it is at: whoever asks wants it gone, not that version of it."""
        self._wire.call("DELETE", self._at(key), headers={"If-Match": "*"})


def _state_of(value: object) -> str:
    return str(value.get("state", "unchanged")) if isinstance(value, dict) else "unchanged"
