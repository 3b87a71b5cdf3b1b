"""A platform's services may have endpoints of their own, beside that of its API."""

from alembic import op

from catalog.store.migrations.columns import one_of

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_BEFORE = ("api", "connector")
_SERVICES = ("compute", "image", "network", "volume", "load-balancer", "dns", "object-storage")


def upgrade() -> None:
    """Widen the check of the purposes."""
    # Nothing refers to endpoints, so that SQLite may make the table anew; it forgets checks that are not named here.
    with op.batch_alter_table("endpoint") as batch:
        batch.alter_column(
            "purpose",
            existing_type=one_of("purpose", *_BEFORE),
            type_=one_of("purpose", *_BEFORE, *_SERVICES),
            existing_nullable=False,
        )
        state = one_of("endpointstate", "proposed", "approved")
        batch.alter_column("state", existing_type=state, type_=state, existing_nullable=False)
