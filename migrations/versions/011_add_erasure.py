"""Suppressed users and channels, and generations of pseudonyms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "011_add_erasure"
down_revision = "010_add_reactors_and_files"


def upgrade() -> None:
    _create_suppressions()
    op.create_table(
        "pseudonym_generations",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("at_channel", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("at_message", sa.BigInteger(), server_default="0", nullable=False),
        _moment("begun_at"),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        _of_tenant("pseudonym_generations"),
        sa.PrimaryKeyConstraint("tenant_id", "generation", name=op.f("pk_pseudonym_generations")),
    )
    op.create_index(
        "ix_messages_deleted",
        "messages",
        ["tenant_id", "deleted_at"],
        postgresql_where=sa.text("deleted_at IS NOT NULL AND raw <> '{}'::jsonb"),
    )


def _create_suppressions() -> None:
    op.create_table(
        "suppressions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True)),
        _moment("created_at"),
        sa.CheckConstraint("kind IN ('user', 'channel')", name=op.f("ck_suppressions_kind")),
        _of_tenant("suppressions"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppressions")),
        sa.UniqueConstraint(
            "tenant_id", "kind", "ref", name=op.f("uq_suppressions_tenant_id_kind_ref")
        ),
    )
    op.create_table(
        "erased_messages",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("platform_message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("suppression_id", sa.BigInteger(), nullable=False),
        _of_tenant("erased_messages"),
        sa.ForeignKeyConstraint(
            ["suppression_id"],
            ["suppressions.id"],
            name=op.f("fk_erased_messages_suppression_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "platform_message_id", name=op.f("pk_erased_messages")
        ),
    )
    op.create_index(
        op.f("ix_erased_messages_suppression_id"), "erased_messages", ["suppression_id"]
    )


def _of_tenant(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_tenant_id")
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=name, ondelete="CASCADE")


def _moment(name: str) -> sa.Column[object]:
    zoned = sa.DateTime(timezone=True)
    return sa.Column(name, zoned, server_default=sa.text("now()"), nullable=False)


def downgrade() -> None:
    op.drop_index("ix_messages_deleted", "messages")
    op.drop_table("pseudonym_generations")
    op.drop_table("erased_messages")
    op.drop_table("suppressions")
