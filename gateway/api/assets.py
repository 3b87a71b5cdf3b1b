"""Assets: what projects hold beside machines, ordered, attached and destroyed by their members; an admin sees all."""

from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from catalog import tenancy
from catalog.assets import place, using
from catalog.assets.wanted import GIB_LIMIT, TTL_LIMIT_S
from catalog.cloud_assets import AssetKind
from catalog.errors import (
    CloudRefused,
    CloudTimedOut,
    CloudUnavailable,
    Denied,
    InvalidValue,
    QuotaExceeded,
    WrongState,
)
from catalog.model.asset import Asset, AssetState
from catalog.model.ids import PlatformId
from catalog.model.machine import Machine
from catalog.model.platform import Platform
from catalog.store import rows, scoped
from catalog.store.database import Tx
from gateway.api.bodies import Body, Name, Nothing, ProjectReference, Reference, Resource, Time, Word, stamp
from gateway.api.endpoints import Call, Listing, Routes, one_of
from gateway.api.services import Wakes

routes = Routes("assets")

Domain = Annotated[str, Field(min_length=1, max_length=254)]
RecordValue = Annotated[str, Field(min_length=1, max_length=255)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class AssetIn(Body):
    """One asset, please: a volume, a snapshot, a container of objects, a DNS zone, a record in one, or a balancer."""

    kind: Literal["volume", "snapshot", "container", "zone", "record", "balancer"]
    offer: Reference | None = Field(
        default=None,
        description="An offer's id, or the name of a platform; left out for what is made of, or in, a parent.",
    )
    name: Name | None = Field(default=None, description="What it shall be called; else as its kind.")
    size_gib: int | None = Field(default=None, ge=1, le=GIB_LIMIT, description="Of a volume; at least its snapshot's.")
    location: Word | None = Field(
        default=None, description="Id or name of one of the platform's locations; else the cloud chooses."
    )
    parent: Reference | None = Field(
        default=None,
        description="The id of a snapshot's volume, of the snapshot that a volume is from, or of a record's zone.",
    )
    domain: Domain | None = Field(default=None, description="Of a zone.")
    host: Domain | None = Field(default=None, description="Of a record: a name in its zone.")
    record_type: Literal["A", "AAAA", "CNAME", "TXT"] | None = None
    value: RecordValue | None = Field(default=None, description="Of a record: an address, a name or a text.")
    ttl_s: int | None = Field(default=None, ge=1, le=TTL_LIMIT_S, description="Of a record: how long it may be kept.")
    port: Port | None = Field(default=None, description="Of a balancer: where it listens.")
    machine_port: Port | None = Field(default=None, description="Of a balancer: where its machines do; else the same.")
    project: ProjectReference | None = Field(default=None, description="Needed by who works in several.")


class AssetActionIn(Body):
    """What shall happen to the asset."""

    action: Literal["attach", "detach", "destroy"]
    machine: Reference | None = Field(default=None, description="To which machine, or from which; its id.")


class AssetOut(Resource):
    """One asset; its order ends with it ready, or failed (with code and reason).

    ``notice`` says that the grant behind it has ended, and ``ends_at`` when it is destroyed because of that.
    """

    kind: str
    name: str
    project: str
    platform: str
    offer: str
    state: str
    size_gib: int | None
    location: str | None
    parent: str | None
    cloud_name: str = Field(description="What its cloud calls it.")
    cloud_id: str | None
    machines: list[str] = Field(description="Ids of the machines that it is attached to, or is about to be.")
    options: dict[str, str] = Field(description="What else was wanted of it, such as a balancer's port.")
    facts: dict[str, str] = Field(description="What its cloud said of it when it was ready, in the cloud's words.")
    attempt: int
    code: str
    reason: str
    next_attempt_at: Time | None
    notice: str
    ends_at: Time | None
    _machine_is_new: bool = PrivateAttr(default=False)

    def with_machine(self, *, is_new: bool) -> "AssetOut":
        """Return it, knowing whether this very call noted the machine."""
        self._machine_is_new = is_new
        return self

    @property
    def machine_is_new(self) -> bool:
        """Return whether this very call noted the machine."""
        return self._machine_is_new


@routes.endpoint(
    "POST",
    "/v1/assets",
    permission="order:write",
    body=AssetIn,
    answer=AssetOut,
    status=202,
    location="/v1/assets/{id}",
    wakes=(Wakes.DISPATCH,),
    errors=(InvalidValue, QuotaExceeded, WrongState, Denied),
    summary="Order something beside machines, such as a volume",
)
def place_asset(tx: Tx, call: Call[AssetIn]) -> AssetOut:
    """Return the accepted asset; it is created in the background."""
    wanted = call.body
    parent = None if wanted.parent is None else scoped.find(tx, call.scope, Asset, wanted.parent)
    asset = place.place(
        tx,
        project_id=tenancy.working_project(
            tx, call.principal, call.permission, wanted.project or (parent.project_id if parent else None)
        ),
        kind=AssetKind(wanted.kind),
        offer=wanted.offer,
        name=wanted.name,
        size_gib=wanted.size_gib,
        location=wanted.location,
        parent=parent,
        options={
            "domain": wanted.domain,
            "host": wanted.host,
            "type": wanted.record_type,
            "value": wanted.value,
            "ttl": wanted.ttl_s,
            "port": wanted.port,
            "machine_port": wanted.machine_port,
        },
        now_s=call.now_s,
        policy=call.services.retry_policy,
        providers=call.services.providers,
    )
    return _out(tx, asset)


@routes.plain(
    "GET",
    "/v1/assets",
    permission="machine:read",
    answer=AssetOut,
    many=True,
    filters={
        "kind": one_of(AssetKind, "Only assets of this kind."),
        "state": one_of(AssetState, "Only assets in this state."),
    },
    summary="List the assets",
)
def list_assets(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of assets: a project's own, an admin's all."""
    found = scoped.page(tx, call.scope, Asset, limit=call.limit, token=call.page_token, where=call.filters)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/assets/{id}", permission="machine:read", answer=AssetOut, summary="Show or watch an asset")
def get_asset(tx: Tx, call: Call[Nothing]) -> AssetOut:
    """Return the asset."""
    return _out(tx, scoped.find(tx, call.scope, Asset, call.path["id"]))


async def _at_cloud(call: Call[AssetActionIn], asset: AssetOut) -> None:
    """Carry out attach or detach at the cloud, and note what came of it; destroying goes on in the background."""
    if call.body.action == "destroy":
        return
    attaching, database = call.body.action == "attach", call.services.database

    def ids(tx: Tx) -> tuple[PlatformId, AssetKind, str, str, str]:
        row = scoped.find(tx, call.scope, Asset, asset.id)
        machine = _machine(tx, call)
        return row.platform_id, AssetKind(row.kind), str(row.cloud_id), str(machine.cloud_id), machine.id

    platform, kind, cloud_id, machine_cloud_id, machine_id = await database.read(ids)

    def note(tx: Tx) -> None:
        using.detached(tx, asset.id, machine_id, call.services.clock.now_s())

    try:
        cloud = await call.services.assets_of(platform)
        await (cloud.attach if attaching else cloud.detach)(kind, cloud_id, machine_cloud_id)
    except CloudRefused:
        # A clear no: it is not attached, unless it was before. Whatever else goes wrong leaves it to be asked again.
        if attaching and asset.machine_is_new:
            await database.write(note)
        raise
    if not attaching:
        await database.write(note)


@routes.endpoint(
    "POST",
    "/v1/assets/{id}/actions",
    permission="machine:write",
    body=AssetActionIn,
    answer=AssetOut,
    status=202,
    wakes=(Wakes.DISPATCH,),
    then=_at_cloud,
    errors=(WrongState, InvalidValue, Denied, CloudUnavailable, CloudRefused, CloudTimedOut),
    summary="Attach an asset to a machine, detach it, or destroy it",
)
def act_on_asset(tx: Tx, call: Call[AssetActionIn]) -> AssetOut:
    """Return the asset. Attaching and detaching are done by the cloud when this is answered, destroying goes on."""
    asset = scoped.find(tx, call.scope, Asset, call.path["id"])
    match call.body.action:
        case "attach":
            machine = _machine(tx, call)
            is_new = machine.id not in asset.machines
            return _out(tx, using.attach(tx, asset, machine, call.now_s)).with_machine(is_new=is_new)
        case "detach":
            using.may_detach(tx, asset, _machine(tx, call), call.now_s)
        case _:
            asset = using.destroy(tx, asset, call.now_s)
    return _out(tx, asset)


def _machine(tx: Tx, call: Call[AssetActionIn]) -> Machine:
    if call.body.machine is None:
        raise InvalidValue("say to which machine, or from which", field="machine", fix="a machine's id")
    return scoped.find(tx, call.scope, Machine, call.body.machine)


def _out(tx: Tx, row: Asset) -> AssetOut:
    told: dict[str, Any] = {
        name: getattr(row, name)
        for name in (
            "kind",
            "name",
            "size_gib",
            "location",
            "cloud_name",
            "cloud_id",
            "machines",
            "facts",
            "attempt",
            "options",
        )
    }
    return AssetOut(
        **stamp(row),
        **told,
        project=row.project_id,
        platform=rows.by_id(tx, Platform, row.platform_id).name,
        offer=row.offer_id,
        state=row.state.value,
        parent=row.parent_id,
        code=row.code,
        reason=row.reason,
        next_attempt_at=row.next_attempt_at_s,
        notice=row.notice,
        ends_at=row.ends_at_s,
    )
