"""The audit log: who did what, each record chained to the one before, and signed statements of where it ended when."""

from sqlalchemy import BigInteger, String
from sqlmodel import Field

from catalog.model.ids import TokenId
from catalog.model.rows import BIG, Row, json_column


class AuditRecord(Row, table=True):
    """One deed; written once and never changed. ``id`` counts from 1 without gaps, see ``LogHead``."""

    __tablename__ = "audit_record"

    id: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    at_ms: int = Field(sa_type=BigInteger)  # a whole number: the digest must not hang on how a float is written
    actor: str = Field(index=True)  # "admin", "platform:ID", "member:ID", "enrolment"
    actor_name: str = ""  # what the actor's token is called
    token_id: TokenId | None = Field(default=None, sa_type=String)
    action: str = Field(index=True)  # the endpoint's name, or "passage_call"
    subject: str = Field(index=True)  # ids of what it was done to
    result: str  # see catalog.audit.Result
    code: str = ""  # the error's, when it was refused or failed
    via: dict[str, str] = json_column()  # {"passage", "connection", "route", "platform"}, for what went through one
    data: dict[str, str] = json_column()
    digest: str


class AuditCheckpoint(Row, table=True):
    """The gateway's signed word that record ``id`` was the newest at ``at_ms``, and which digest it had."""

    __tablename__ = "audit_checkpoint"

    id: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    at_ms: int = Field(sa_type=BigInteger)
    digest: str
    signature: str  # base64 Ed25519, by the gateway's signing key
