"""Where lists of archived threads were read to, and whole earlier versions of messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "009_add_listings_and_versions"
down_revision = "008_add_token_shares"


def upgrade() -> None:
    op.add_column("message_versions", sa.Column("raw", JSONB()))
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
    op.drop_table("thread_listings")
    op.drop_column("message_versions", "raw")
