"""What a project, or all projects of an organisation together, may cost in a month."""

from sqlmodel import Field

from catalog.model.rows import Row, json_column


class Budget(Row, table=True):
    """The budget of one holder; a holder without a row has none. Amounts are exact decimal text.

    ``unknown_hourly`` is what an hour of a machine counts for whose price is unknown, or in another currency; None:
    such a machine cannot be counted.
    """

    id: str = Field(primary_key=True)  # the project's or organisation's
    amount: str
    currency: str
    alert_ratios: list[float] = json_column(list)
    stops_orders: bool = False
    stops_machines: bool = False  # and orders too
    unknown_hourly: str | None = None
    alerted_month: str = ""  # for which month alerts were given already ...
    alerted_ratio: float = 0.0  # ... up to which ratio
    stop_month: str = ""  # for which month it was announced that machines stop ...
    stop_at_s: float | None = None  # ... and from when on
