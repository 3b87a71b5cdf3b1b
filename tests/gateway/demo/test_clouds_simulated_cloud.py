"""The simulated cloud keeps what it answered, across SIGKILL, finds by tags, fails as it is told, and ends cleanly."""

import asyncio
import base64
import http.client
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from catalog.clouds import MachineSpec, MachineStatus
from tests.support.clouds import ACCOUNT, SECRET, RunningCloud, simulated_cloud
from tests.support.listed import listed

SPEC = MachineSpec(name="kept", size="s1", image="img-debian-12", tags={"crossway-order": "kept"})


def ask(cloud: RunningCloud, method: str, path: str, body: Any = None, *, secret: str = SECRET) -> tuple[int, Any]:
    """Speak to the API directly and return status and parsed body."""
    pair = base64.b64encode(f"{ACCOUNT}:{secret}".encode()).decode()
    connection = http.client.HTTPConnection(cloud.address.host, cloud.address.port, timeout=20)
    try:
        connection.request(method, path, body=json.dumps(body), headers={"Authorization": f"Basic {pair}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_the_state_survives_sigkill(tmp_path: Path) -> None:
    """A machine whose create was answered is there after the power cut, and so are the ledger and the numbering."""
    with simulated_cloud(tmp_path) as cloud:

        async def create() -> Any:
            driver = cloud.driver()
            try:
                return await driver.create_machine(SPEC)
            finally:
                await driver.close()

        async def machines() -> Any:
            driver = cloud.driver()
            try:
                return await listed(driver, "machine")
            finally:
                await driver.close()

        made = asyncio.run(create())
        cloud.kill()
        cloud.start_again()
        found = asyncio.run(machines())
        again = asyncio.run(create())
        assert [machine.cloud_id for machine in found] == [made.cloud_id]
        assert found[0].tags == SPEC.tags
        assert again.cloud_id != made.cloud_id
        assert [entry["verb"] for entry in cloud.ledger()] == ["create", "create"]
        cloud.process.send_signal(signal.SIGTERM)
        assert cloud.process.wait(20) == 0


def test_a_machine_is_pending_until_it_has_booted(tmp_path: Path) -> None:
    """With an hour to boot a machine stays PENDING, also after a restart; with none it runs at once."""
    with simulated_cloud(tmp_path, boot_s=3600) as cloud:
        status, made = ask(cloud, "POST", "/v1/machines", {"name": "n", "size": "s1", "image": "img-web", "tags": {}})
        assert (status, made["state"]) == (201, "PENDING")
        cloud.kill()
        cloud.start_again()
        assert ask(cloud, "GET", f"/v1/machines/{made['id']}")[1]["state"] == "PENDING"
    (tmp_path / "fast").mkdir()
    with simulated_cloud(tmp_path / "fast", boot_s=0) as fast:
        made = ask(fast, "POST", "/v1/machines", {"name": "n", "size": "s1", "image": "img-web", "tags": {}})[1]
        assert made["state"].lower() == MachineStatus.RUNNING


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One simulated cloud for the questions that leave nothing behind."""
    with simulated_cloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running


def test_every_path_wants_the_credentials(cloud: RunningCloud) -> None:
    """No API path answers to a wrong secret."""
    for path in ("services", "sizes", "images", "locations", "key-pairs", "volumes", "machines", "machines/vm-1"):
        assert ask(cloud, "GET", f"/v1/{path}", secret="wrong")[0] == 401


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"name": 1, "size": "s1", "image": "img-web", "tags": {"a": 1}}]
)
def test_what_is_no_machine_is_a_400(cloud: RunningCloud, body: Any) -> None:
    """A body of another shape is refused, and nothing is made."""
    before = cloud.ledger()
    assert ask(cloud, "POST", "/v1/machines", body)[0] == 400
    assert cloud.ledger() == before


def test_a_fault_rule_counts_down_and_reports(cloud: RunningCloud) -> None:
    """A rule with times=1 applies once; the report says how often each was hit."""
    cloud.faults({"match": "GET /v1/sizes", "kind": "unavailable", "times": 1})
    try:
        assert [ask(cloud, "GET", "/v1/sizes")[0] for _ in range(2)] == [503, 200]
        assert json.loads(cloud.control("GET", "/_faults")[1])[0]["hits"] == 1
        assert cloud.control("POST", "/_faults", '[{"kind": "no such"}]')[0] == 400
    finally:
        cloud.faults()


def test_a_fault_rule_may_strike_now_and_then(cloud: RunningCloud) -> None:
    """With every=3 it strikes the third and sixth call that fit; the others are the next rule's, or answered."""
    cloud.faults(
        {"match": "GET /v1/sizes", "kind": "unavailable", "every": 3},
        {"match": "GET /v1/sizes", "kind": "denied", "times": 1},
    )
    try:
        assert [ask(cloud, "GET", "/v1/sizes")[0] for _ in range(6)] == [403, 200, 503, 200, 200, 503]
        assert cloud.control("POST", "/_faults", '[{"match": "*", "kind": "drop", "every": 0}]')[0] == 400
    finally:
        cloud.faults()


def test_machines_are_found_by_whole_tags(cloud: RunningCloud) -> None:
    """Every tag that is asked for has to be there as it was written, whatever letters and marks it has."""
    kept = {"a": 'b"c', "crossway-order": "5 % Ü"}
    wanted = {"name": "n", "size": "s1", "image": "img-web"}
    made = ask(cloud, "POST", "/v1/machines", {**wanted, "tags": kept})[1]
    ask(cloud, "POST", "/v1/machines", {**wanted, "tags": {"a": 'b"c"', "crossway-order": "5 % Ü2"}})
    for tags in (kept, {"a": 'b"c'}):
        query = urlencode({f"tag.{key}": value for key, value in tags.items()})
        assert [each["id"] for each in ask(cloud, "GET", f"/v1/machines?{query}")[1]["items"]] == [made["id"]]
    assert ask(cloud, "GET", "/v1/machines?tag.a=b")[1]["items"] == []
