"""Fields of messages that could not be read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "017_add_quarantine"
down_revision = "016_add_api_of_limits"


def upgrade() -> None:
    op.add_column("messages", sa.Column("quarantine", ARRAY(sa.Text()), nullable=True))
    op.create_index(
        "ix_messages_quarantine",
        "messages",
        ["tenant_id", "channel_id", "platform_message_id"],
        postgresql_where=sa.text("quarantine IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_messages_quarantine", "messages")
    op.drop_column("messages", "quarantine")
