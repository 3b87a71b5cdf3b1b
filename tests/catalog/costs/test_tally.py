"""What machines cost in a month, worked out by hand: 2026-11 has 720 hours and begins at 1,793,491,200."""

from decimal import Decimal
from typing import Any

import pytest

from catalog.costs.tally import Cost, Month, Use, hourly, hours_in, tally
from catalog.errors import InvalidValue

NOVEMBER = Month.named("2026-11")
BEGIN_S = NOVEMBER.begin_s
HOUR_S = 3600.0
NOW_S = BEGIN_S + 100 * HOUR_S


def price(amount: str, currency: str = "EUR", unit: str = "hour") -> dict[str, Any]:
    """Return a price as an order keeps it."""
    return {"amount": amount, "currency": currency, "unit": unit, "source": "list", "valid_from_s": 0.0}


def use(begin: float | None, end: float | None = None, lease: float | None = None, of: Any = None) -> Use:
    """Return a machine's time in hours of the month."""
    moments = [None if hour is None else BEGIN_S + hour * HOUR_S for hour in (begin, end, lease)]
    return Use(price=of, from_s=moments[0], to_s=moments[1], lease_ends_at_s=moments[2])


def test_months_are_utc_s() -> None:
    """The first second of a month is in it, the last before it is not, and December is followed by January."""
    assert BEGIN_S == 1_793_491_200.0
    assert NOVEMBER.end_s - BEGIN_S == 720 * HOUR_S
    assert Month.at(BEGIN_S) == NOVEMBER
    assert Month.at(BEGIN_S - 1).name == "2026-10"
    december = Month.named("2026-12")
    assert Month.at(december.end_s).name == "2027-01"
    for odd in ("2026-13", "2026-1", "26-11", "2026-00", "0000-01", "2026-11-01", "next"):
        with pytest.raises(InvalidValue):
            Month.named(odd)


@pytest.mark.parametrize(
    ("there", "spent", "forecast"),
    [
        pytest.param(use(90.0), 10, 630, id="runs on to the end of the month"),
        pytest.param(use(-500.0), 100, 720, id="began before the month"),
        pytest.param(use(10.0, end=40.0), 30, 30, id="came and went"),
        pytest.param(use(-50.0, end=-10.0), 0, 0, id="was gone before the month"),
        pytest.param(use(-50.0, end=5.0), 5, 5, id="went in the month"),
        pytest.param(use(90.0, lease=150.0), 10, 60, id="until its lease ends"),
        pytest.param(use(90.0, lease=9999.0), 10, 630, id="a lease beyond the month"),
        pytest.param(use(10.0, lease=95.0), 90, 90, id="a lease that is over, and the machine still there"),
        pytest.param(use(10.0, end=40.0, lease=20.0), 30, 30, id="gone later than its lease"),
        pytest.param(use(None), 0, 620, id="being built: from now on"),
    ],
)
def test_hours_of_a_machine(there: Use, spent: int, forecast: int) -> None:
    """It is the hundredth hour: so many hours are paid for, and so many will be at the end of the month."""
    assert hours_in(there, NOVEMBER, NOW_S) == Cost(spent=Decimal(spent), forecast=Decimal(forecast))


def test_a_past_month_is_over() -> None:
    """Seen from December nothing more is forecast of November than what was spent."""
    seen = hours_in(use(700.0), NOVEMBER, NOVEMBER.end_s + HOUR_S)
    assert seen == Cost(spent=Decimal(20), forecast=Decimal(20))


def test_currencies_are_never_mixed_and_unknown_is_never_nothing() -> None:
    """Ten hours each: 0.1 EUR + 73 EUR a month / 730 = 2 EUR, 1 USD, and twenty hours that nobody can price."""
    uses = [
        use(0.0, end=10.0, of=price("0.1")),
        use(0.0, end=10.0, of=price("73", unit="month")),
        use(0.0, end=10.0, of=price("0.1", "USD")),
        use(0.0, end=10.0, of=price("5", unit="GiB")),
        use(0.0, end=10.0),
    ]
    found = tally(uses, NOVEMBER, NOW_S)
    assert {name: cost.spent for name, cost in found.by_currency.items()} == {"EUR": Decimal(2), "USD": Decimal(1)}
    assert found.unknown.spent == Decimal(20)
    assert found.other_hours("EUR").spent == Decimal(30)
    assert found.other_hours("CHF").spent == Decimal(50)


def test_a_price_is_exact() -> None:
    """A tenth stays a tenth; a price that is not of time is unknown."""
    assert hourly(price("0.1")) == (Decimal("0.1"), "EUR")
    assert hourly(price("8.76", unit="year")) == (Decimal("0.001"), "EUR")
    assert hourly(None)[0] is None
    assert hourly(price("1", unit="GiB-month"))[0] is None
