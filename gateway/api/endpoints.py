"""How an endpoint is declared, and what it is given.

A declaration is the only way to add a route. From it follow the route itself, who may call it, validation,
Idempotency-Key (every POST), If-Match (every PUT, PATCH, DELETE), paging, long polls and the OpenAPI document, so that
none of them can be forgotten or drift from the code.

An endpoint is a plain function ``(tx, call) -> answer`` that runs inside one database transaction: a read one for GET,
else the write transaction in which the Idempotency-Key is kept too, so that effect and key exist both or not at all.
What takes long to find is found before that, in a read transaction (``first``), and holds up no other write.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Generic, Protocol, TypedDict, TypeVar, Unpack, runtime_checkable

from pydantic import BaseModel

from catalog import access
from catalog.access import Principal, Scope
from catalog.errors import Stale
from catalog.secrets import Secret
from catalog.store.database import Tx
from gateway.api.bodies import REFERENCE, Nothing
from gateway.api.services import ApiServices
from gateway.connections.streams import Stream

B = TypeVar("B", bound=BaseModel)
H = TypeVar("H", bound=Callable[..., Any])
B_contra = TypeVar("B_contra", bound=BaseModel, contravariant=True)

PAGE_LIMIT = 200
PAGE_DEFAULT = 50
SAFE = frozenset({"GET"})


class Door(StrEnum):
    """What proves that the caller may come in."""

    TOKEN = "token"  # noqa: S105 a kind of door, not a token
    ENROLMENT = "enrolment"
    ANYONE = "anyone"
    LOCAL = "local"  # from this host, or with the permission


class Versioned(Protocol):
    """Whatever carries a version for optimistic locking."""

    @property
    def version(self) -> int:
        """Return the present version."""
        ...


@runtime_checkable
class Tagged(Protocol):
    """An answer that has an ETag."""

    def tag(self) -> str:
        """Return the ETag without its quotes; it begins with the version."""
        ...


@dataclass(slots=True)
class Precondition:
    """If-Match as it came: one version, or any (``expected`` None). Remembers whether the endpoint looked at it."""

    expected: int | None = None
    checked: bool = False

    def check(self, row: Versioned) -> None:
        """Raise Stale unless ``row`` is the version that the caller saw."""
        self.checked = True
        if self.expected is not None and row.version != self.expected:
            raise Stale(
                f"it has version {row.version}, If-Match names {self.expected}",
                field="If-Match",
                fix="read it again, decide again, and send its new ETag",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B]):
    """One request as an endpoint sees it: who, what, and the services; nothing of HTTP.

    ``resume``: the id of the last event that the reader of a feed has seen. ``request_id`` stands in its log lines,
    ``permission`` is the one that its endpoint asks for. ``address`` and ``agent`` are where it came
    from, ``flow`` is what a browser keeps while it logs in elsewhere. ``found`` is what the endpoint's ``first`` found.
    """

    services: ApiServices
    now_s: float
    body: B
    caller: Principal | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    limit: int = PAGE_DEFAULT
    page_token: str | None = None
    precondition: Precondition = field(default_factory=Precondition)
    enrolment: Secret | None = None
    resume: str | None = None
    request_id: str = ""
    permission: str = ""
    address: str = ""
    agent: str = ""
    flow: str = field(default="", repr=False)
    found: Any = field(default=None, repr=False)

    @property
    def principal(self) -> Principal:
        """Return who calls; every endpoint behind a token has one."""
        assert self.caller is not None
        return self.caller

    @property
    def sees_all(self) -> bool:
        """Whether what is asked may be done to everybody's things, by a role for the whole gateway."""
        return self.scope.everything

    @property
    def scope(self) -> Scope:
        """Return whose things this call may reach."""
        return access.scope(self.principal, self.permission)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of answers, in the order of their ids; ``beside``: what else the page tells, if it is declared."""

    items: Sequence[BaseModel]
    next_token: str | None = None
    beside: BaseModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer that is not a model: metrics, probes and the OpenAPI document."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Result = BaseModel | Listing | Raw | None
Handler = Callable[[Tx, Call[B]], Result]
First = Callable[[Tx, Call[Any]], object]
Outside = Callable[[Call[Any], Any], Awaitable[None]]
Probe = Callable[[Call[Nothing]], Awaitable[Result]]
Opening = Callable[[Call[Nothing]], AbstractAsyncContextManager[Stream]]
Deed = Callable[[Call[B]], Awaitable[Result]]
Feed = Callable[[Call[Nothing]], AsyncGenerator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A query parameter that is one of ``choices``, or of ``pattern`` where there are none.

    A bare text instead of a Filter is a meaning, for any reference.
    """

    meaning: str
    choices: tuple[str, ...] = ()
    pattern: str = REFERENCE


def one_of(kind: type[StrEnum], meaning: str) -> Filter:
    """Return the filter that takes the values of ``kind`` and nothing else."""
    return Filter(meaning=meaning, choices=tuple(member.value for member in kind))


class Declaration(TypedDict, total=False):
    """The optional part of a declaration; see Endpoint."""

    permission: str | None
    door: Door
    answer: type[BaseModel] | None
    many: bool
    beside: type[BaseModel] | None
    status: int
    filters: Mapping[str, Filter | str]
    wakes: tuple[str, ...]
    location: str
    errors: tuple[type[Exception], ...]
    first: First | None
    then: Outside | None
    media_type: str
    description: str
    takes_signed: bool
    body_bytes: int | None
    ignores_unknown: bool
    takes_form: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One declared endpoint.

    ``many``: the answer is a page of ``answer``, with the fields of ``beside`` beside its items. ``filters``: query
    parameters beyond paging, with their meaning.
    ``wakes``: background tasks woken after the commit. ``location``: template of the Location header. ``errors``: what
    the endpoint may raise beyond what follows from its shape. ``first``: what is found for it (``call.found``) in a
    read transaction before the write one, which judges again whatever may have changed since. ``then``: work outside,
    between the transaction that permitted it and the answer; it must be repeatable.
    ``in_transaction`` False: a coroutine that is given no ``tx``.
    ``body_bytes``: the most that its body may have, where that is more than usual.
    ``ignores_unknown``: query parameters that it does not declare are somebody else's to add, and mean nothing.
    ``takes_form``: its body is what a browser's form sends, and not JSON.
    ``takes_signed``: a platform may prove itself by its connector's key instead of its token.
    ``is_stream``: answered by a WebSocket that carries the stream which the handler, a context manager, gives.
    ``is_feed``: answered by server-sent events; the handler, an async generator, gives their bytes.
    """

    method: str
    path: str
    summary: str
    tag: str
    handler: Callable[..., Any]
    body: type[BaseModel] = Nothing
    permission: str | None = None
    door: Door = Door.TOKEN
    answer: type[BaseModel] | None = None
    many: bool = False
    beside: type[BaseModel] | None = None
    status: int = 200
    filters: Mapping[str, Filter | str] = field(default_factory=dict)
    wakes: tuple[str, ...] = ()
    location: str = ""
    errors: tuple[type[Exception], ...] = ()
    first: First | None = None
    then: Outside | None = None
    media_type: str = "application/json"
    description: str = ""
    in_transaction: bool = True
    is_stream: bool = False
    is_feed: bool = False
    takes_signed: bool = False
    body_bytes: int | None = None
    ignores_unknown: bool = False
    takes_form: bool = False

    def __post_init__(self) -> None:
        if self.door in (Door.TOKEN, Door.LOCAL) and not self.permission:
            raise ValueError(f"{self.method} {self.path} declares no permission")
        if self.method not in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
            raise ValueError(f"{self.method} {self.path}: no such method here")

    @property
    def name(self) -> str:
        """Return the operation id: the function's own name."""
        return self.handler.__name__

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method not in SAFE

    @property
    def is_kept(self) -> bool:
        """Whether a repeat with the same Idempotency-Key gets the same answer and has no effect."""
        return self.method == "POST" and self.in_transaction

    @property
    def is_guarded(self) -> bool:
        """Whether If-Match is required."""
        return self.method in {"PUT", "PATCH", "DELETE"}

    @property
    def is_versioned(self) -> bool:
        """Whether its answer has an ETag."""
        return self.answer is not None and not self.many and hasattr(self.answer, "tag")

    @property
    def is_watchable(self) -> bool:
        """Whether ``Prefer: wait`` is honoured."""
        return self.method == "GET" and self.is_versioned

    @property
    def parameters(self) -> tuple[str, ...]:
        """Return the names in the path, in their order."""
        return tuple(re.findall(r"{(\w+)}", self.path))


class Routes:
    """The endpoints of one resource, in order of declaration."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._endpoints: list[Endpoint] = []

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._endpoints)

    def endpoint(
        self, method: str, path: str, *, summary: str, body: type[B], **rest: Unpack[Declaration]
    ) -> Callable[[Handler[B]], Handler[B]]:
        """Declare the decorated function, which takes a body, as the endpoint at ``method path``."""

        def declare(handler: Handler[B]) -> Handler[B]:
            endpoint = Endpoint(
                method=method, path=path, summary=summary, tag=self._tag, body=body, handler=handler, **rest
            )
            self._endpoints.append(endpoint)
            return handler

        return declare

    def plain(
        self, method: str, path: str, *, summary: str, **rest: Unpack[Declaration]
    ) -> Callable[[Handler[Nothing]], Handler[Nothing]]:
        """Declare an endpoint that takes no body (an empty object is allowed)."""
        return self.endpoint(method, path, summary=summary, body=Nothing, **rest)

    def probe(self, path: str, *, summary: str, **rest: Unpack[Declaration]) -> Callable[[Probe], Probe]:
        """Declare a GET that is no transaction; it runs on the event loop and bounds whatever it waits for."""

        def declare(handler: Probe) -> Probe:
            return self._declare_outside(handler, path, summary, rest)

        return declare

    def deed(
        self, method: str, path: str, *, summary: str, body: type[B], **rest: Unpack[Declaration]
    ) -> Callable[[Deed[B]], Deed[B]]:
        """Declare a change that is no single transaction: it runs on the event loop, and notes its deeds itself.

        A repeat is judged anew: no answer is kept for it, because what it answers is a secret or depends on time.
        """

        def declare(handler: Deed[B]) -> Deed[B]:
            endpoint = Endpoint(
                method=method,
                path=path,
                summary=summary,
                tag=self._tag,
                body=body,
                handler=handler,
                in_transaction=False,
                **rest,
            )
            self._endpoints.append(endpoint)
            return handler

        return declare

    def stream(self, path: str, *, summary: str, **rest: Unpack[Declaration]) -> Callable[[Opening], Opening]:
        """Declare a GET that becomes a WebSocket and carries the stream that the context manager gives."""
        rest["status"] = HTTPStatus.SWITCHING_PROTOCOLS

        def declare(handler: Opening) -> Opening:
            return self._declare_outside(handler, path, summary, rest, is_stream=True)

        return declare

    def feed(self, path: str, *, summary: str, **rest: Unpack[Declaration]) -> Callable[[Feed], Feed]:
        """Declare a GET that is answered by server-sent events, without an end of its own."""
        rest["media_type"] = "text/event-stream"

        def declare(handler: Feed) -> Feed:
            return self._declare_outside(handler, path, summary, rest, is_feed=True)

        return declare

    def _declare_outside(
        self, handler: H, path: str, summary: str, rest: Declaration, *, is_stream: bool = False, is_feed: bool = False
    ) -> H:
        """Declare a GET that is no transaction, and return its handler."""
        endpoint = Endpoint(
            method="GET",
            path=path,
            summary=summary,
            tag=self._tag,
            handler=handler,
            in_transaction=False,
            is_stream=is_stream,
            is_feed=is_feed,
            **rest,
        )
        self._endpoints.append(endpoint)
        return handler
