"""How many are kept ready by the hour."""

from datetime import UTC, datetime

import pytest

from catalog.errors import InvalidValue
from catalog.pool.hours import idle_target, refuse_odd

OFFICE = {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "stop": "18:00", "idle_target": 5}
MORNING = {"days": ["mon"], "start": "07:00", "stop": "09:00", "idle_target": 8}
NIGHT = {"days": ["sun"], "start": "22:00", "stop": "06:00", "idle_target": 0}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(datetime(2026, 1, 5, 7, 59, tzinfo=UTC), 8, id="Monday 08:59 in Berlin: the most counts"),
        pytest.param(datetime(2026, 1, 5, 8, 0, tzinfo=UTC), 5, id="Monday 09:00: the morning is over"),
        pytest.param(datetime(2026, 1, 5, 17, 0, tzinfo=UTC), 2, id="Monday 18:00: as usual"),
        pytest.param(datetime(2026, 7, 6, 6, 0, tzinfo=UTC), 8, id="Monday 08:00 in summer"),
        pytest.param(datetime(2026, 1, 5, 4, 59, tzinfo=UTC), 0, id="Sunday's night ends on Monday"),
        pytest.param(datetime(2026, 1, 3, 12, 0, tzinfo=UTC), 2, id="Saturday"),
    ],
)
def test_the_window_that_is_open_counts(at: datetime, expected: int) -> None:
    """By the clock of the zone, summer time included; outside of every window the usual target counts."""
    assert idle_target(2, "Europe/Berlin", (OFFICE, MORNING, NIGHT), at.timestamp()) == expected


@pytest.mark.parametrize(
    ("zone", "hours", "field"),
    [
        pytest.param("Mars/Base", [OFFICE], "zone", id="zone"),
        pytest.param("UTC", [{**OFFICE, "stop": "25:00"}], "hours", id="time"),
        pytest.param("UTC", [{**OFFICE, "idle_target": 6}], "hours", id="above the limit"),
        pytest.param("UTC", [OFFICE] * 22, "hours", id="too many"),
    ],
)
def test_odd_hours_are_refused(zone: str, hours: list[dict[str, object]], field: str) -> None:
    """The error names the field, and five of a limit of five are right."""
    refuse_odd("UTC", [OFFICE], 5)
    with pytest.raises(InvalidValue) as refused:
        refuse_odd(zone, hours, 5)
    assert refused.value.field == field
