"""Carry one job one step further: look, create once, wait until it runs, destroy what must not be.

Every step reads the cloud first and may be repeated; what cannot be repeated (a creation) is announced in the
journal before it is asked for. A holder does as many cloud calls as its lease allows and renews it before each.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from catalog.clouds import CloudDriver, Clouds, MachineStatus
from catalog.errors import (
    CatalogError,
    CloudError,
    CloudMisbehaved,
    CloudRefused,
    CloudTimedOut,
    CloudUnavailable,
    LeaseLost,
)
from catalog.messages.contracts import Message
from catalog.model.ids import MessageId, new_id
from catalog.ports import Checkpoint, Clock
from drivers.provisioner.journal import (
    GRANT_ENDED,
    Failure,
    Job,
    Phase,
    ProvisionPolicy,
    Records,
    chosen,
    is_refused,
    may_still_appear,
    taken_up,
)
from drivers.provisioner.making import Made, making_of

log = logging.getLogger(__name__)

T = TypeVar("T")


class Work:
    """One holder's work on one job. ``advance`` is called once."""

    def __init__(
        self,
        job: Job,
        *,
        records: Records,
        clouds: Clouds,
        clock: Clock,
        checkpoint: Checkpoint,
        policy: ProvisionPolicy,
    ) -> None:
        """Take the leased job and what is needed to work on it."""
        self._job = taken_up(job)
        if self._job.failure is not None and self._job.failed_at_s is None:
            self._job = replace(self._job, failed_at_s=clock.now_s())
        self._making = making_of(job)
        self._records = records
        self._clouds = clouds
        self._clock = clock
        self._checkpoint = checkpoint
        self._policy = policy

    async def advance(self) -> None:
        """Do what the job's phase calls for, and give the lease back with the time of the next look.

        Losing the lease ends the work quietly: the new holder looks it up before it does anything.
        """
        try:
            await self._advance()
        except LeaseLost:
            log.warning("lease lost", extra={"subject": self._job.subject})

    async def _advance(self) -> None:
        steps: dict[Phase, Callable[[], Awaitable[None]]] = {
            Phase.SEEKING: self._seek,
            Phase.BOOTING: self._boot,
            Phase.CLEARING: self._clear,
            Phase.READY: self._sweep,
            Phase.FAILED: self._sweep,
            Phase.GONE: self._sweep,
        }
        try:
            await steps[self._job.phase]()
        except LeaseLost:
            raise
        except CatalogError as error:
            await self._trouble(error)

    async def _seek(self) -> None:
        job, now_s = self._job, self._clock.now_s()
        driver = await self._driver()
        found = await self._find(driver)
        if found:
            await self._adopt(driver, found)
        elif may_still_appear(job, now_s, self._policy):
            await self._release(due_at_s=now_s + self._policy.look_again_s)
        elif now_s >= job.deadline_at_s:
            await self._give_up(self._too_late())
        else:
            await self._create(driver)

    async def _adopt(self, driver: CloudDriver, found: Sequence[Made]) -> None:
        keep = chosen(found, self._job)
        assert keep is not None
        await self._destroy(driver, [each for each in found if each is not keep])
        await self._made(keep)

    async def _create(self, driver: CloudDriver) -> None:
        job, now_s = self._job, self._clock.now_s()
        begun = replace(job, create_begun_at_s=now_s, unsure_until_s=now_s + self._policy.sweep_for_s)
        # Committed before the call: whoever comes after a crash knows that something may exist.
        await self._write(begun, self._progress("provision.create.begin"))
        if is_refused(self._job):
            # Its grant ended before anything was sent: what was announced did not happen.
            self._job = replace(self._job, create_begun_at_s=job.create_begun_at_s, unsure_until_s=job.unsure_until_s)
            await self._give_up(GRANT_ENDED)
            return
        self._checkpoint.reached("provision.create.begin")
        try:
            made = await self._call(lambda: self._making.create(driver, job))
        except CatalogError as error:
            if _is_clear_no(error):
                # A clear no: this creation left nothing, only an earlier one might have.
                self._job = replace(
                    self._job, create_begun_at_s=job.create_begun_at_s, unsure_until_s=job.unsure_until_s
                )
            raise
        self._checkpoint.reached("provision.create.end")
        self._job = replace(self._job, unsure_until_s=job.unsure_until_s)
        await self._made(made)

    async def _made(self, made: Made) -> None:
        now_s = self._clock.now_s()
        self._job = replace(
            self._job,
            phase=Phase.BOOTING,
            cloud_id=made.cloud_id,
            made_at_s=now_s,
            create_begun_at_s=None,
            troubles=0,
        )
        await self._release(due_at_s=now_s, results=self._progress("provision.created"))
        self._checkpoint.reached("provision.created")

    async def _boot(self) -> None:
        job, now_s = self._job, self._clock.now_s()
        driver = await self._driver()
        seen = await self._call(lambda: self._making.read(driver, str(job.cloud_id)))
        status = MachineStatus.GONE if seen is None else seen.status
        if seen is not None and status is MachineStatus.RUNNING:
            await self._ready(driver, seen)
        elif status is MachineStatus.FAILED:
            told = seen.reason if seen is not None else ""
            reason = f"the cloud could not start the {self._making.noun}{f': {told}' if told else ''}"
            log.warning("creation failed", extra={"subject": job.subject, "reason": told})
            await self._give_up(Failure(code=CloudError.code, reason=reason, retryable=True))
        elif status is MachineStatus.GONE and now_s >= (job.made_at_s or 0.0) + self._policy.gone_grace_s:
            reason = f"the {self._making.noun} vanished from its cloud"
            await self._give_up(Failure(code=CloudError.code, reason=reason, retryable=True))
        elif now_s >= job.deadline_at_s:
            await self._give_up(self._too_late())
        else:
            self._job = replace(job, troubles=0)
            await self._release(due_at_s=now_s + self._policy.poll_s)

    async def _ready(self, driver: CloudDriver, made: Made) -> None:
        if self._job.unsure_until_s is not None:
            await self._destroy(driver, [e for e in await self._find(driver) if e.cloud_id != made.cloud_id])
        self._checkpoint.reached("provision.running")
        now_s = self._clock.now_s()
        result = self._making.created(self._job, made, MessageId(new_id("message", now_s)), now_s)
        self._job = replace(self._job, phase=Phase.READY, troubles=0)
        await self._report([*self._progress("provision.running"), result])

    async def _clear(self) -> None:
        job, now_s = self._job, self._clock.now_s()
        if self._nothing_was_begun():
            await self._cleared()
            return
        driver = await self._driver()
        found = list(await self._find(driver))
        if job.cloud_id is not None and all(each.cloud_id != job.cloud_id for each in found):
            # Its tags may never have been written: the journal's own knowledge counts as well.
            known = await self._call(lambda: self._making.read(driver, str(job.cloud_id)))
            found += [known] if known is not None and known.status is not MachineStatus.GONE else []
        await self._destroy(driver, found)
        if found or may_still_appear(job, now_s, self._policy):
            self._job = replace(self._job, troubles=0)
            await self._release(due_at_s=now_s + self._policy.poll_s)
        else:
            self._job = replace(self._job, create_begun_at_s=None)
            await self._cleared()

    def _nothing_was_begun(self) -> bool:
        job = self._job
        return job.wanted and job.cloud_id is None and job.create_begun_at_s is None and job.unsure_until_s is None

    async def _cleared(self) -> None:
        now_s = self._clock.now_s()
        message_id = MessageId(new_id("message", now_s))
        job, failure = self._job, self._job.failure
        if failure is None:
            self._job = replace(job, phase=Phase.GONE, cloud_id=None, troubles=0)
            await self._report([self._making.destroyed(job, message_id, now_s)])
            return
        self._job = replace(job, phase=Phase.FAILED, cloud_id=None, troubles=0)
        await self._report([self._making.failed(job, failure, message_id, now_s)])

    async def _sweep(self) -> None:
        job, now_s = self._job, self._clock.now_s()
        if job.unsure_until_s is None:
            await self._release(due_at_s=None)
            return
        driver = await self._driver()
        surplus = [each for each in await self._find(driver) if each.cloud_id != job.cloud_id]
        if surplus:
            log.warning("surplus found", extra={"subject": job.subject, "count": len(surplus)})
        await self._destroy(driver, surplus)
        if now_s >= job.unsure_until_s and not surplus:
            self._job = replace(job, unsure_until_s=None, troubles=0)
            await self._release(due_at_s=None)
        else:
            await self._release(due_at_s=now_s + self._policy.sweep_every_s)

    async def _trouble(self, error: CatalogError) -> None:
        """A call got no usable answer. Try again later, or end the attempt when that is hopeless."""
        job, now_s = self._job, self._clock.now_s()
        log.warning("cloud call failed", extra={"subject": job.subject, "phase": job.phase.value, "code": error.code})
        self._job = replace(job, troubles=job.troubles + 1)
        creating = job.phase in (Phase.SEEKING, Phase.BOOTING)
        if creating and _is_clear_no(error):
            # Whether to ask again, and when, is the order's to decide.
            await self._give_up(Failure(code=error.code, reason=str(error), retryable=error.retryable))
        elif creating and now_s >= job.deadline_at_s:
            await self._give_up(Failure(code=error.code, reason=str(error), retryable=True))
        elif job.phase is Phase.CLEARING and job.failure is not None and self._patience_is_over(now_s):
            # The order must end. What may be left stays in the journal: the next attempt adopts it, the subject's
            # destruction removes it.
            await self._cleared()
        else:
            pause_s = self._policy.pause_s(self._job.troubles)
            asked_s = error.retry_after_s if isinstance(error, CloudUnavailable) else None
            # Never sooner than the cloud asks, nor so much later than ours that its word could end an order.
            due_at_s = now_s + max(pause_s, min(asked_s or 0, self._policy.longest_pause_s))
            await self._release(due_at_s=due_at_s, results=self._obstacle(error, now_s))

    def _obstacle(self, error: CatalogError, now_s: float) -> list[Message]:
        """Return the report of what keeps a destruction that was asked for, once for each reason.

        A clear no is told at once. Calls without an answer mostly pass: they are told after a few in a row, and never
        in place of a clear no, which says more.
        """
        job, clear_no = self._job, _is_clear_no(error)
        if job.phase is not Phase.CLEARING or job.wanted:
            return []
        reason = f"{error} ({error.fix})" if error.fix else str(error)
        is_new = reason != job.told if clear_no else job.told is None and job.troubles >= self._policy.told_after
        if not is_new:
            return []
        self._job = replace(job, told=reason)
        message_id = MessageId(new_id("message", now_s))
        return [self._making.not_destroyed(job, code=error.code, reason=reason, message=message_id, now_s=now_s)]

    def _patience_is_over(self, now_s: float) -> bool:
        return now_s >= (self._job.failed_at_s or 0.0) + self._policy.clear_patience_s

    async def _give_up(self, failure: Failure) -> None:
        """End the attempt: clear up first, then report (in a further step, so that a crash between loses nothing)."""
        now_s = self._clock.now_s()
        self._job = replace(self._job, phase=Phase.CLEARING, failure=failure, failed_at_s=now_s, troubles=0)
        await self._release(due_at_s=now_s)

    async def _report(self, results: Sequence[Message]) -> None:
        sweep_at_s = None if self._job.unsure_until_s is None else self._clock.now_s() + self._policy.sweep_every_s
        await self._release(due_at_s=sweep_at_s, results=results)
        self._checkpoint.reached("provision.reported")

    async def _find(self, driver: CloudDriver) -> Sequence[Made]:
        self._checkpoint.reached("provision.look-up.begin")
        found = await self._call(lambda: self._making.find(driver, self._job))
        self._checkpoint.reached("provision.look-up.end")
        if not found:
            return found
        # What has no mark of its own (a record) is known by what was asked for, which another may have asked for since.
        others = await self._records.held_by_others(self._job)
        return [each for each in found if each.cloud_id not in others]

    async def _destroy(self, driver: CloudDriver, found: Sequence[Made]) -> None:
        for made in found:
            self._checkpoint.reached("provision.destroy.begin")
            await self._call(partial(self._making.destroy, driver, made.cloud_id))
            self._checkpoint.reached("provision.destroy.end")

    async def _driver(self) -> CloudDriver:
        return await self._call(lambda: self._clouds.driver(self._job.platform))

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call`` returns, under a lease that outlasts it. CloudTimedOut means an unknown outcome."""
        if self._job.lease_until_s < self._clock.now_s() + self._policy.call_timeout_s:
            await self._write(self._job)
        try:
            async with asyncio.timeout(self._policy.call_timeout_s):
                return await call()
        except TimeoutError as error:
            raise CloudTimedOut("the cloud did not answer in time") from error

    def _progress(self, step: str) -> list[Message]:
        now_s = self._clock.now_s()
        return self._making.progress(self._job, step, MessageId(new_id("message", now_s)), now_s)

    def _too_late(self) -> Failure:
        reason = f"the {self._making.noun} was not running within its deadline"
        return Failure(code=CloudTimedOut.code, reason=reason, retryable=True)

    async def _write(self, job: Job, results: Sequence[Message] = ()) -> None:
        """Write and keep the lease, renewed. Raises LeaseLost: another may be at work, so nothing may be called."""
        now_s = self._clock.now_s()
        renewed = replace(job, lease_until_s=now_s + self._policy.lease_s)
        self._job = await self._records.write(renewed, results, now_s, release=False)

    async def _release(self, *, due_at_s: float | None, results: Sequence[Message] = ()) -> None:
        job = replace(self._job, due_at_s=due_at_s)
        self._job = await self._records.write(job, results, self._clock.now_s(), release=True)


def _is_clear_no(error: CatalogError) -> bool:
    """Return whether ``error`` says that nothing was done: the cloud, or one of ours on the way there, refused."""
    return isinstance(error, CloudRefused) or not (error.retryable or isinstance(error, CloudMisbehaved))
