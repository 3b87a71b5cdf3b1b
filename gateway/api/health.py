"""Is it alive, is it ready, what does it do in the background, and who am I."""

import asyncio
import json
from typing import Any

from pydantic import Field

from catalog.errors import CatalogError
from catalog.model.network import Site
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.bodies import Nothing, Out
from gateway.api.endpoints import Call, Door, Listing, Raw, Routes
from gateway.api.services import ApiServices
from gateway.telemetry import METRICS_TYPE

routes = Routes("health")

OK = "ok"


@routes.probe("/livez", door=Door.ANYONE, summary="Whether the process answers at all")
async def get_liveness(_call: Call[Nothing]) -> Raw:
    """Say ok: the event loop turns. Asks nothing else, so that a full disk does not get the process restarted."""
    return Raw(body=b'{"status": "ok"}')


@routes.probe("/readyz", door=Door.ANYONE, summary="Whether it can serve; 503 names what is missing")
async def get_readiness(call: Call[Nothing]) -> Raw:
    """Say whether the database answers. Background work that ails is told, and is no reason to send nobody here.

    One cloud that is away makes a task ail; were that unreadiness, it would take every other cloud with it.
    """
    database = await _database_state(call.services)
    ailing = {each["name"]: each["last_error"] for each in call.services.background_status() if each.get("last_error")}
    document = {"status": OK if database == OK else "not-ready", "checks": {"database": database}, "ailing": ailing}
    return Raw(body=json.dumps(document).encode(), status=200 if database == OK else 503)


async def _database_state(services: ApiServices) -> str:
    try:
        async with asyncio.timeout(services.limits.readiness_s):
            # A row of a table, not a constant: SQLite answers SELECT 1 without looking at its file.
            await services.database.read(lambda tx: rows.first(tx, Site))
    except TimeoutError:
        return f"no answer within {services.limits.readiness_s:g} s"
    except CatalogError as error:
        return error.code
    return OK


@routes.probe(
    "/metrics",
    door=Door.LOCAL,
    permission="metrics:read",
    summary="Prometheus metrics; without a token only from this host itself",
    media_type="text/plain",
)
async def get_metrics(call: Call[Nothing]) -> Raw:
    """Return all metrics."""
    return Raw(body=call.services.metrics.exposition(), content_type=METRICS_TYPE)


class CallerOut(Out):
    """Whom the token speaks for."""

    role: str = Field(description="For the whole gateway, a platform's, or the strongest that it has in any project.")
    name: str
    subject: str = Field(description="The project, platform or account that it speaks for; empty for an admin's token.")
    account: str | None
    projects: dict[str, str] = Field(description="The role in each project, by the project's id.")
    scopes: list[str] | None = Field(description="The permissions that its token is limited to.")
    gateway: dict[str, str]


@routes.plain("GET", "/v1/whoami", permission="self:read", answer=CallerOut, summary="Whom this token speaks for")
def get_caller(_tx: Tx, call: Call[Nothing]) -> CallerOut:
    """Return role, name and subject of the caller."""
    who = call.principal
    return CallerOut(
        role=who.role.value,
        name=who.name,
        subject=who.subject_id,
        account=who.account_id,
        projects={project: role.value for project, role in who.works_in.items()},
        scopes=None if who.scopes is None else sorted(who.scopes),
        gateway=_told(call.services),
    )


def _told(services: ApiServices) -> dict[str, str]:
    """Return what everybody may know of this gateway; the SSH key is the one in use now."""
    return {**services.gateway_info, "ssh_public_key": services.relays.public_keys().shown}


class TaskOut(Out):
    """One background task or service, as the runner sees it."""

    name: str
    enabled: bool
    failures_in_a_row: int
    last_error: str
    facts: dict[str, Any]


@routes.plain(
    "GET",
    "/v1/background",
    permission="background:read",
    answer=TaskOut,
    many=True,
    summary="What every background task does and how it fares",
)
def list_background(_tx: Tx, call: Call[Nothing]) -> Listing:
    """Return every task on one page; there are a dozen."""
    named = ("name", "enabled", "failures_in_a_row", "last_error")
    return Listing(
        items=[
            TaskOut(
                name=str(status["name"]),
                enabled=bool(status.get("enabled", True)),
                failures_in_a_row=int(status.get("failures_in_a_row", 0)),
                last_error=str(status.get("last_error", "")),
                facts={key: value for key, value in status.items() if key not in named},
            )
            for status in call.services.background_status()
        ]
    )
