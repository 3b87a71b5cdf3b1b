"""Alembic's entry: run the migrations on the connection, and in the transaction, that schema.py hands over."""

from alembic import context

from catalog.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata(),
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,  # true on our connections: they emit BEGIN themselves
)
context.run_migrations()
