"""No error, log line or representation holds a credential or raw remote bytes, whatever the cloud sends back."""

import asyncio
import base64
import html
import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.clouds import MachineAction, MachineSpec
from catalog.errors import CatalogError
from catalog.secrets import Secret
from drivers.clouds.policy import CallPolicy
from drivers.clouds.translation import DETAIL_LIMIT, Redaction
from gateway.clock import SystemClock
from gateway.demo.clouds.ca import PrivateAuthority
from tests.support.clouds import ACCOUNT, SECRET, RunningCloud, moto_cloud, simulated_cloud
from tests.support.listed import listed

PAIR = base64.b64encode(f"{ACCOUNT}:{SECRET}".encode()).decode()
FORMS = [SECRET, ACCOUNT, PAIR, quote(SECRET, safe=""), quote_plus(SECRET), html.escape(SECRET), SECRET.encode().hex()]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_which_a_credential_travels_is_blanked_out(form: str) -> None:
    """Plain, base64, URL-quoted, XML-escaped and hexadecimal forms all go."""
    assert form not in Redaction(ACCOUNT, Secret(SECRET)).clean(f"you sent {form}, I think")


def test_control_characters_cannot_hide_a_credential() -> None:
    """A secret cut by control characters is recognised once they are gone; one cut by the limit leaves no piece."""
    redaction = Redaction(ACCOUNT, Secret(SECRET))
    assert SECRET not in redaction.clean("\x00".join(SECRET))
    assert SECRET[:8] not in redaction.clean("x" * (DETAIL_LIMIT - 10) + SECRET)


@given(st.text(max_size=600))
def test_cleaned_text_is_one_short_printable_line(text: str) -> None:
    """Whatever comes in, at most DETAIL_LIMIT printable characters come out: safe for a log and a terminal."""
    cleaned = Redaction(ACCOUNT, Secret(SECRET)).clean(text)
    assert len(cleaned) <= DETAIL_LIMIT
    assert cleaned.isprintable()


def test_a_redaction_does_not_show_what_it_hides() -> None:
    """The object that knows the secret does not give it away itself."""
    assert SECRET not in repr(Redaction(ACCOUNT, Secret(SECRET)))


@pytest.fixture(scope="module", params=["simulated", "ec2"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Either of the clouds, in a process of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    with simulated_cloud(folder) if request.param == "simulated" else moto_cloud(folder) as running:
        yield running


async def every_call(driver: Any) -> list[CatalogError]:
    """Make every kind of call and return the errors they end in."""
    spec = MachineSpec(name="n", size="no-such", image="no-such", tags={"a": "b"}, client_token="t")
    calls = (
        driver.log_in, lambda: listed(driver, "image"), lambda: listed(driver, "machine"),
        lambda: driver.create_machine(spec),
        lambda: driver.machine("i-1"), lambda: driver.act("i-1", MachineAction.REBOOT), lambda: driver.prove("machine"),
    )  # fmt: skip
    errors = []
    for call in calls:
        try:
            await call()
        except CatalogError as error:
            errors.append(error)
    await driver.close()
    return errors


@pytest.mark.parametrize(
    "kind", ["echo", "redirect", "garbage", "drop", "unavailable", "huge", "drip", "hang", "wrong secret", "wrong CA"]
)
def test_credentials_stay_inside_in_every_failure(
    cloud: RunningCloud, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In ten kinds of failure of seven calls, nothing an error or a log at DEBUG holds gives a credential away."""
    caplog.set_level(logging.DEBUG)
    changes: dict[str, Any] = {"policy": CallPolicy(deadline_s=0.5 if kind in {"drip", "hang"} else 20)}
    wrong = "a-wrong-secret-canary"
    if kind == "wrong secret":
        changes["secret"] = Secret(wrong)
    elif kind == "wrong CA" and cloud.tls:
        changes["ca_pem"] = PrivateAuthority("Other", now_s=SystemClock().now_s()).ca_pem
    elif kind == "wrong CA":
        changes["url"] = f"https://cloud.private.example:{cloud.address.port}"  # TLS spoken to a plain server
    else:
        cloud.faults({"match": "*", "kind": kind})
    try:
        errors = asyncio.run(every_call(cloud.driver(**changes)))
    finally:
        cloud.faults()

    assert errors
    told = [caplog.text, *(text for error in errors for text in shown(error))]
    for form in (*FORMS, wrong):
        assert not any(form in text for text in told), form
    assert all(error.detail.isprintable() and len(error.detail) <= DETAIL_LIMIT for error in errors)


def shown(error: BaseException | None) -> Iterator[str]:
    """Yield every text that can be had of ``error`` and of what it is chained to."""
    if error is not None:
        yield from (str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error)))
        yield json.dumps(error.args, default=repr)
        yield from shown(error.__cause__)
        yield from shown(error.__context__)
