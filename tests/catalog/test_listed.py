"""Lists as they are stored: in batches of bounded size, normalised, each id once."""

import json
from collections.abc import Iterator

import pytest

from catalog import listed
from catalog.clouds import CloudItem, CloudMachine, CloudSize, MachineStatus
from catalog.errors import CloudMisbehaved


def sizes(count: int) -> Iterator[CloudSize]:
    """Yield as many sizes: s0, s1 and so on."""
    for number in range(count):
        yield CloudSize(cloud_id=f"s{number}", name=f"size {number}", vcpu=1, memory_mib=2048, disk_gib=None)


def test_a_list_comes_in_batches_and_is_not_read_ahead() -> None:
    """The first batch is told after 250 rows, and the 251st was not asked for yet; all of them are told in the end."""
    taken: list[str] = []

    def noted() -> Iterator[CloudSize]:
        for size in sizes(600):
            taken.append(size.cloud_id)
            yield size

    batches = listed.batches("simulated", "size", noted())
    assert next(batches).count == len(taken) == listed.BATCH_ROWS
    assert [batch.count for batch in batches] == [250, 100]
    assert len(taken) == 600


def test_a_row_holds_facts_and_what_is_normalised() -> None:
    """2,048 MiB are 2 GiB; a machine tells its state, addresses and tags; what is not known is null."""
    (size,) = json.loads(listed.listing("simulated", "size", sizes(1)).batches[0])
    assert (size["cloud_id"], size["memory_gib"], size["gpu_count"]) == ("s0", 2, None)
    assert size["facts"] == {"vcpu": 1, "memory_mib": 2048, "disk_gib": None}
    machine = CloudMachine(
        cloud_id="m1", name="web", status=MachineStatus.RUNNING, addresses=("10.0.0.1",), tags={"owner": "shop"}
    )
    (row,) = json.loads(listed.listing("simulated", "machine", [machine]).batches[0])
    told = {"status": "running", "addresses": ["10.0.0.1"], "tags": {"owner": "shop"}, "reason": ""}
    assert row["facts"] == told | {"size": "", "image": "", "network": ""}
    (volume,) = json.loads(listed.listing("x", "volume", [CloudItem(cloud_id="v", name="debian-12")]).batches[0])
    assert volume["os_family"] is None


def test_one_id_twice_is_refused_also_in_different_batches() -> None:
    """What is listed twice cannot be told apart."""

    def twice() -> Iterator[CloudSize]:
        yield from sizes(300)
        yield from sizes(1)

    with pytest.raises(CloudMisbehaved):
        listed.listing("simulated", "size", twice())
