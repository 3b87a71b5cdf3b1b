"""Queries about the declared network."""

from sqlalchemy import func
from sqlmodel import select

from catalog.model.network import Relay, Site, SiteLink
from catalog.store import rows
from catalog.store.database import Tx

Revision = tuple[tuple[int, int | None, str | None], ...]


def network_revision(tx: Tx) -> Revision:
    """Return what changes whenever a site, relay or link is added, changed or removed; comparable, nothing else."""
    return tuple(_revision(tx, kind) for kind in (Site, Relay, SiteLink))


def route_words(tx: Tx) -> frozenset[str]:
    """Return what relays can be called by: their names, sites, regions and risk groups."""
    relays = tx.exec(select(Relay.name, Relay.risk_groups)).all()
    sites = tx.exec(select(Site.name, Site.region)).all()
    told = {word for pair in sites for word in pair} | {name for name, _ in relays}
    return frozenset(told.union(*(groups for _, groups in relays))) - {""}


def _revision(tx: Tx, kind: type[Site | Relay | SiteLink]) -> tuple[int, int | None, str | None]:
    # A change raises a version; what is removed lowers the count, which only a row with a newer id can raise again.
    version, key = rows.column(kind, "version"), rows.column(kind, "id")
    return tx.exec(select(func.count(), func.sum(version), func.max(key)).select_from(kind)).one()
