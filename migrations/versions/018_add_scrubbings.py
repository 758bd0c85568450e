"""Scrubbing rules of each tenant's rows; without a row, the first rules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "018_add_scrubbings"
down_revision = "017_add_quarantine"


def upgrade() -> None:
    zoned = sa.DateTime(timezone=True)
    op.create_table(
        "scrubbings",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rules", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_channel", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("at_message", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("begun_at", zoned, server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", zoned),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_scrubbings_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "rules", name=op.f("pk_scrubbings")),
    )
    op.execute("ALTER TABLE scrubbings ENABLE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_table("scrubbings")
