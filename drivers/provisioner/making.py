"""How each kind of thing is found, made, looked at and destroyed, and what is reported of it; the rest is ``work``.

Machines and assets go through the same steps of the same journal, so that what keeps a creation to exactly one holds
for both.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from catalog.cloud_assets import AssetKind, AssetSpec, CloudAsset
from catalog.clouds import CloudDriver, CloudMachine, MachineAction, MachineSpec
from catalog.messages.contracts import (
    AssetCreated,
    AssetDestroyed,
    AssetFailed,
    AssetNotDestroyed,
    MachineCreated,
    MachineDestroyed,
    MachineFailed,
    MachineNotDestroyed,
    MachineProgress,
    Message,
)
from catalog.model.ids import AssetId, MachineId, MessageId
from drivers.provisioner.journal import MACHINE, Failure, Job, Seen


class Made(Seen, Protocol):
    """What a cloud reports of a thing that it made: a CloudMachine or a CloudAsset."""

    @property
    def reason(self) -> str:
        """Why it failed, if it did."""
        ...


class Making(Protocol):
    """The calls and the words for one kind of thing."""

    noun: str

    async def find(self, driver: CloudDriver, job: Job) -> Sequence[Made]:
        """Return everything that is of this job and is not gone."""
        ...

    async def create(self, driver: CloudDriver, job: Job) -> Made:
        """Ask for it, once."""
        ...

    async def read(self, driver: CloudDriver, cloud_id: str) -> Made | None:
        """Return it, None when the cloud does not know it."""
        ...

    async def destroy(self, driver: CloudDriver, cloud_id: str) -> None:
        """Destroy it; may be repeated."""
        ...

    def created(self, job: Job, made: Made, message: MessageId, now_s: float) -> Message:
        """Return the report that it is there."""
        ...

    def failed(self, job: Job, failure: Failure, message: MessageId, now_s: float) -> Message:
        """Return the report that the attempt is over."""
        ...

    def destroyed(self, job: Job, message: MessageId, now_s: float) -> Message:
        """Return the report that nothing is left."""
        ...

    def not_destroyed(self, job: Job, *, code: str, reason: str, message: MessageId, now_s: float) -> Message:
        """Return the report that the cloud does not destroy it for now."""
        ...

    def progress(self, job: Job, step: str, message: MessageId, now_s: float) -> list[Message]:
        """Return the report that a step was reached, nothing where nobody waits for that."""
        ...


class MachineMaking:
    """Machines."""

    noun = "machine"

    async def find(self, driver: CloudDriver, job: Job) -> Sequence[Made]:
        """Return the machines with these tags."""
        return await driver.find_machines(job.identity)

    async def create(self, driver: CloudDriver, job: Job) -> Made:
        """Ask for the machine."""
        spec = MachineSpec(
            name=job.name,
            size=job.size,
            image=job.image,
            tags=job.tags,
            location=job.location,
            key_pair=job.key_pair,
            network=job.network,
            client_token=f"{job.subject}-{job.attempt}",
            epoch=job.epoch,
        )
        return await driver.create_machine(spec)

    async def read(self, driver: CloudDriver, cloud_id: str) -> Made | None:
        """Return the machine."""
        return await driver.machine(cloud_id)

    async def destroy(self, driver: CloudDriver, cloud_id: str) -> None:
        """Destroy the machine."""
        await driver.act(cloud_id, MachineAction.DESTROY)

    def created(self, job: Job, made: Made, message: MessageId, now_s: float) -> Message:
        """Return MachineCreated."""
        assert isinstance(made, CloudMachine)
        return MachineCreated(
            id=message,
            created_at_s=now_s,
            machine=MachineId(job.subject),
            platform=job.platform,
            attempt=job.attempt,
            cloud_id=made.cloud_id,
            addresses=made.addresses,
        )

    def failed(self, job: Job, failure: Failure, message: MessageId, now_s: float) -> Message:
        """Return MachineFailed."""
        return MachineFailed(
            id=message,
            created_at_s=now_s,
            machine=MachineId(job.subject),
            platform=job.platform,
            attempt=job.attempt,
            code=failure.code,
            reason=failure.reason,
            retryable=failure.retryable,
        )

    def destroyed(self, job: Job, message: MessageId, now_s: float) -> Message:
        """Return MachineDestroyed."""
        return MachineDestroyed(id=message, created_at_s=now_s, machine=MachineId(job.subject), platform=job.platform)

    def not_destroyed(self, job: Job, *, code: str, reason: str, message: MessageId, now_s: float) -> Message:
        """Return MachineNotDestroyed."""
        return MachineNotDestroyed(
            id=message,
            created_at_s=now_s,
            machine=MachineId(job.subject),
            platform=job.platform,
            code=code,
            reason=reason,
        )

    def progress(self, job: Job, step: str, message: MessageId, now_s: float) -> list[Message]:
        """Return MachineProgress for a machine that an order waits for."""
        if job.order is None:
            return []
        told = MachineProgress(
            id=message,
            created_at_s=now_s,
            machine=MachineId(job.subject),
            platform=job.platform,
            attempt=job.attempt,
            step=step,
        )
        return [told]


class AssetMaking:
    """Assets of one kind."""

    def __init__(self, kind: AssetKind) -> None:
        self._kind = kind
        self.noun = kind.value

    async def find(self, driver: CloudDriver, job: Job) -> Sequence[Made]:
        """Return the assets with these tags."""
        return await driver.assets.find(self._kind, job.identity, self._spec(job))

    async def create(self, driver: CloudDriver, job: Job) -> Made:
        """Ask for the asset."""
        return await driver.assets.create(self._spec(job))

    def _spec(self, job: Job) -> AssetSpec:
        return AssetSpec(
            kind=self._kind,
            name=job.name,
            tags=job.tags,
            size_gib=job.size_gib,
            location=job.location,
            parent=job.parent,
            options=job.options,
            client_token=f"{job.subject}-{job.attempt}",
            epoch=job.epoch,
        )

    async def read(self, driver: CloudDriver, cloud_id: str) -> Made | None:
        """Return the asset."""
        return await driver.assets.read(self._kind, cloud_id)

    async def destroy(self, driver: CloudDriver, cloud_id: str) -> None:
        """Destroy the asset, detached from whatever it is attached to."""
        await driver.assets.destroy(self._kind, cloud_id)

    def created(self, job: Job, made: Made, message: MessageId, now_s: float) -> Message:
        """Return AssetCreated."""
        assert isinstance(made, CloudAsset)
        return AssetCreated(
            id=message,
            created_at_s=now_s,
            asset=AssetId(job.subject),
            platform=job.platform,
            attempt=job.attempt,
            cloud_id=made.cloud_id,
            facts=dict(made.facts),
        )

    def failed(self, job: Job, failure: Failure, message: MessageId, now_s: float) -> Message:
        """Return AssetFailed."""
        return AssetFailed(
            id=message,
            created_at_s=now_s,
            asset=AssetId(job.subject),
            platform=job.platform,
            attempt=job.attempt,
            code=failure.code,
            reason=failure.reason,
            retryable=failure.retryable,
        )

    def destroyed(self, job: Job, message: MessageId, now_s: float) -> Message:
        """Return AssetDestroyed."""
        return AssetDestroyed(id=message, created_at_s=now_s, asset=AssetId(job.subject), platform=job.platform)

    def not_destroyed(self, job: Job, *, code: str, reason: str, message: MessageId, now_s: float) -> Message:
        """Return AssetNotDestroyed."""
        asset = AssetId(job.subject)
        return AssetNotDestroyed(
            id=message, created_at_s=now_s, asset=asset, platform=job.platform, code=code, reason=reason
        )

    def progress(self, job: Job, step: str, message: MessageId, now_s: float) -> list[Message]:
        """Return nothing: nobody follows an asset step by step."""
        del job, step, message, now_s
        return []


_MAKINGS: Final[Mapping[str, Making]] = {
    MACHINE: MachineMaking(),
    **{kind.value: AssetMaking(kind) for kind in AssetKind},
}


def making_of(job: Job) -> Making:
    """Return the making of the job's kind."""
    return _MAKINGS[job.kind]
