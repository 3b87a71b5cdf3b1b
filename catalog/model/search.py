"""What searching keeps: how often the things behind the catalog changed, and searches that somebody saved."""

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from catalog.model.rows import Row, json_column


class Serial(Row, table=True):
    """How often ``subject`` changed: a platform's inventory (its id), or the price book ("prices")."""

    subject: str = Field(primary_key=True)
    serial: int = 0


class SavedSearch(Row, table=True):
    """A search by name, ``principal``'s own: role and subject (an admin's: the token)."""

    __tablename__ = "saved_search"
    __table_args__ = (UniqueConstraint("principal", "name"),)

    id: str = Field(primary_key=True)
    principal: str = Field(index=True)
    name: str
    query: dict[str, Any] = json_column()
