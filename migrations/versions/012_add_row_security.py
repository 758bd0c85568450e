"""Separation of tenants by the database: row-level security, and views for analysts.

A role that `tenant_roles` binds to a tenant sees the rows of that tenant. The binding is looked up
by the connected role and not by a setting, which a session could change. In tables without a tenant
column, a row is visible if its channel or job is. Owners are exempt. Workers have a policy of their
own, which `raysync db grant-worker` creates.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "012_add_row_security"
down_revision = "011_add_erasure"

_BOUND = "(SELECT b.tenant_id FROM tenant_roles b)"
# An array and not a list: it is evaluated once, before the table is read, and by an index.
_OF_TENANT = f"tenant_id = ANY (ARRAY{_BOUND})"
_OF_CHANNEL = "channel_id IN (SELECT c.id FROM channels c)"
_SEEN = {
    "tenants": f"id = ANY (ARRAY{_BOUND})",
    "tenant_roles": (
        "EXISTS (SELECT FROM pg_catalog.pg_roles r"
        " WHERE r.rolname = role AND pg_catalog.pg_has_role(r.oid, 'USAGE'))"
    ),
    "channels": _OF_TENANT,
    "messages": _OF_TENANT,
    "message_versions": _OF_CHANNEL,
    "message_emoji_reactions": _OF_CHANNEL,
    "message_attachments": _OF_CHANNEL,
    "thread_listings": _OF_CHANNEL,
    "sync_progress": _OF_TENANT,
    "sync_jobs": _OF_TENANT,
    "channel_sync_jobs": _OF_TENANT,
    "dead_letters": _OF_TENANT,
    "job_api_calls": "job_id IN (SELECT j.id FROM sync_jobs j)",
}
_CLOSED = (
    "audit_log",
    "rate_limits",
    "token_shares",
    "server_life",
)  # rows belong to no single tenant
_CLOSED += (
    "suppressions",
    "erased_messages",
    "pseudonym_generations",
)  # people that an analyst must not know

_VIEWS = {
    "channels": """
        SELECT t.slug AS tenant, c.platform_channel_id AS id, c.name, c.type,
            c.parent_channel_id AS parent_id, c.deleted_at
        FROM channels c JOIN tenants t ON t.id = c.tenant_id
        WHERE c.type NOT IN (10, 11, 12)
    """,
    "threads": """
        SELECT t.slug AS tenant, c.platform_channel_id AS id, c.name, c.type,
            c.parent_channel_id AS channel_id, p.name AS channel, c.deleted_at
        FROM channels c JOIN tenants t ON t.id = c.tenant_id
        LEFT JOIN channels p ON p.tenant_id = c.tenant_id
            AND p.platform_channel_id = c.parent_channel_id
        WHERE c.type IN (10, 11, 12)
    """,
    "messages": """
        SELECT t.slug AS tenant, c.platform_channel_id AS channel_id, c.name AS channel,
            m.platform_message_id AS id, m.anonymized_author_id AS author, m.content, m.type,
            m.reply_to_id, m.platform_created_at AS created_at, m.edited_at, m.deleted_at
        FROM messages m JOIN channels c ON c.id = m.channel_id JOIN tenants t ON t.id = c.tenant_id
    """,
    "message_versions": """
        SELECT t.slug AS tenant, c.platform_channel_id AS channel_id,
            v.platform_message_id AS message_id, v.content, v.edited_at, v.seen_at
        FROM message_versions v JOIN channels c ON c.id = v.channel_id
        JOIN tenants t ON t.id = c.tenant_id
    """,
    "reactions": """
        SELECT t.slug AS tenant, c.platform_channel_id AS channel_id,
            r.platform_message_id AS message_id, r.emoji, r.count, r.burst_count
        FROM message_emoji_reactions r JOIN channels c ON c.id = r.channel_id
        JOIN tenants t ON t.id = c.tenant_id
        WHERE r.anonymized_user_id = ''
    """,
    "reactors": """
        SELECT t.slug AS tenant, c.platform_channel_id AS channel_id,
            r.platform_message_id AS message_id, r.emoji, r.anonymized_user_id AS reactor
        FROM message_emoji_reactions r JOIN channels c ON c.id = r.channel_id
        JOIN tenants t ON t.id = c.tenant_id
        WHERE r.anonymized_user_id <> ''
    """,
    "attachments": """
        SELECT t.slug AS tenant, c.platform_channel_id AS channel_id,
            a.platform_message_id AS message_id, a.platform_attachment_id AS id, a.filename,
            a.file_size AS size, a.content_type, a.url, encode(a.sha256, 'hex') AS sha256,
            a.blob_key
        FROM message_attachments a JOIN channels c ON c.id = a.channel_id
        JOIN tenants t ON t.id = c.tenant_id
    """,
}


def upgrade() -> None:
    op.create_table(
        "tenant_roles",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_tenant_roles_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("role", name=op.f("pk_tenant_roles")),
    )
    op.create_index(op.f("ix_tenant_roles_tenant_id"), "tenant_roles", ["tenant_id"])
    for table in (*_SEEN, *_CLOSED):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    for table, condition in _SEEN.items():
        op.execute(f"CREATE POLICY tenant ON {table} FOR SELECT USING ({condition})")
    op.execute("CREATE SCHEMA analytics")
    for name, query in _VIEWS.items():
        op.execute(f"CREATE VIEW analytics.{name} WITH (security_invoker) AS {query}")


def downgrade() -> None:
    op.execute("DROP SCHEMA analytics CASCADE")
    for table in _SEEN:
        op.execute(f"DROP POLICY tenant ON {table}")
    for table in (*_SEEN, *_CLOSED):
        op.execute(f"DROP POLICY IF EXISTS worker ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.drop_table("tenant_roles")
