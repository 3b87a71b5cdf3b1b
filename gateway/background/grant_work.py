"""What looks after grants and rights: asking, renewing, proving, publishing, and what else an account could do."""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog import consent, winding_down
from catalog.ports import Clock
from catalog.store.database import Database
from gateway.background.discover import Discover
from gateway.background.rounds import Rounds
from gateway.background.runner import BackgroundTask, Work
from gateway.background.settle_grants import SettleGrants
from gateway.background.unreached import CloseUnreached

# A grant that is over is felt within a second, as one that is revoked: half of it is for the disk and the network.
_END_S = 0.5
# Rights are due by their own age; this is how soon a platform that has just connected is looked at.
_LOOK_S = 10.0
# For one platform: every list that it grants at its own deadline; nobody else waits for it.
_SETTLE_S = 900.0
_REACH_S = 5.0  # how exactly it is told for how long a platform has been out of reach


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantWorkPolicy:
    """How often owners who have yet to decide are asked, and what accounts can do is proved again."""

    ask_again_period_s: float = 10.0
    discovery_period_s: float = 3600.0


def grant_work(grants: SettleGrants, policy: GrantWorkPolicy) -> Sequence[Work]:
    """Return the work; ``grants`` is the one to wake."""
    discover = Discover(
        database=grants.database,
        clock=grants.clock,
        live=grants.live,
        publisher=grants.publisher,
        period_s=policy.discovery_period_s,
    )

    async def expire() -> None:
        # Apart from ``grants``: what is over ends whether or not anybody can be reached.
        await end_what_is_over(grants.database, grants.clock)

    unreached = CloseUnreached(database=grants.database, clock=grants.clock, publisher=grants.publisher)
    look_s = min(_LOOK_S, policy.discovery_period_s)
    return (
        BackgroundTask(name="expire-grants", run_once=expire, period_s=_END_S, timeout_s=10.0),
        BackgroundTask(name="unreached", run_once=unreached.run_once, period_s=_REACH_S, timeout_s=10.0),
        Rounds("grants", grants.due, period_s=policy.ask_again_period_s, visit_timeout_s=_SETTLE_S),
        Rounds("discover", discover.due, period_s=look_s, visit_timeout_s=120.0),
    )


async def end_what_is_over(database: Database, clock: Clock) -> None:
    """End the grants, machines and wind-downs whose time is over. The writer is asked only when there is any."""
    now_s = clock.now_s()
    if await database.read(lambda tx: consent.is_any_over(tx, now_s) or winding_down.is_any_due(tx, now_s)):
        await database.write(lambda tx: (consent.expire_due(tx, now_s), winding_down.end_due(tx, now_s)))
