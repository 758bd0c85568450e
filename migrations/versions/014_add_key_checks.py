"""Marks of the secret keys of tenants' pseudonyms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "014_add_key_checks"
down_revision = "013_add_job_samples"


def upgrade() -> None:
    op.create_table(
        "key_checks",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_key_checks_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_key_checks")),
    )
    op.execute("ALTER TABLE key_checks ENABLE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_table("key_checks")
