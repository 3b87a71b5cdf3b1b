"""Volumes and snapshots over HTTP: ordered, attached, detached and destroyed by those whose they are."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from catalog import consent, publish
from catalog.cloud_assets import AssetKind, AssetSpec
from catalog.errors import CloudRefused, CloudTimedOut
from catalog.messages.contracts import AssetCreated, CreateAsset, DestroyAsset, from_json
from catalog.messages.handshake import CAPABILITY_VERBS, Capability, Decision, GrantedCapability
from catalog.model.ids import AssetId, MessageId, PlatformId
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent
from catalog.model.platform import Platform
from catalog.orders.policy import RetryPolicy
from catalog.orders.settle import settle
from catalog.store import outbox, rows
from catalog.store.database import Tx
from tests.support.api_world import ApiWorld, api_world

ORDER = {"kind": "volume", "offer": "platform", "size_gib": 8, "name": "data"}


async def grant_volumes(world: ApiWorld) -> None:
    """Let the platform grant volumes, accepted and on offer."""
    now_s, platform = world.clock.now_s(), PlatformId(world.ids["platform"])

    def work(tx: Tx) -> None:
        verbs = CAPABILITY_VERBS[Capability.VOLUME]
        (grant,) = consent.propose(
            tx, platform_id=platform, connection_id=world.ids["connection"], request_id="r2", wanted={"volume": verbs},
            now_s=now_s,
        )  # fmt: skip
        granted = (GrantedCapability(capability="volume", verbs=verbs),)
        decision = Decision(request_id="r2", granted=granted, serial=2)
        consent.record_decision(tx, platform_id=platform, decision=decision, now_s=now_s)
        publish.publish(tx, consent.accept(tx, grant.id, now_s), now_s)

    await world.write(work)


async def messages(world: ApiWorld, kind: type[Any]) -> list[Any]:
    """Return what the provisioner is asked, of this kind."""
    unsent = await world.services.database.read(lambda tx: outbox.unsent(tx, 100))
    return [told for told in (from_json(row.body) for row in unsent) if isinstance(told, kind)]


async def made(world: ApiWorld, asset: str) -> str:
    """Let the cloud make what was ordered, and report it; return the cloud's id."""
    (asked,) = [told for told in await messages(world, CreateAsset) if told.asset == asset]
    there = world.assets.add(AssetSpec(kind=AssetKind(asked.kind), name=asked.name, tags=asked.tags, size_gib=8))
    report = AssetCreated(
        id=MessageId(f"m-{asset}"), created_at_s=1.0, asset=AssetId(asset), platform=PlatformId(world.ids["platform"]),
        attempt=1, cloud_id=there.cloud_id, facts={"size_gib": "8"},
    )  # fmt: skip
    await world.write(lambda tx: settle(tx, report, world.clock.now_s(), RetryPolicy()))
    return there.cloud_id


async def act(world: ApiWorld, asset: str, action: str, machine: str | None = None, role: str = "tenant") -> Any:
    """Ask for an action."""
    body = {"action": action, **({"machine": machine} if machine else {})}
    return await world.call(role, "POST", f"/v1/assets/{asset}/actions", body)


def test_a_volume_is_ordered_attached_pictured_and_destroyed(tmp_path: Path) -> None:
    """The whole life of a volume, and of a snapshot of it; every message carries what the cloud will be asked."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await grant_volumes(world)
            ordered = await world.call("tenant", "POST", "/v1/assets", ORDER)
            assert (ordered.status, ordered.body["state"], ordered.body["size_gib"]) == (202, "creating", 8)
            asset, machine = ordered.body["id"], world.ids["machine"]
            assert ordered.headers["Location"] == f"/v1/assets/{asset}"
            (asked,) = await messages(world, CreateAsset)
            assert (asked.asset, asked.kind, asked.size_gib, asked.tags) == (
                asset, "volume", 8, {"crossway-asset": asset},
            )  # fmt: skip
            early = await act(world, asset, "attach", machine)
            assert (early.status, early.code) == (409, "wrong-state")
            cloud_id = await made(world, asset)

            attached = await act(world, asset, "attach", machine)
            assert (attached.status, attached.body["machines"]) == (202, [machine])
            assert [each.machines for each in world.assets.present] == [("vm-1",)]
            again = await act(world, asset, "attach", machine)
            assert again.status == 202  # attached already: nothing more to do
            kept = await act(world, asset, "destroy")
            assert (kept.status, kept.code) == (409, "wrong-state")
            await act(world, asset, "detach", machine)
            assert [each.machines for each in world.assets.present] == [()]
            assert (await world.call("tenant", "GET", f"/v1/assets/{asset}")).body["machines"] == []

            picture = await world.call("tenant", "POST", "/v1/assets", {"kind": "snapshot", "parent": asset})
            assert (picture.status, picture.body["size_gib"], picture.body["parent"]) == (202, 8, asset)
            assert {told.parent for told in await messages(world, CreateAsset)} == {None, cloud_id}
            listed = await world.call("tenant", "GET", "/v1/assets?kind=snapshot")
            assert [each["id"] for each in listed.body["items"]] == [picture.body["id"]]

            ending = await act(world, asset, "destroy")
            assert (ending.status, ending.body["state"]) == (202, "destroying")
            (told,) = await messages(world, DestroyAsset)
            assert (told.asset, told.cloud_id) == (asset, cloud_id)

    asyncio.run(story())


def test_a_refused_attachment_is_none_and_an_unknown_one_may_be_asked_again(tmp_path: Path) -> None:
    """After a clear no the volume is attached to nothing; after silence it may be, so it is asked for once more."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await grant_volumes(world)
            asset = (await world.call("tenant", "POST", "/v1/assets", ORDER)).body["id"]
            await made(world, asset)
            machine = world.ids["machine"]
            world.cloud_errors.append(CloudRefused("it is elsewhere"))
            refused = await act(world, asset, "attach", machine)
            assert (refused.status, refused.code) == (502, "cloud-refused")
            world.cloud_errors.append(CloudTimedOut("no answer"))
            assert (await act(world, asset, "attach", machine)).code == "cloud-timed-out"
            assert (await world.call("tenant", "GET", f"/v1/assets/{asset}")).body["machines"] == [machine]
            assert (await act(world, asset, "attach", machine)).status == 202
            assert [each.machines for each in world.assets.present] == [("vm-1",)]

    asyncio.run(story())


def test_what_is_attached_stays_so_when_asking_again_is_refused(tmp_path: Path) -> None:
    """Only what this very call noted is undone: the first attachment stands, at the cloud and here."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await grant_volumes(world)
            asset = (await world.call("tenant", "POST", "/v1/assets", ORDER)).body["id"]
            await made(world, asset)
            machine = world.ids["machine"]
            assert (await act(world, asset, "attach", machine)).status == 202
            world.cloud_errors.append(CloudRefused("it is attached already"))
            assert (await act(world, asset, "attach", machine)).code == "cloud-refused"
            assert (await world.call("tenant", "GET", f"/v1/assets/{asset}")).body["machines"] == [machine]

    asyncio.run(story())


def test_a_volume_of_a_rival_is_attached_to_nothing(tmp_path: Path) -> None:
    """A rival's machine does not exist for whoever has the volume, nor the volume for the rival."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await grant_volumes(world)
            theirs = await world.call("rival", "POST", "/v1/assets", ORDER)
            assert theirs.status == 202
            await made(world, theirs.body["id"])
            assert (await act(world, theirs.body["id"], "attach", world.ids["machine"], role="rival")).status == 404
            assert (await act(world, theirs.body["id"], "attach", world.ids["machine"])).status == 404
            picture = await world.call(
                "tenant", "POST", "/v1/assets", {"kind": "snapshot", "parent": theirs.body["id"]}
            )
            assert picture.status == 404
            # An admin sees both, and still may not join what belongs to different projects.
            both = await act(world, theirs.body["id"], "attach", world.ids["machine"], role="admin")
            assert (both.status, both.code) == (422, "invalid-value")

    asyncio.run(story())


def test_a_machine_that_is_gone_has_nothing_attached(tmp_path: Path) -> None:
    """When its machine is gone, a volume can be attached to another, or destroyed."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await grant_volumes(world)
            asset = (await world.call("tenant", "POST", "/v1/assets", ORDER)).body["id"]
            await made(world, asset)
            await act(world, asset, "attach", world.ids["machine"])

            def gone(tx: Tx) -> None:
                from catalog.assets.using import machine_gone  # noqa: PLC0415

                machine = rows.by_id(tx, Machine, world.ids["machine"])
                rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.RETIRE, 2.0)
                machine_gone(tx, machine, 2.0)

            await world.write(gone)
            assert (await world.call("tenant", "GET", f"/v1/assets/{asset}")).body["machines"] == []
            assert (await act(world, asset, "destroy")).status == 202

    asyncio.run(story())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"size_gib": None}, "size_gib", id="no size"),
        pytest.param({"offer": None}, "offer", id="no offer"),
        pytest.param({"offer": "nowhere"}, "offer", id="an offer that there is not"),
        pytest.param({"name": "A Name"}, "name", id="a name that no cloud takes"),
        pytest.param({"location": "moon"}, "location", id="a place that there is not"),
        pytest.param({"kind": "snapshot"}, "parent", id="a snapshot of nothing"),
    ],
)
def test_an_order_that_makes_no_sense_names_its_field(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    """What is wrong is said before anything is asked of a cloud, and nothing is left."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await grant_volumes(world)
            refused = await world.call("tenant", "POST", "/v1/assets", {**ORDER, **changes})
            assert (refused.status, refused.body.get("field") or refused.text) == (422, field)
            assert await messages(world, CreateAsset) == []

    asyncio.run(story())


def test_what_its_cloud_does_not_make_is_refused_when_it_is_ordered(tmp_path: Path) -> None:
    """A platform may grant volumes where we can make none: the order says so at once, and asks nothing of anybody."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await grant_volumes(world)

            def elsewhere(tx: Tx) -> None:
                rows.update(tx, rows.by_id(tx, Platform, world.ids["platform"]), {"provider": "vultr"}, 2.0)

            await world.write(elsewhere)
            refused = await world.call("tenant", "POST", "/v1/assets", ORDER)
            assert (refused.status, refused.code, refused.body["field"]) == (422, "invalid-value", "offer")
            assert refused.body["detail"].startswith("no volumes are made at platforms of the kind 'vultr'")
            assert await messages(world, CreateAsset) == []

    asyncio.run(story())


def test_quotas_of_assets_are_set_shown_and_kept(tmp_path: Path) -> None:
    """A project has so many volumes and so many GiB of them, and not one more; what is used is told."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            await grant_volumes(world)
            limits = {"volumes": 2, "volume_gib": 20, "snapshots": 0}
            changed = await world.call("admin", "PATCH", f"/v1/quotas/{world.ids['tenant']}", limits)
            assert {name: changed.body[name] for name in limits} == limits
            # One of 8 GiB is there from the start.
            large = await world.call("tenant", "POST", "/v1/assets", {**ORDER, "size_gib": 13})
            assert (large.status, large.code) == (409, "quota-exceeded")
            assert (await world.call("tenant", "POST", "/v1/assets", {**ORDER, "size_gib": 12})).status == 202
            third = await world.call("tenant", "POST", "/v1/assets", {**ORDER, "size_gib": 1})
            assert (third.status, third.code) == (409, "quota-exceeded")
            picture = await world.call(
                "tenant", "POST", "/v1/assets", {"kind": "snapshot", "parent": world.ids["asset"]}
            )
            assert picture.status == 409
            used = (await world.call("tenant", "GET", f"/v1/quotas/{world.ids['tenant']}")).body["used"]
            assert (used["volumes"], used["volume_gib"], used["snapshots"]) == (2, 20, 0)

    asyncio.run(story())
