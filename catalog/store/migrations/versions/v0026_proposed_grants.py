"""Grants can be proposed."""

from catalog.store.migrations.checks import allow

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_STATES = ("requested", "granted", "denied", "accepted", "refused", "revoked", "expired", "suspended")


def upgrade() -> None:
    """Widen the check of the states."""
    allow("capability_grant", "grantstate", "state", _STATES, (*_STATES, "proposed"))
