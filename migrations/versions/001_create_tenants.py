"""Tenants: one guild each, read with one bot token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "001_create_tenants"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("platform", sa.Text(), server_default="discord", nullable=False),
        sa.Column("platform_id", sa.BigInteger(), nullable=False),
        sa.Column("token_ref", sa.Text(), nullable=False),
        sa.Column("token_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("privacy", sa.Text(), server_default="pseudonymous", nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
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
        sa.CheckConstraint("platform IN ('discord')", name=op.f("ck_tenants_platform")),
        sa.CheckConstraint("privacy IN ('pseudonymous', 'full')", name=op.f("ck_tenants_privacy")),
        sa.CheckConstraint(
            "slug ~ '^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$'", name=op.f("ck_tenants_slug")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'maintenance', 'cancelled')", name=op.f("ck_tenants_status")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("platform", "platform_id", name="uq_tenants_platform_platform_id"),
        sa.UniqueConstraint("slug", name="uq_tenants_slug"),
    )


def downgrade() -> None:
    op.drop_table("tenants")
