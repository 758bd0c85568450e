"""Channels of a job read by several workers at once: claims, states and dead letters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "007_add_channel_sync_tracking"
down_revision = "006_create_limits_and_audit"


def upgrade() -> None:
    op.add_column("sync_progress", sa.Column("worker_id", sa.Text(), nullable=True))
    op.add_column("sync_progress", sa.Column("job_id", sa.UUID(as_uuid=False), nullable=True))
    op.add_column(
        "sync_progress", sa.Column("attempt", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column(
        "sync_progress", sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "sync_progress", sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "sync_progress", sa.Column("started_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("sync_progress", sa.Column("messages_per_second", sa.Double(), nullable=True))
    op.add_column(
        "sync_progress", sa.Column("retry_count", sa.Integer(), server_default="0", nullable=False)
    )
    op.create_index(
        "ix_sync_progress_worker_id_status", "sync_progress", ["worker_id", "status"], unique=False
    )
    op.create_table(
        "channel_sync_jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("parent_job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("priority", sa.Double(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("messages_processed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reactions_processed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attachments_processed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("requests", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_message_id", sa.BigInteger(), nullable=True),
        sa.Column("fraction", sa.Double(), nullable=True),
        sa.Column("retry_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_details", postgresql.JSONB(), nullable=True),
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
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'completed', 'failed')",
            name=op.f("ck_channel_sync_jobs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.id"],
            name="fk_channel_sync_jobs_channel_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["parent_job_id"],
            ["sync_jobs.id"],
            name="fk_channel_sync_jobs_parent_job_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_channel_sync_jobs_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_channel_sync_jobs"),
        sa.UniqueConstraint(
            "parent_job_id", "channel_id", name="uq_channel_sync_jobs_parent_job_id_channel_id"
        ),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_channel_sync_jobs_channel_id", "channel_sync_jobs", ["channel_id"], unique=False
    )
    op.create_index(
        "ix_channel_sync_jobs_tenant_id", "channel_sync_jobs", ["tenant_id"], unique=False
    )
    op.create_index(
        "ix_channel_sync_jobs_worker_id_status",
        "channel_sync_jobs",
        ["worker_id", "status"],
        unique=False,
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_sync_job_id", sa.BigInteger(), nullable=False),
        sa.Column("failure_class", sa.Text(), nullable=False),
        sa.Column("error_class", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column(
            "first_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
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
        sa.CheckConstraint(
            "failure_class IN ('rate_limited', 'transient', 'permanent', 'fatal')",
            name=op.f("ck_dead_letters_failure_class"),
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name="fk_dead_letters_channel_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["channel_sync_job_id"],
            ["channel_sync_jobs.id"],
            name="fk_dead_letters_channel_sync_job_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_dead_letters_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
    )
    op.create_index(
        "ix_dead_letters_channel_sync_job_id", "dead_letters", ["channel_sync_job_id"], unique=False
    )
    op.create_index("ix_dead_letters_tenant_id", "dead_letters", ["tenant_id"], unique=False)
    op.create_index(
        "uq_dead_letters_open_channel",
        "dead_letters",
        ["channel_id"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("dead_letters")
    op.drop_table("channel_sync_jobs")
    op.drop_index("ix_sync_progress_worker_id_status", table_name="sync_progress")
    op.drop_column("sync_progress", "retry_count")
    op.drop_column("sync_progress", "messages_per_second")
    op.drop_column("sync_progress", "started_at")
    op.drop_column("sync_progress", "lease_expires_at")
    op.drop_column("sync_progress", "epoch")
    op.drop_column("sync_progress", "attempt")
    op.drop_column("sync_progress", "job_id")
    op.drop_column("sync_progress", "worker_id")
