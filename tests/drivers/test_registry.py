"""The registry names what it knows, refuses what cannot be, and costs nothing to import."""

import subprocess
import sys
from typing import Any

import pytest

from catalog.clouds import CloudAccount
from catalog.errors import InvalidValue
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint
from catalog.secrets import Secret
from drivers.clouds.libcloud_facts import ACCEPTED
from drivers.registry import PROVIDERS, build, check, providers
from tests.support.dialers import LoopbackDialer


def account(provider: str, *, url: str | None = None, **changes: Any) -> CloudAccount:
    """Return an account at ``provider`` with what it needs, and ``changes``; at its one host, if it has one."""
    own = ACCEPTED[provider].host if provider in ACCEPTED else ""
    url = f"https://{own or 'cloud.example'}" if url is None else url
    endpoint = ApprovedEndpoint(url=url, dial=Address(host="127.0.0.1", port=1))
    options = dict.fromkeys(PROVIDERS[provider].needed, "some") if provider in PROVIDERS else {}
    facts: dict[str, Any] = {
        "platform": PlatformId("p"), "provider": provider, "region": "eu-central-1", "endpoint": endpoint,
        "account": "name", "secret": Secret("secret"), "options": options,
    }  # fmt: skip
    return CloudAccount(**{**facts, **changes})


@pytest.mark.parametrize("provider", providers())
def test_every_known_provider_is_built_without_a_dial(provider: str) -> None:
    """Building sends nothing; the driver answers to its provider's name."""
    dialer = LoopbackDialer()
    driver: Any = build(account(provider), dialer)
    assert driver.provider == provider
    assert dialer.dialled == []


def test_an_unknown_provider_is_told_the_known_ones() -> None:
    """The error names the field and what would be right."""
    with pytest.raises(InvalidValue) as caught:
        build(account("clown"), LoopbackDialer())
    assert caught.value.field == "provider"
    assert all(name in (caught.value.fix or "") for name in providers())


@pytest.mark.parametrize("option", ["key_file", "host", "proxy_url", "ex_userdata", "image_owner "])
@pytest.mark.parametrize("provider", providers())
def test_only_listed_options_pass(provider: str, option: str) -> None:
    """An option could name a local file or another address, so what is not listed is refused by name."""
    options = {**dict.fromkeys(PROVIDERS[provider].needed, "some"), option: "/etc/passwd"}
    with pytest.raises(InvalidValue) as caught:
        build(account(provider, options=options), LoopbackDialer())
    assert caught.value.field == f"options.{option}"


def test_a_needed_option_is_asked_for() -> None:
    """OpenStack does nothing without a project, so its absence is told at once."""
    with pytest.raises(InvalidValue) as caught:
        build(account("openstack", options={}), LoopbackDialer())
    assert caught.value.field == "options.project"


@pytest.mark.parametrize(
    ("provider", "region", "options", "field", "fix"),
    [
        ("clown", "", {}, "provider", "ec2"),
        ("ec2", "eu-centrl-1", {}, "region", "did you mean eu-central-1?"),
        ("ec2", "", {}, "region", "ap-south-1"),
        ("ec2", "eu-central-1", {"project": "x"}, "options.project", "image_owner"),
        ("openstack", "north-1", {}, "options.project", "name"),
        ("openstack", "", {"project": "x"}, "region", "catalog"),
    ],
)
def test_what_an_owner_tells_is_judged_before_there_is_a_driver(
    provider: str, region: str, options: dict[str, str], field: str, fix: str
) -> None:
    """A region or option that the provider does not have is named, with what is right."""
    with pytest.raises(InvalidValue) as caught:
        check(provider, region, options)
    assert caught.value.field == field
    assert fix in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("provider", "region", "options"),
    [
        ("ec2", "eu-central-1", {"image_owner": "self"}),
        ("openstack", "north-1", {"project": "x"}),
        ("simulated", "", {}),
        ("simulated", "private-1", {}),
    ],
)
def test_what_can_be_is_let_through(provider: str, region: str, options: dict[str, str]) -> None:
    """Good regions and options raise nothing."""
    check(provider, region, options)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://cloud.example", "cloud.example", "https://", "https://user:pass@cloud.example", "https://cloud.example:0",
     "https://cloud.example:99999", "https://cloud.example/v3", "https://cloud.example?a=b", "https://[::1"],
)  # fmt: skip
def test_an_endpoint_that_is_no_api_url_is_refused(url: str) -> None:
    """Only scheme, name and port are allowed: the rest would be lost or would carry credentials."""
    with pytest.raises(InvalidValue) as caught:
        build(account("simulated", url=url), LoopbackDialer())
    assert caught.value.field == "endpoint"
    assert "pass" not in str(caught.value)


def test_the_facts_are_cheap_to_import() -> None:
    """Reading the list of providers imports no libcloud and no requests."""
    check = "import sys, drivers.registry; sys.exit(any(name in sys.modules for name in ('libcloud', 'requests')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
