"""Counts at the last read of reactors, state of attachments' files, and options of jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "010_add_reactors_and_files"
down_revision = "009_add_listings_and_versions"


def upgrade() -> None:
    for name in ("read_count", "read_burst_count"):
        op.add_column("message_emoji_reactions", sa.Column(name, sa.Integer()))
    op.add_column("message_attachments", sa.Column("blob_error", sa.Text()))
    op.add_column(
        "message_attachments",
        sa.Column("blob_attempts", sa.Integer(), server_default="0", nullable=False),
    )
    op.add_column("message_attachments", sa.Column("blob_retry_at", sa.DateTime(timezone=True)))
    op.add_column(
        "sync_jobs",
        sa.Column("options", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
    )

    op.create_table(
        "server_life",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("life", sa.UUID(as_uuid=False), nullable=False),
        sa.CheckConstraint("is_only", name=op.f("ck_server_life_is_only")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_server_life")),
        prefixes=["UNLOGGED"],
    )


def downgrade() -> None:
    op.drop_table("server_life")
    op.drop_column("sync_jobs", "options")
    for name in ("blob_retry_at", "blob_attempts", "blob_error"):
        op.drop_column("message_attachments", name)
    op.execute("DELETE FROM message_emoji_reactions WHERE anonymized_user_id <> ''")
    for name in ("read_burst_count", "read_count"):
        op.drop_column("message_emoji_reactions", name)
