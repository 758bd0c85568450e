"""Watermarks of lists of threads, times of rechecks, and payloads of earlier versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "009_add_listings_and_versions"
down_revision = "008_add_token_shares"


def upgrade() -> None:
    op.add_column("message_versions", sa.Column("raw", JSONB()))
    op.add_column(
        "sync_progress",
        sa.Column("recheck_from", sa.BigInteger(), server_default="0", nullable=False),
    )
    for name in ("recheck_started_at", "rechecked_at"):
        op.add_column("sync_progress", sa.Column(name, sa.DateTime(timezone=True)))
    _replace_sync_types("'full', 'incremental', 'verify'")
    op.create_table(
        "thread_listings",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("archived_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.id"],
            name=op.f("fk_thread_listings_channel_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("channel_id", "is_private", name=op.f("pk_thread_listings")),
    )


def downgrade() -> None:
    op.execute("DELETE FROM sync_jobs WHERE sync_type = 'verify'")
    _replace_sync_types("'full', 'incremental'")
    op.drop_table("thread_listings")
    for name in ("rechecked_at", "recheck_started_at", "recheck_from"):
        op.drop_column("sync_progress", name)
    op.drop_column("message_versions", "raw")


def _replace_sync_types(listed: str) -> None:
    name = op.f("ck_sync_jobs_sync_type")
    op.drop_constraint(name, "sync_jobs", type_="check")
    op.create_check_constraint(name, "sync_jobs", f"sync_type IN ({listed})")
