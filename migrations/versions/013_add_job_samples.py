"""Samples of a job's progress over time, and times of visits to its channels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "013_add_job_samples"
down_revision = "012_add_row_security"


def upgrade() -> None:
    op.add_column("channel_sync_jobs", sa.Column("visits", JSONB()))
    op.create_table(
        "job_samples",
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("slot_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("rate_limit_encounters", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["sync_jobs.id"],
            name=op.f("fk_job_samples_job_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_job_samples_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "slot_s", name=op.f("pk_job_samples")),
    )
    op.create_index("ix_job_samples_tenant_id", "job_samples", ["tenant_id"])
    op.execute("ALTER TABLE job_samples ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON job_samples FOR SELECT"
        " USING (tenant_id = ANY (ARRAY(SELECT b.tenant_id FROM tenant_roles b)))"
    )


def downgrade() -> None:
    op.drop_table("job_samples")
    op.drop_column("channel_sync_jobs", "visits")
