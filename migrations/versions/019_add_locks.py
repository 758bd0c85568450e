"""Locks that only workers and the owner can take, and the role behind each audit entry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "019_add_locks"
down_revision = "018_add_scrubbings"

_HELD = (
    "holder IS NULL OR (backend_pid IS NOT NULL AND backend_start IS NOT NULL"
    " AND taken_at IS NOT NULL AND renewed_at IS NOT NULL AND expires_at IS NOT NULL)"
)


def upgrade() -> None:
    op.create_table(
        "locks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger()),
        sa.Column("holder", sa.Text()),
        sa.Column("host", sa.Text()),
        sa.Column("backend_pid", sa.Integer()),
        sa.Column("backend_start", sa.DateTime(timezone=True)),
        sa.Column("taken_at", sa.DateTime(timezone=True)),
        sa.Column("renewed_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("cancel_job_id", sa.UUID(as_uuid=False)),
        sa.CheckConstraint(_HELD, name=op.f("ck_locks_held")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_locks_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_locks")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(
        "ix_locks_holder", "locks", ["holder"], postgresql_where=sa.text("holder IS NOT NULL")
    )
    op.create_index("ix_locks_tenant_id", "locks", ["tenant_id"])
    op.execute("ALTER TABLE locks ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON locks FOR SELECT"
        " USING (tenant_id = ANY (ARRAY(SELECT b.tenant_id FROM tenant_roles b)))"
    )
    op.execute("INSERT INTO locks (name, tenant_id) SELECT 'tenant/' || id, id FROM tenants")
    # The default is set after the column is added, so earlier entries stay null.
    op.add_column("audit_log", sa.Column("db_role", sa.Text()))
    op.execute("ALTER TABLE audit_log ALTER COLUMN db_role SET DEFAULT SESSION_USER")


def downgrade() -> None:
    op.drop_column("audit_log", "db_role")
    op.drop_table("locks")
