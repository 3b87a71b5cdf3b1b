"""Enrolments: an admin permits one platform to enrol, once, and approves ahead where it may be reached."""

from typing import Annotated

from pydantic import Field

from catalog import enrolments
from catalog.errors import AlreadyExists, InvalidValue
from catalog.model.platform import Purpose
from catalog.store.database import Tx
from gateway.api.bodies import AddressesFrom, Body, HostPort, Lifetime, Name, Out, Pem, Time, Url
from gateway.api.dispatch import SHOWN_ONCE
from gateway.api.endpoints import Call, Routes

routes = Routes("platforms")


# Lax, because a member is what its value is, and JSON has no members.
PurposeIn = Annotated[Purpose, Field(strict=False)]


class ApprovedEndpointIn(Body):
    """An endpoint that an admin approves ahead: this URL is reached at this address, and nowhere else."""

    purpose: PurposeIn
    url: Url
    dial: HostPort = Field(description="`host:port` to dial at the end of the tunnel.")
    dials_from: AddressesFrom = Field(default_factory=dict, description="Site name -> `host:port`, where it differs.")
    ca_pem: Pem | None = Field(default=None, description="The only authority trusted for it, when given.")


class EnrolmentIn(Body):
    """A one-time permission for one platform to enrol."""

    platform_name: Name
    endpoints: list[ApprovedEndpointIn] = Field(max_length=len(Purpose))
    ttl_s: Lifetime | None = Field(default=None, description="Seconds until it expires; absent: one day.")


class EnrolmentOut(Out):
    """The permission and its token."""

    id: str
    platform_name: str
    token: str | None = Field(
        description="Shown once; null when the request is repeated.", json_schema_extra=SHOWN_ONCE
    )
    expires_at: Time


@routes.endpoint(
    "POST",
    "/v1/enrolments",
    permission="enrolment:write",
    body=EnrolmentIn,
    answer=EnrolmentOut,
    status=201,
    errors=(AlreadyExists, InvalidValue),
    summary="Permit one platform to enrol, once",
)
def create_enrolment(tx: Tx, call: Call[EnrolmentIn]) -> EnrolmentOut:
    """Return the permission with its token."""
    row, text = enrolments.create_enrolment(
        tx,
        platform_name=call.body.platform_name,
        endpoints=[endpoint.model_dump() for endpoint in call.body.endpoints],
        ttl_s=call.body.ttl_s,
        now_s=call.now_s,
    )
    return EnrolmentOut(id=row.id, platform_name=row.platform_name, token=text, expires_at=row.expires_at_s)
