"""Turn whatever a provider's library raises into the catalog's errors, without secrets or remote bytes in the text.

The errors are made anew, not chained: the originals hold URLs, bodies and frames with credentials in them, and a
traceback prints its causes. What an operator needs of them stands in ``detail``.
"""

import base64
import html
import http.client
import json
import ssl
import traceback
from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, quote_plus

import requests
import urllib3.exceptions
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError

from catalog.errors import (
    CatalogError,
    CertificateRefused,
    CloudCredentialsRefused,
    CloudDisconnected,
    CloudMisbehaved,
    CloudRefused,
    CloudTimedOut,
    CloudUnavailable,
)
from catalog.secrets import Secret
from drivers.clouds.routed_http import Call

DETAIL_LIMIT: Final = 300  # characters
_FEWEST_REDACTED: Final = 3  # shorter values are no secrets and would blank out ordinary words
_BAD_REQUEST, _UNAUTHORIZED, _TIMED_OUT, _TOO_MANY, _SERVER = 400, 401, 408, 429, 500
_CHAIN_LIMIT: Final = 20
_NOT_HTTP = (http.client.HTTPException, urllib3.exceptions.DecodeError, requests.exceptions.ContentDecodingError)
_TIMEOUTS = (TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)


class Redaction:
    """Remove one account's credentials, in the forms in which they travel, from text of remote origin."""

    def __init__(self, account: str, secret: Secret) -> None:
        revealed = secret.reveal()
        pair = f"{account}:{revealed}"
        plain = (revealed, account, pair)
        forms = {form for value in plain for form in _forms(value) if len(form) >= _FEWEST_REDACTED}
        # Longest first, so that no form is left in pieces by a shorter one.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def clean(self, text: str, limit: int = DETAIL_LIMIT) -> str:
        """Return ``text`` in one printable line of at most ``limit`` characters, credentials blanked out."""
        # Control characters go first: dropped later, they could join the halves of a credential again.
        line = printable(text)
        for form in self._forms:
            line = line.replace(form, "[redacted]")
        return line if len(line) <= limit else line[: limit - 1] + "…"

    def __repr__(self) -> str:
        return "Redaction(…)"


class Translation:
    """A block whose every error is kept as a catalog error in ``error``, never raised.

    A context manager rather than a broad ``except``: there is nothing to decide about the original, and leaving
    the block by value keeps a bare StopIteration from hanging the awaiting task.
    """

    def __init__(self, call: Call, redaction: Redaction) -> None:
        self.error: CatalogError | None = None
        self._call = call
        self._redaction = redaction

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        del kind, trace
        # What we refused is the outcome even when the driver swallowed it and went on.
        self.error = self._call.refusal
        if not isinstance(error, Exception):
            return error is None
        if self.error is None:
            self.error = translated(error, self._call.status, self._redaction)
        if isinstance(self.error, CloudUnavailable) and self._call.retry_after_s is not None:
            self.error.retry_after_s = self._call.retry_after_s
        return True


def translated(error: Exception, status: int | None, redaction: Redaction) -> CatalogError:
    """Return the catalog error for ``error``; ``status`` is that of the last HTTP answer, None without one."""
    if isinstance(error, CatalogError):
        return error
    detail = redaction.clean(f"{type(error).__name__} at {_place(error)}: {_words(error)}")
    code = getattr(error, "code", None) if isinstance(error, BaseHTTPError) else status
    if isinstance(error, InvalidCredsError):
        return CloudCredentialsRefused("the cloud does not accept the account's credentials", detail=detail)
    if isinstance(code, int) and code >= _BAD_REQUEST:
        return _for_status(code, detail)
    return _for_transport(error, detail)


def printable(text: str) -> str:
    """Return ``text`` without control and other unprintable characters; white space becomes single spaces."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _for_status(code: int, detail: str) -> CatalogError:
    if code >= _SERVER or code in {_TOO_MANY, _TIMED_OUT}:
        return CloudUnavailable(f"the cloud cannot serve the call now (HTTP {code})", detail=detail)
    if code == _UNAUTHORIZED:
        return CloudCredentialsRefused("the cloud does not accept the account's credentials", detail=detail)
    return CloudRefused(f"the cloud refused the call (HTTP {code})", detail=detail)


def _for_transport(error: Exception, detail: str) -> CatalogError:
    links = list(_chain(error))
    if any(isinstance(link, ssl.SSLCertVerificationError) for link in links):
        return CertificateRefused("the certificate does not prove the cloud's name", detail=detail)
    if any(isinstance(link, _TIMEOUTS) for link in links):
        return CloudTimedOut("the cloud gave no complete answer within the deadline", detail=detail)
    # A closed connection is reported as a bad status line too; that one is a ConnectionError as well.
    lost = any(isinstance(link, ConnectionError | urllib3.exceptions.IncompleteRead) for link in links)
    if not lost and any(isinstance(link, _NOT_HTTP) for link in links):
        return CloudMisbehaved("the cloud's answer is not HTTP as it should be", detail=detail)
    # An end in the middle of the handshake is a broken connection; any other trouble with TLS is what the cloud says.
    if not lost and any(type(link) is ssl.SSLError for link in links):
        return CloudMisbehaved("the cloud does not speak TLS as it should be spoken", detail=detail)
    if isinstance(error, OSError):  # requests' own errors are OSErrors too
        return CloudDisconnected("the connection to the cloud failed", detail=detail)
    return CloudMisbehaved("the cloud's answer makes no sense to its driver", detail=detail)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what it stems from: causes, contexts, and the errors libraries pack into arguments."""
    waiting: list[object] = [error]
    seen: list[BaseException] = []
    while waiting and len(seen) < _CHAIN_LIMIT:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and not any(link is known for known in seen):
            seen.append(link)
            yield link
            waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]


def _words(error: Exception) -> str:
    # BaseHTTPError.__str__ returns its message, which is no string when a JSON body was the message.
    message = getattr(error, "message", None) if isinstance(error, BaseHTTPError) else None
    return str(error) if message is None else f"{message}"


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _forms(value: str) -> tuple[str, ...]:
    encoded = base64.b64encode(value.encode()).decode()
    return (
        value,
        quote(value, safe=""),
        quote_plus(value),
        html.escape(value),
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
        encoded,
        encoded.rstrip("="),
        value.encode().hex(),
    )
