"""Alembic's environment, on the connection that `raysync.store.server.migrate` hands in."""

from __future__ import annotations

from alembic import context

from raysync.store.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
