"""The connector's file: what is read from it, and what each mistake is answered with."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.errors import InvalidValue
from catalog.model.terms import Scope
from gateway.connector.policy import Rule, Verdict
from gateway.connector.settings import read_settings
from tests.support.platform_links import SERVICE, write_config


def test_every_key_is_read(tmp_path: Path) -> None:
    """Rules, ends, quotas and paths (relative to the file) arrive as values; verbs left out mean all of them."""
    policy = """
[policy.machine]
decision = "grant"
verbs = ["destroy", "create", "create"]
quota = 7
cores = 16
memory_gib = 64
scope = {regions = ["eu-*"], images = ["debian-*"]}
expires_at = 2027-01-01T00:00:00Z
[policy.location]
decision = "ask"
expires_after_s = 1.5
"""
    settings = read_settings(write_config(tmp_path, policy, more='tls_cert_file = "c.pem"\ntls_key_file = "/k.pem"'))
    assert (settings.key_file, settings.state_file) == (tmp_path / "platform.key", tmp_path / "connector.db")
    assert (settings.tls_cert_file, settings.tls_key_file) == (tmp_path / "c.pem", Path("/k.pem"))
    assert settings.policy.service.services == ("machine", "image", "size", "location")
    assert settings.policy.rules == {
        "machine": Rule(
            verdict=Verdict.GRANT,
            verbs=("create", "destroy"),
            quota=7,
            cores=16,
            memory_gib=64,
            scope=Scope(regions=("eu-*",), images=("debian-*",)),
            expires_at_s=datetime(2027, 1, 1, tzinfo=UTC).timestamp(),
        ),
        "location": Rule(verdict=Verdict.ASK, verbs=("list",), expires_after_s=1.5),
    }


EVERY_VERB = (
    *("create", "list", "reboot", "stop", "start"),
    *("rebuild", "resize", "rename", "console", "destroy"),
)


@pytest.mark.parametrize(
    ("verbs", "given"),
    [
        pytest.param("", EVERY_VERB, id="left out"),
        pytest.param('verbs = ["list", "adopt", "stop"]', ("list", "stop", "adopt"), id="named"),
    ],
)
def test_to_adopt_machines_has_to_be_named(tmp_path: Path, verbs: str, given: tuple[str, ...]) -> None:
    """A file that says nothing of verbs lets nobody steer the machines that the owner made."""
    policy = f'[policy.machine]\ndecision = "grant"\n{verbs}\n'
    assert read_settings(write_config(tmp_path, policy)).policy.rules["machine"].verbs == given


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        pytest.param(
            '[policy.machine]\ndecision = "grant"\nqouta = 3',
            "policy.machine.qouta: there is no such key; did you mean quota?",
            id="misspelt key",
        ),
        pytest.param(
            '[policy.machines]\ndecision = "deny"', "policy.machines: should be 'machine', 'image'", id="name"
        ),
        pytest.param(
            '[policy.machine]\ndecision = "grant"\nverbs = ["create", "fly"]',
            "policy.machine.verbs: 'fly' is not a verb of machine; choose from create, list, reboot, stop, start",
            id="unknown verb",
        ),
        pytest.param(
            '[policy.machine]\ndecision = "maybe"', "policy.machine.decision: should be 'grant'", id="verdict"
        ),
        pytest.param("[policy.machine]\nquota = 1", "policy.machine.decision: is missing", id="no verdict"),
        pytest.param(
            '[policy.machine]\ndecision = "grant"\ndestinations = ["10.0.0.5:22"]',
            "policy.machine.destinations: is for forward only; remove it",
            id="destinations of machines",
        ),
        pytest.param(
            '[policy.forward]\ndecision = "ask"', "policy.forward.destinations: is missing", id="forward to nowhere"
        ),
        pytest.param(
            '[policy.forward]\ndecision = "ask"\ndestinations = ["127.0.0.1:22"]',
            "policy.forward.destinations: nobody is forwarded to this destination; such as 10.0.0.0/24:22",
            id="forward to loopback",
        ),
        pytest.param(
            '[policy.machine]\ndecision = "grant"\nquota = "5"',
            "policy.machine.quota: should be a valid integer",
            id="text for a number",
        ),
        pytest.param('[policy.machine]\ndecision = "grant"\nquota = true', "policy.machine.quota", id="bool quota"),
        pytest.param('[policy.machine]\ndecision = "grant"\nquota = 0', "policy.machine.quota", id="quota of none"),
        pytest.param(
            '[policy.image]\ndecision = "grant"\nquota = 5',
            "policy.image.quota: only machines are counted",
            id="counted",
        ),
        pytest.param('[policy.machine]\ndecision = "grant"\nverbs = []', "policy.machine.verbs", id="no verbs"),
        pytest.param('[policy.machine]\ndecision = "grant"\nexpires_after_s = -1', "expires_after_s", id="negative"),
        pytest.param('[policy.machine]\ndecision = "grant"\nexpires_after_s = inf', "expires_after_s", id="infinite"),
        pytest.param(
            '[policy.machine]\ndecision = "grant"\nexpires_at = 2027-01-01T00:00:00',
            "policy.machine.expires_at: should have timezone info",
            id="no time zone",
        ),
        pytest.param(
            '[policy.machine]\ndecision = "grant"\nexpires_after_s = 5\nexpires_at = 2027-01-01T00:00:00Z',
            "policy.machine: give expires_after_s or expires_at, not both",
            id="two ends",
        ),
        pytest.param(
            '[policy.volume]\ndecision = "ask"',
            "policy.volume: volume is not in service.services; add it there or deny it",
            id="not a service",
        ),
        pytest.param("[policies.machine]", "policies: there is no such key; did you mean policy?", id="table"),
        pytest.param(
            '[policy.image]\ndecision = "grant"\nscope = {sizes = ["s"]}',
            "policy.image.scope: only machines have a scope",
            id="scope of images",
        ),
        pytest.param(
            '[policy.machine]\ndecision = "grant"\nscope = {sices = ["s"]}',
            "policy.machine.scope.sices: there is no such key; did you mean sizes?",
            id="scope misspelt",
        ),
        pytest.param("[policy", "is not TOML", id="not TOML"),
    ],
)
def test_a_mistake_in_the_policy_is_named(tmp_path: Path, policy: str, told: str) -> None:
    """Each mistake is refused with its key and what would be right."""
    with pytest.raises(InvalidValue) as caught:
        read_settings(write_config(tmp_path, policy))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"listen": "8790"}, 'connector.listen: must be "host:port" or "fd:N"', id="listen"),
        pytest.param({"listen": "127.0.0.1:65536"}, "connector.listen: must be", id="port"),
        pytest.param({"gateway_key": "aGVsbG8="}, "connector.gateway_key: must be the base64 of a 32-byte", id="short"),
        pytest.param({"gateway_key": "?"}, "connector.gateway_key: must be the base64", id="not base64"),
        pytest.param({"more": 'tls_cert_file = "x"'}, "tls_cert_file and tls_key_file go together", id="half of TLS"),
        pytest.param({"more": "port = 8790"}, "connector.port: there is no such key", id="unknown key"),
        pytest.param({"service": ""}, "service: is missing", id="no service"),
        pytest.param(
            {"service": SERVICE.replace("north-1", "north\\u001b1")}, "service.region: holds unprintable", id="control"
        ),
        pytest.param({"service": SERVICE.replace('"size"', '"sizes"')}, "service.services.2: should be", id="service"),
    ],
)
def test_a_mistake_in_the_other_tables_is_named(tmp_path: Path, change: dict[str, str], told: str) -> None:
    """The same holds for [connector] and [service]."""
    with pytest.raises(InvalidValue) as caught:
        read_settings(write_config(tmp_path, "", **change))
    assert told in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """One line per mistake: nobody mends a file by running the program ten times."""
    config = write_config(tmp_path, '[policy.machine]\ndecision = "yes"\nqouta = 1', listen="x")
    with pytest.raises(InvalidValue) as caught:
        read_settings(config)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()[1:]] == [
        "connector.listen",
        "policy.machine.decision",
        "policy.machine.qouta",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which file could not be read."""
    with pytest.raises(InvalidValue, match=r"absent\.toml cannot be read: No such file"):
        read_settings(tmp_path / "absent.toml")


def test_the_example_is_a_usable_file() -> None:
    """The example that the documentation points to holds every key and no mistake."""
    settings = read_settings(Path("config/connector.example.toml"))
    assert set(settings.policy.rules) == {"machine", "image", "size", "location", "network", "forward"}
    assert settings.policy.rules["forward"].destinations == ("10.0.0.0/24:22", "db.north.internal:5432")
    assert settings.policy.rules["machine"].expires_after_s == 30 * 86_400
