"""The event log through the API: by pages, and watched across restarts of the gateway."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, TypedDict

from gateway.client.collection import LOOK_PAUSE_S, Collection, given
from gateway.client.problems import AnswerUnreadable, ApiProblem, ServerUnreachable

# A line of a feed is one event at most; whatever is longer is not ours.
LINE_LIMIT_BYTES = 1024 * 1024
_AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class Event(TypedDict):
    """One thing that happened; ``seq`` is its place in the one order of all."""

    seq: int
    kind: str
    subject: str
    platform: str | None
    project: str | None
    at: str
    data: dict[str, Any]


class Events(Collection[Event]):
    """What happened, each once and in one order."""

    def watch(
        self, *, since: int | None = None, kind: str | None = None, subject: str | None = None
    ) -> Iterator[Event]:
        """Yield what happens after ``since`` (None: from now on), in order and without end.

        A gateway that goes away is asked again, for as long as it takes; nothing is lost or told twice by that. Raises
        ApiProblem when it says no: ``events-forgotten`` for events that are not kept any more, 401 for a token that is
        not valid any more.
        """
        seen = since
        filters = {name: str(value) for name, value in given(kind=kind, subject=subject).items()}
        while True:
            try:
                for seq, event in self._feed(seen, filters):
                    seen = seq
                    if event is not None:
                        yield event
            except ServerUnreachable:
                pass
            except ApiProblem as problem:
                if problem.status not in _AWAY:
                    raise
            self._wire.pause(LOOK_PAUSE_S)

    def _feed(self, since: int | None, filters: dict[str, str]) -> Iterator[tuple[int, Event | None]]:
        """Yield (number, event) of one answer until it ends; (number, None) where nothing more was to be told."""
        query = filters if since is None else {**filters, "since": str(since)}
        with self._wire.feed(f"{self._path}/watch", query=query, line_limit_bytes=LINE_LIMIT_BYTES) as lines:
            fields: dict[str, str] = {}
            for line in lines:
                name, _, value = line.partition(":")
                if line:
                    fields[name] = value.removeprefix(" ")
                    continue
                if fields.get("event") == "end":
                    raise _ended(self._document(fields))
                if fields.get("id", "").isdecimal():
                    yield int(fields["id"]), self._document(fields) if "data" in fields else None
                fields = {}

    def _document(self, fields: dict[str, str]) -> Event:
        try:
            document: Event = json.loads(fields.get("data", ""))
        except ValueError as error:
            raise AnswerUnreadable(str(self._wire.address), "an event is not JSON") from error
        return document


def _ended(document: object) -> ApiProblem:
    told = document if isinstance(document, dict) else {}
    code = str(told.get("code", "feed-ended"))
    return ApiProblem(
        status=HTTPStatus.UNAUTHORIZED if code == "unauthenticated" else HTTPStatus.GONE,
        code=code,
        title=code,
        detail=str(told.get("detail") or ""),
        fix=str(told.get("fix") or ""),
    )
