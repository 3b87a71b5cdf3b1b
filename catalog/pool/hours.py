"""How many machines a pool keeps ready by the hour. Pure: no I/O, no clock."""

from collections.abc import Mapping, Sequence

from catalog.errors import InvalidValue
from catalog.schedules.windows import WINDOWS_LIMIT, is_within, plan


def idle_target(usual: int, zone: str, hours: Sequence[Mapping[str, object]], now_s: float) -> int:
    """Return the target of the window that is open now, of several the greatest; without one the ``usual``."""
    open_now = [_target(each) for each in hours if is_within(plan(zone, [each]), now_s)]
    return max(open_now, default=usual)


def refuse_odd(zone: str, hours: Sequence[Mapping[str, object]], limit: int) -> None:
    """Raise InvalidValue, naming the field, unless these are windows of ``zone`` with targets up to ``limit``."""
    plan(zone, [])
    if len(hours) > WINDOWS_LIMIT:
        raise InvalidValue("these are too many windows", field="hours", fix=f"at most {WINDOWS_LIMIT}")
    for each in hours:
        try:
            plan(zone, [each])
        except InvalidValue as error:
            raise InvalidValue(str(error), field="hours", fix=error.fix) from error
        if not 0 <= _target(each) <= limit:
            raise InvalidValue(
                f"the target of a window ({_target(each)}) must lie between 0 and the pool's limit ({limit})",
                field="hours",
                fix=f"a greater idle_limit or machine_limit, or {limit} at most",
            )


def _target(window: Mapping[str, object]) -> int:
    return int(str(window["idle_target"]))
