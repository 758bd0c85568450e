"""Shares of a token's rate limit for Ray clusters, and the form of learned limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "008_add_token_shares"
down_revision = "007_add_channel_sync_tracking"


def upgrade() -> None:
    op.create_table(
        "token_shares",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("governor", sa.Text(), nullable=False),
        sa.Column("requested", sa.Integer(), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "requested >= 0 AND granted >= 0", name=op.f("ck_token_shares_not_negative")
        ),
        sa.PrimaryKeyConstraint("fingerprint", "governor", name=op.f("pk_token_shares")),
    )
    for name, value in (("source", "refusal"), ("form", "unknown")):
        op.add_column(
            "rate_limits", sa.Column(name, sa.Text(), server_default=value, nullable=False)
        )


def downgrade() -> None:
    op.drop_column("rate_limits", "form")
    op.drop_column("rate_limits", "source")
    op.drop_table("token_shares")
