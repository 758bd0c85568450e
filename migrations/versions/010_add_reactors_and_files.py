"""What the lists of reactors were read at, and what became of attachments' bytes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

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


def downgrade() -> None:
    for name in ("blob_retry_at", "blob_attempts", "blob_error"):
        op.drop_column("message_attachments", name)
    op.execute("DELETE FROM message_emoji_reactions WHERE anonymized_user_id <> ''")
    for name in ("read_burst_count", "read_count"):
        op.drop_column("message_emoji_reactions", name)
