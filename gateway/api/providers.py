"""Kinds of clouds: what works at each, and how far that was really tried."""

from pydantic import Field

from catalog.providers import Provider, Standing
from catalog.store.database import Tx
from gateway.api.bodies import Nothing, Out
from gateway.api.endpoints import Call, Listing, Routes, one_of

routes = Routes("providers")


class ProviderOut(Out):
    """One kind of cloud."""

    name: str
    title: str
    standing: str = Field(
        description="`server`: exercised against a real server; `emulated`: against one "
        "written from its documentation; `contract`: built, and asked for one list; `refused`."
    )
    how: str = Field(description="How it was tried, or why it is refused.")
    creates: bool = Field(description="Whether machines are made there.")
    may: list[str] = Field(description="What may be done there: `list`, `create` machines, `act` on them.")
    note: str = Field(description="What else to know before enrolling one.")
    capabilities: dict[str, str] = Field(description="Capability -> how far it was tried; what is absent it has not.")
    assets: dict[str, str] = Field(description="What else is made there -> how far that was tried.")
    options: dict[str, str] = Field(description="What an enrolment may say beyond the rest, and what it means.")
    needs: list[str] = Field(description="Which options an enrolment must say.")


@routes.plain(
    "GET",
    "/v1/providers",
    permission="catalog:read",
    answer=ProviderOut,
    many=True,
    filters={"standing": one_of(Standing, "Only those of this standing.")},
    summary="List the kinds of clouds, and what works at each",
)
def list_providers(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return all of them by name, in one page: there are some fifty."""
    del tx
    wanted = call.filters.get("standing")
    found = [each for each in call.services.providers if wanted in {None, each.standing}]
    return Listing(items=[_out(each) for each in found])


def _out(provider: Provider) -> ProviderOut:
    return ProviderOut(
        name=provider.name,
        title=provider.title,
        standing=provider.standing.value,
        how=provider.how,
        creates=provider.creates,
        may=list(provider.may),
        note=provider.note,
        capabilities={name: standing.value for name, standing in provider.capabilities.items()},
        assets={name: standing.value for name, standing in provider.assets.items()},
        options=dict(provider.options),
        needs=list(provider.needs),
    )
