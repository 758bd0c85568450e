"""Reactions and attachments of messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "004_create_message_parts"
down_revision = "003_create_messages"


def upgrade() -> None:
    op.create_table(
        "message_emoji_reactions",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("platform_message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("emoji", sa.Text(), nullable=False),
        sa.Column("anonymized_user_id", sa.Text(), server_default="", nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("burst_count", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "channel_id",
            "platform_message_id",
            "emoji",
            "anonymized_user_id",
            name="pk_message_emoji_reactions",
        ),
    )
    op.create_table(
        "message_attachments",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("platform_message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("platform_attachment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("blob_key", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "channel_id",
            "platform_message_id",
            "platform_attachment_id",
            name="pk_message_attachments",
        ),
    )


def downgrade() -> None:
    op.drop_table("message_attachments")
    op.drop_table("message_emoji_reactions")
