"""Live tail: gateway sessions, what each tenant's tail heard, and marks on rows that it wrote."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "021_add_tail"
down_revision = "020_add_comparisons_of_archives"

_TENANT = "tenant_id = ANY (ARRAY(SELECT b.tenant_id FROM tenant_roles b))"
_CHANNEL = (
    "channel_id IN (SELECT c.id FROM channels c"
    " WHERE c.tenant_id = ANY (ARRAY(SELECT b.tenant_id FROM tenant_roles b)))"
)


def upgrade() -> None:
    op.create_table(
        "gateway_sessions",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("shards", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("session_id", sa.Text()),
        sa.Column("resume_url", sa.Text()),
        sa.Column("sequence", sa.BigInteger()),
        sa.Column("identifies_left", sa.Integer()),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("fingerprint", "shard", name=op.f("pk_gateway_sessions")),
        # Written with every batch of events, so leave room for the new version.
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "gateway_identifies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_identifies")),
    )
    op.create_index(
        op.f("ix_gateway_identifies_fingerprint_at"), "gateway_identifies", ["fingerprint", "at"]
    )
    op.create_table(
        "tenant_listening",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rules_epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("listened_since", sa.DateTime(timezone=True)),
        sa.Column("alive_at", sa.DateTime(timezone=True)),
        sa.Column("interrupted_at", sa.DateTime(timezone=True)),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("looked_back_at", sa.DateTime(timezone=True)),
        sa.Column("events", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_event_at", sa.DateTime(timezone=True)),
        sa.Column("events_a_minute", sa.Integer()),
        sa.Column("lag_ms", sa.Integer()),
        sa.Column("missed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("gaps", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_tenant_listening_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenant_listening")),
        postgresql_with={"fillfactor": "50"},
    )
    for table in ("live_deletions", "gateway_doubts"):
        op.create_table(
            table,
            sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("platform_message_id", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column(
                "at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
            ),
            sa.ForeignKeyConstraint(
                ["channel_id"],
                ["channels.id"],
                name=op.f(f"fk_{table}_channel_id"),
                ondelete="CASCADE",
            ),
            sa.PrimaryKeyConstraint("channel_id", "platform_message_id", name=op.f(f"pk_{table}")),
        )
    for table, rows in (
        ("gateway_sessions", None),
        ("gateway_identifies", None),
        ("tenant_listening", _TENANT),
        ("live_deletions", _CHANNEL),
        ("gateway_doubts", _CHANNEL),
    ):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        if rows is not None:
            op.execute(f"CREATE POLICY tenant ON {table} FOR SELECT USING ({rows})")
    op.add_column("messages", sa.Column("live_at", sa.DateTime(timezone=True)))
    op.add_column(
        "sync_progress",
        sa.Column("live_batches", sa.BigInteger(), server_default="0", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("sync_progress", "live_batches")
    op.drop_column("messages", "live_at")
    for table in (
        "gateway_doubts",
        "live_deletions",
        "tenant_listening",
        "gateway_identifies",
        "gateway_sessions",
    ):
        op.drop_table(table)
