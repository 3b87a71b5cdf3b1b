"""What the provisioner remembers of each machine and asset, and the decisions that need no cloud.

One job each, worked on by one holder at a time. What is *asked* (present or absent, which attempt) is
written by whoever receives a message; how far the work *got* only by the holder of the lease, guarded by its fence.

Why looking it up by its tags is not enough for exactly one: a creation whose answer was lost may still
happen after the look. So after every creation of unknown outcome nothing is created for ``unknown_wait_s``, and
until ``unsure_until_s`` the cloud is looked through again and what is surplus is destroyed.

Pure, but for the Records protocol.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, TypeVar

from catalog.clouds import MachineStatus
from catalog.errors import CloudRefused
from catalog.messages.contracts import (
    TAG_ASSET,
    TAG_MACHINE,
    CreateAsset,
    CreateMachine,
    DestroyAsset,
    DestroyMachine,
    EndEpoch,
    Message,
)
from catalog.model.ids import AssetId, MachineId, MessageId, OrderId, PlatformId

Creation = CreateMachine | CreateAsset
Destruction = DestroyMachine | DestroyAsset
Subject = MachineId | AssetId  # no id is of both kinds

TAG_OWNER = "crossway-owner"
MACHINE = "machine"


class Phase(StrEnum):
    """How far the work on a machine or asset got."""

    SEEKING = "seeking"  # look for it; create it if it is not there
    BOOTING = "booting"  # it exists; wait until it runs
    READY = "ready"  # reported as created
    CLEARING = "clearing"  # destroy whatever exists of it
    FAILED = "failed"  # reported as failed; a further attempt may be asked
    GONE = "gone"  # reported as destroyed, for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionPolicy:
    """Deadlines and pauses, in seconds. ``lease_s`` must outlast a cloud call: see ``__post_init__``."""

    lease_s: float = 90.0
    call_timeout_s: float = 40.0  # a little more than the driver's own deadline, which ends calls more gently
    poll_s: float = 2.0  # between looks at a machine that boots or vanishes
    look_again_s: float = 3.0  # between looks for a machine whose creation has an unknown outcome
    unknown_wait_s: float = 30.0  # how long such a creation may still happen before another is tried
    gone_grace_s: float = 60.0  # clouds list a new machine later than they create it
    sweep_every_s: float = 60.0
    sweep_for_s: float = 900.0
    told_after: int = 3  # so many calls in a row without an answer, and whoever waits for a destruction is told why
    clear_patience_s: float = 120.0  # a failure is reported after that even if its cloud does not let us clear up
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    workers: int = 8
    workers_per_platform: int = 4  # a cloud that hangs must not take every worker
    idle_poll_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a lease that could end while a cloud call is under way."""
        if self.lease_s <= self.call_timeout_s:
            raise ValueError("lease_s must be longer than call_timeout_s, or two holders could create at once")

    def pause_s(self, troubles: int) -> float:
        """Return the pause after ``troubles`` (from 1) calls in a row that got no answer."""
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(troubles - 1, 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt is over: an error's code, words fit for a tenant, and whether another may succeed."""

    code: str
    reason: str
    retryable: bool


GRANT_ENDED = Failure(code=CloudRefused.code, reason="the platform's grant ended meanwhile", retryable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The journal's entry for one machine, or one asset: its subject. Times in epoch seconds; None = does not apply."""

    subject: Subject
    platform: PlatformId
    order: OrderId | None = None
    name: str = ""
    size: str = ""
    image: str = ""
    location: str | None = None
    key_pair: str | None = None
    network: str | None = None
    kind: str = MACHINE  # or an AssetKind: what the subject is
    capability: str = MACHINE  # whose grant ``epoch`` is of
    size_gib: int | None = None
    parent: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    # asked for, written on receipt
    wanted: bool = True
    asked_attempt: int = 1
    deadline_at_s: float = 0.0  # of the attempt asked for
    # got to, written by the holder
    phase: Phase = Phase.SEEKING
    attempt: int = 1
    cloud_id: str | None = None
    made_at_s: float | None = None
    create_begun_at_s: float | None = None  # a creation was begun and its outcome is not known
    unsure_until_s: float | None = None  # until then something of it may still turn up
    failure: Failure | None = None
    failed_at_s: float | None = None
    troubles: int = 0
    told: str | None = None  # the last reason that was reported for its not being destroyed
    due_at_s: float | None = None  # None: nothing to do
    # the grant under which the attempt was asked for, and below which epoch nothing is created any more
    epoch: int = 0
    refused_below: int = 0
    # the lease
    fence: int = 0
    lease_until_s: float = 0.0

    @property
    def identity(self) -> dict[str, str]:
        """The tags by which everything of it is found, whichever attempt or order it was made for."""
        return {name: self.tags[name] for name in (TAG_OWNER, TAG_MACHINE if self.kind == MACHINE else TAG_ASSET)}


def subject_of(message: Creation | Destruction) -> Subject:
    """Return the id under which the journal keeps what ``message`` is about."""
    if isinstance(message, CreateMachine | DestroyMachine):
        return message.machine
    return message.asset


class Records(Protocol):
    """Where jobs and outgoing messages are kept. Every call is one durable transaction.

    ``now_s`` is the caller's time. Records that several processes share go by a clock of their own, which their
    callers must go by too: of a caller's times they use differences alone.
    """

    async def receive_create(self, message: Creation, tags: Mapping[str, str], now_s: float) -> bool:
        """Note what is asked; False when the message was received before."""
        ...

    async def receive_destroy(self, message: Destruction, tags: Mapping[str, str], now_s: float) -> bool:
        """Note what is asked; False when the message was received before."""
        ...

    async def receive_end(self, message: EndEpoch, now_s: float) -> bool:
        """Note that work of earlier epochs is refused from now on; False when the message was received before."""
        ...

    async def take(self, now_s: float, lease_s: float, busy: Collection[PlatformId]) -> Job | None:
        """Lease the job that is most overdue, with a new fence, at no platform in ``busy``; None when none is due."""
        ...

    async def write(self, job: Job, results: Sequence[Message], now_s: float, *, release: bool) -> Job:
        """Write how far ``job`` got and put ``results`` into the outbox; return it as it stands now.

        Raises LeaseLost, and nothing is written, when another holder has taken it meanwhile.
        """
        ...

    async def unsent(self, limit: int) -> Sequence[tuple[MessageId, str]]:
        """Return ids and bodies of up to ``limit`` results that the queue has not confirmed, oldest first.

        Of records that are shared, those of this process and those that nobody has sent for a while.
        """
        ...

    async def mark_sent(self, messages: Sequence[MessageId], now_s: float) -> None:
        """Note that the queue confirmed the results. May be repeated."""
        ...

    async def tidy(self, before_s: float) -> int:
        """Forget messages received or sent before ``before_s`` and jobs that were over before it; return how many."""
        ...

    async def held_by_others(self, job: Job) -> Collection[str]:
        """Return the cloud's ids that other jobs of the same kind have at the job's platform."""
        ...

    async def job(self, subject: Subject) -> Job | None:
        """Return the job of ``subject`` as it stands."""
        ...


def is_refused(job: Job) -> bool:
    """Return whether the grant under which the attempt was asked for has ended before its subject was delivered."""
    return job.wanted and job.phase in {Phase.SEEKING, Phase.BOOTING} and job.epoch < job.refused_below


def taken_up(job: Job) -> Job:
    """Return ``job`` with what happened since its holder last wrote.

    An end that was asked for, the end of the grant, or an attempt after the reported one.
    """
    if is_refused(job):
        return replace(job, phase=Phase.CLEARING, failure=GRANT_ENDED)
    if not job.wanted and job.phase is not Phase.GONE:
        return replace(job, phase=Phase.CLEARING, failure=None)
    if job.wanted and job.phase is Phase.FAILED and job.asked_attempt > job.attempt:
        return replace(job, phase=Phase.SEEKING, attempt=job.asked_attempt, failure=None, failed_at_s=None, troubles=0)
    if job.wanted and job.phase is Phase.READY and job.asked_attempt > job.attempt:
        # Whoever asks again never had the report: look whether it runs, and say so once more.
        return replace(job, phase=Phase.BOOTING, attempt=job.asked_attempt, troubles=0)
    return job


def due_at_s(job: Job, now_s: float) -> float | None:
    """Return when ``job`` wants work next: at once when something was asked while its holder was busy."""
    pending = (
        is_refused(job)
        or (not job.wanted and job.phase not in (Phase.GONE, Phase.CLEARING))
        or (job.wanted and job.phase in (Phase.FAILED, Phase.READY) and job.asked_attempt > job.attempt)
    )
    return now_s if pending else job.due_at_s


class Seen(Protocol):
    """What must be known of a thing that a cloud reports, to choose it."""

    @property
    def cloud_id(self) -> str:
        """The cloud's id."""
        ...

    @property
    def status(self) -> MachineStatus:
        """Where it stands."""
        ...


S = TypeVar("S", bound=Seen)


def chosen(found: Sequence[S], job: Job) -> S | None:
    """Return which to keep: the one already known, else a running one, else a sound one, ties to the smaller id.

    Every holder must choose the same from the same list, or two would destroy each other's choice.
    """
    order = {MachineStatus.RUNNING: 0, MachineStatus.FAILED: 2}
    return min(
        found,
        key=lambda each: (each.cloud_id != job.cloud_id, order.get(each.status, 1), each.cloud_id),
        default=None,
    )


def may_still_appear(job: Job, now_s: float, policy: ProvisionPolicy) -> bool:
    """Return whether a creation of unknown outcome is so recent that its subject may turn up yet."""
    return job.create_begun_at_s is not None and now_s < job.create_begun_at_s + policy.unknown_wait_s
