"""What operators see: JSON lines with request ids and without secrets, and Prometheus metrics.

Nothing here is global but the current request's id: a process makes one ``Metrics``, and runs within
``configured_logging``.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

# The request that the running code serves; empty in background work.
request_id: ContextVar[str] = ContextVar("request_id", default="")

METRICS_TYPE = CONTENT_TYPE_LATEST
REDACTED = "[redacted]"
_CHATTY = ("asyncssh", "urllib3", "libcloud", "aiohttp", "asyncio", "alembic")
_LATENCY_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
_TEXT_LIMIT = 8_192  # a line that a remote side can grow without end would fill the disk

_SECRET_KEYS = re.compile(
    r"secret|password|passphrase|authorization|credential|api_key|private_key|token_text", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"\bcw_[a-z]+_[A-Za-z0-9_-]{16,}"  # our own tokens
    r"|\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.IGNORECASE | re.DOTALL,
)
# Characters that end a line or steer a terminal when somebody reads the log with cat; JSON leaves these as they are.
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Return ``text`` without tokens, authorization headers and private keys, cut to 8 KiB."""
    return _SECRET_TEXT.sub(REDACTED, text[:_TEXT_LIMIT])


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, request_id, then the facts of ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; it holds no raw line break, control character or known form of secret."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if current := request_id.get():
            line["request_id"] = current
        facts = {key: _plain(key, value) for key, value in vars(record).items() if key not in _OWN_FIELDS}
        if record.exc_info:
            facts["exception"] = redact(self.formatException(record.exc_info))
        return _CONTROL.sub(_escaped, json.dumps(facts | line, ensure_ascii=False, default=str))


class TextLines(JsonLines):
    """The same facts for a person at a terminal: ``12:00:00 INFO logger message key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with every value quoted as JSON so that it cannot break out of its line."""
        facts = json.loads(super().format(record))
        clock = str(facts.pop("time"))[11:19]
        head = f"{clock} {facts.pop('level'):<7} {facts.pop('logger')} {json.dumps(facts.pop('message'))[1:-1]}"
        return " ".join([head, *(f"{key}={json.dumps(value)}" for key, value in facts.items())])


def _plain(key: str, value: object) -> object:
    """Return ``value`` fit for JSON; anything unusual by its repr, which a Secret does not give away in."""
    if _SECRET_KEYS.search(key):
        return REDACTED
    if isinstance(value, dict):
        return {str(k): _plain(str(k), v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain("", item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact(str(value))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


@contextmanager
def configured_logging(*, level: str = "INFO", form: str = "json", stream: TextIO | None = None) -> Iterator[None]:
    """Send every logger's lines to ``stream`` (default: standard error) as ``json`` or ``text``; after it, as before.

    The former handlers come back, because whoever runs a program inside a process goes on when that program has ended.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    # Some name hosts, headers and bodies at DEBUG, and speak of every connection at INFO.
    levels = {root: level} | {
        logging.getLogger(name): max(logging.WARNING, logging.getLevelName(level)) for name in _CHATTY
    }
    handlers, former = list(root.handlers), {logger: logger.level for logger in levels}
    root.handlers[:] = [handler]
    for logger, its_level in levels.items():
        logger.setLevel(its_level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for logger, its_level in former.items():
            logger.setLevel(its_level)


class Metrics:
    """The process's metrics in a registry of their own; labels are route templates, never raw paths."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "crossway_http_requests", "HTTP requests answered", ("method", "route", "status"), registry=self.registry
        )
        self.request_s = Histogram(
            "crossway_http_request_seconds",
            "Time from head to answer, long polls left out",
            ("method", "route"),
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.connections = Gauge("crossway_http_connections", "Open HTTP connections", registry=self.registry)
        self.cut = Counter(
            "crossway_http_connections_cut", "Connections closed by a limit", ("limit",), registry=self.registry
        )
        self.watchers = Gauge("crossway_http_watchers", "Requests waiting for a change", registry=self.registry)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format, of type METRICS_TYPE."""
        return generate_latest(self.registry)


class RoutingMetrics:
    """What choosing and probing count, in the registry of the process's ``Metrics``; make it once for each."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._changes = Counter(
            "crossway_route_changes", "Connections moved to another route", ("reason",), registry=registry
        )
        self._packets = Counter(
            "crossway_probe_packets", "Probe packets sent, by who sent them", ("source",), registry=registry
        )
        self._refused = Counter(
            "crossway_probe_samples_refused", "Samples that cannot be true", ("reason",), registry=registry
        )
        self._mismatches = Counter(
            "crossway_host_key_mismatches", "Log-ins to a relay that showed another key", ("relay",), registry=registry
        )
        self._links = Gauge("crossway_links", "Links by what their last probes said", ("state",), registry=registry)

    def changed(self, reason: str) -> None:
        """Count one connection that moved to another route, and why."""
        self._changes.labels(reason).inc()

    def probed(self, source: str, packets: int) -> None:
        """Count ``packets`` sent by ``source``: "gateway", or the name of a relay."""
        self._packets.labels(source).inc(packets)

    def refused(self, reason: str, count: int) -> None:
        """Count samples that were not believed, and why."""
        self._refused.labels(reason).inc(count)

    def mismatched(self, relay: str) -> None:
        """Count one log-in that was given up because ``relay`` showed another host key than the pinned one."""
        self._mismatches.labels(relay).inc()

    def links(self, *, alive: int, dead: int) -> None:
        """Say how many links answered last and how many did not."""
        self._links.labels("alive").set(alive)
        self._links.labels("dead").set(dead)
