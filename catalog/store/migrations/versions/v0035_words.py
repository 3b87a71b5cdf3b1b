"""Words of inventory with letters of any script, whatever the database's locale; Latin ones without accents."""

from alembic import op

from catalog.store import full_text

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the words anew, from the inventory that is there."""
    full_text.remove(op.get_bind())
    full_text.create(op.get_bind())
