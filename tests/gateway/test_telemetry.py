"""Log lines are one JSON object each, and no secret or control character gets into one."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator

import pytest

from catalog.secrets import Secret
from gateway import telemetry
from gateway.telemetry import REDACTED, Metrics, RoutingMetrics, configured_logging, redact

TOKEN = "cw_admin_" + "Ab3-_" * 8 + "xyz"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Send this process's log to a buffer for the time of a test."""
    with configured_logging(level="DEBUG", stream=(stream := io.StringIO())):
        yield stream


def test_a_line_holds_time_level_logger_message_request_and_facts(lines: io.StringIO) -> None:
    """Facts of ``extra`` stand beside the message; the request id comes from the context."""
    held = telemetry.request_id.set("request_1")
    logging.getLogger("gateway.x").info("connection established", extra={"connection": "c1", "took_ms": 1.5})
    telemetry.request_id.reset(held)
    line = json.loads(lines.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "gateway.x",
        "message": "connection established",
        "request_id": "request_1",
        "connection": "c1",
        "took_ms": 1.5,
    }


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"note": f"got {TOKEN}."}, id="token in a text"),
        pytest.param({"headers": {"Authorization": f"Bearer {TOKEN}"}}, id="header in a dict"),
        pytest.param({"seen": [f"bearer {TOKEN}"]}, id="in a list"),
        pytest.param({"secret": TOKEN}, id="by its key"),
        pytest.param({"nested": {"password": {"deep": TOKEN}}}, id="by a key outside"),
        pytest.param({"held": Secret(TOKEN)}, id="Secret"),
        pytest.param(
            {"key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{TOKEN}\n-----END OPENSSH PRIVATE KEY-----"}, id="key"
        ),
    ],
)
def test_no_known_form_of_secret_gets_into_a_line(lines: io.StringIO, extra: dict[str, object]) -> None:
    """Tokens, authorization headers, private keys and values under telling names are replaced."""
    logging.getLogger("x").warning("something", extra=extra)
    assert TOKEN not in lines.getvalue()
    assert TOKEN[9:30] not in lines.getvalue()


def test_an_exception_is_redacted_like_everything_else(lines: io.StringIO) -> None:
    """The traceback is in the line, the token in the exception's text is not."""
    try:
        {}[f"no {TOKEN}"]
    except LookupError:
        logging.getLogger("x").exception("failed")
    line = json.loads(lines.getvalue())
    assert f"KeyError: 'no {REDACTED}'" in line["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_record_is_one_line_without_control_characters(form: str) -> None:
    """Line breaks, escape sequences and direction overrides in message and facts cannot forge or hide a line."""
    evil = "a\r\nb\x1b[2J\x85c\u2028d\u202ee\x00"
    with configured_logging(form=form, stream=(stream := io.StringIO())):
        logging.getLogger("x").warning(evil, extra={"fact": evil})
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()


def test_a_program_that_has_ended_leaves_logging_as_it_was() -> None:
    """Handlers and levels are those of before, also after an error: nothing is written to a stream that was closed."""
    loggers = [logging.getLogger(name) for name in ("", "asyncssh", "aiohttp")]
    before = [(list(logger.handlers), logger.level) for logger in loggers]
    with contextlib.suppress(LookupError), configured_logging(level="CRITICAL", stream=io.StringIO()):
        assert [(list(logger.handlers), logger.level) for logger in loggers] != before
        raise LookupError
    assert [(list(logger.handlers), logger.level) for logger in loggers] == before


def test_facts_cannot_pass_for_the_line_s_own(lines: io.StringIO) -> None:
    """An extra called "level" does not change what the line says of itself."""
    logging.getLogger("x").info("hello", extra={"level": "CRITICAL", "logger": "root"})
    assert (line := json.loads(lines.getvalue()))["level"] == "INFO"
    assert line["logger"] == "x"


def test_a_text_without_end_is_cut() -> None:
    """What a remote side can make as long as it likes does not fill the disk."""
    assert len(redact("x" * 1_000_000)) == 8_192


def test_metrics_are_separate_per_process_part() -> None:
    """Two Metrics share no registry, so tests and several gateways in a process do not add up."""
    one, other = Metrics(), Metrics()
    one.requests.labels("GET", "/livez", "200").inc()
    assert b'route="/livez"' in one.exposition()
    assert b'route="/livez"' not in other.exposition()


def test_routing_counts_in_the_same_exposition() -> None:
    """Moves add up by reason, packets by sender, refused samples by reason; links are as they were told last."""
    metrics = Metrics()
    routing = RoutingMetrics(metrics)
    for reason in ("moved", "escaped-dead", "moved"):
        routing.changed(reason)
    routing.probed("gateway", 20)
    routing.probed("fra-1", 5)
    routing.probed("gateway", 1)
    routing.refused("faster-than-light", 3)
    routing.links(alive=9, dead=1)
    routing.links(alive=7, dead=3)
    told = [line for line in metrics.exposition().decode().splitlines() if "_created" not in line]
    assert {
        'crossway_route_changes_total{reason="moved"} 2.0',
        'crossway_route_changes_total{reason="escaped-dead"} 1.0',
        'crossway_probe_packets_total{source="gateway"} 21.0',
        'crossway_probe_packets_total{source="fra-1"} 5.0',
        'crossway_probe_samples_refused_total{reason="faster-than-light"} 3.0',
        'crossway_links{state="alive"} 7.0',
        'crossway_links{state="dead"} 3.0',
    } <= set(told)
