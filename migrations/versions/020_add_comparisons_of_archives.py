"""Comparisons of lists of archived threads, also of lists without threads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "020_add_comparisons_of_archives"
down_revision = "019_add_locks"


def upgrade() -> None:
    op.alter_column("thread_listings", "archived_until", nullable=True)
    op.add_column("thread_listings", sa.Column("compared_at", sa.DateTime(timezone=True)))
    op.add_column("thread_listings", sa.Column("last_message_id", sa.BigInteger()))
    op.add_column(
        "thread_listings", sa.Column("routes", sa.Text(), server_default="", nullable=False)
    )
    op.add_column(
        "thread_listings",
        sa.Column(
            "missing_threads",
            ARRAY(sa.BigInteger()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )


def downgrade() -> None:
    op.execute("DELETE FROM thread_listings WHERE archived_until IS NULL")
    for column in ("missing_threads", "routes", "last_message_id", "compared_at"):
        op.drop_column("thread_listings", column)
    op.alter_column("thread_listings", "archived_until", nullable=False)
