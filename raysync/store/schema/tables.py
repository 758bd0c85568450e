"""Tables of tenants, channels, progress, locks, limits and the audit log.

A test compares all tables of the schema with those that `migrations/` create.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB, UUID

from raysync.models.entities import Privacy, TenantStatus
from raysync.models.status import ProgressStatus
from raysync.store.schema import (  # noqa: F401 their tables belong to the same metadata
    job_tables,
    live_tables,
    message_tables,
    privacy_tables,
)
from raysync.store.schema.columns import (
    EMPTY_OBJECT,
    Moment,
    channel_id,
    created_at,
    id_column,
    metadata,
    one_of,
    tenant_id,
    updated_at,
)

SLUG_PATTERN = "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
DISCORD = "discord"

tenants = Table(
    "tenants",
    metadata,
    id_column(),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=TenantStatus.ACTIVE.value),
    Column("platform", Text, nullable=False, server_default=DISCORD),
    Column("platform_id", BigInteger, nullable=False),  # the guild
    Column("token_ref", Text, nullable=False),
    Column("token_sealed", LargeBinary),  # where token_ref says that the token is stored
    Column("privacy", Text, nullable=False, server_default=Privacy.PSEUDONYMOUS.value),
    Column("settings", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    created_at(),
    updated_at(),
    UniqueConstraint("slug"),
    UniqueConstraint("platform", "platform_id"),
    CheckConstraint(f"slug ~ '{SLUG_PATTERN}'", name="slug"),
    CheckConstraint(f"platform IN ('{DISCORD}')", name="platform"),
    one_of("status", TenantStatus),
    one_of("privacy", Privacy),
)

channels = Table(
    "channels",
    metadata,
    id_column(),
    tenant_id(),
    Column("platform_channel_id", BigInteger, nullable=False),
    Column("parent_channel_id", BigInteger),  # Discord's id: a thread may be known before it
    Column("name", Text, nullable=False),
    Column("type", Integer, nullable=False),  # Discord's number, unknown ones included
    Column("metadata", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("last_message_id", BigInteger),
    Column("deleted_at", Moment),
    created_at(),
    updated_at(),
    UniqueConstraint("tenant_id", "platform_channel_id"),
)

# The tenant that a database role may see. Row-level security uses it; see `store/server/roles.py`.
tenant_roles = Table(
    "tenant_roles",
    metadata,
    Column("role", Text, primary_key=True),
    tenant_id(),
    created_at(),
    Index(None, "tenant_id"),
)

sync_progress = Table(
    "sync_progress",
    metadata,
    id_column(),
    tenant_id(),
    channel_id(),
    Column("coverage", INT8MULTIRANGE, nullable=False, server_default=text("'{}'::int8multirange")),
    Column("last_synced_message_id", BigInteger),
    Column("last_synced_at", Moment),
    Column("status", Text, nullable=False, server_default=ProgressStatus.IDLE.value),
    Column("error_details", JSONB),
    Column("message_count", BigInteger, nullable=False, server_default="0"),
    Column("resume_after", BigInteger),  # where an attempt of job_id stopped
    created_at(),
    updated_at(),
    Column("worker_id", Text),
    Column("job_id", UUID(as_uuid=False)),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("epoch", BigInteger, nullable=False, server_default="0"),  # grows with every claim
    Column("lease_expires_at", Moment),
    Column("started_at", Moment),
    Column("messages_per_second", Double),
    Column("retry_count", Integer, nullable=False, server_default="0"),
    # See `store/archive/rechecks.py`.
    Column("recheck_from", BigInteger, nullable=False, server_default="0"),
    Column("recheck_started_at", Moment),
    Column("rechecked_at", Moment),
    # grows with every batch of events, so that a page notices one that came before its lock
    Column("live_batches", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("tenant_id", "channel_id"),
    UniqueConstraint("channel_id"),
    Index(None, "worker_id", "status"),
    one_of("status", ProgressStatus),
    # Every page updates its row, so leave room for the new version beside the old one.
    postgresql_with={"fillfactor": "50"},
)

# Unlogged, so a crash of the server empties it. Pages that were not on disk may be lost with the
# crash, so claims from before it are void.
server_life = Table(
    "server_life",
    metadata,
    Column("is_only", Boolean, primary_key=True, server_default=text("true")),
    Column("life", UUID(as_uuid=False), nullable=False),
    CheckConstraint("is_only", name="is_only"),
    prefixes=["UNLOGGED"],
)

# See `store/connection/locks.py`. A tenant's row exists as long as the tenant. A token's row is
# only locked.
locks = Table(
    "locks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("tenant_id", BigInteger, ForeignKey("tenants.id", ondelete="CASCADE")),
    Column("holder", Text),  # null: nobody
    Column("host", Text),
    Column("backend_pid", Integer),  # process of the server for the holder ...
    Column("backend_start", Moment),  # ... and its start, because numbers are reused
    Column("taken_at", Moment),
    Column("renewed_at", Moment),
    Column("expires_at", Moment),
    Column("cancel_job_id", UUID(as_uuid=False)),  # job of the holder to cancel
    Index("ix_locks_holder", "holder", postgresql_where=text("holder IS NOT NULL")),
    Index(None, "tenant_id"),
    CheckConstraint(
        "holder IS NULL OR (backend_pid IS NOT NULL AND backend_start IS NOT NULL"
        " AND taken_at IS NOT NULL AND renewed_at IS NOT NULL AND expires_at IS NOT NULL)",
        name="held",
    ),
    # Renewed every few seconds, so leave room for the new version beside the old one.
    postgresql_with={"fillfactor": "50"},
)

rate_limits = Table(
    "rate_limits",
    metadata,
    id_column(),
    Column("api", Text, nullable=False, server_default=""),  # its address; '' for any
    Column("route", Text, nullable=False),
    Column("bucket", Text, nullable=False),  # Discord's hash; '' for the whole route
    Column("limit", Integer, nullable=False),  # requests ...
    Column("window_s", Double, nullable=False),  # ... in this number of seconds
    Column("source", Text, nullable=False, server_default="refusal"),  # origin of the limit
    # Form of the buckets, see `ratelimit/forms.py`.
    Column("form", Text, nullable=False, server_default="unknown"),
    created_at(),
    updated_at(),
    UniqueConstraint("api", "route", "bucket"),
    CheckConstraint('"limit" > 0 AND window_s > 0', name="positive"),
)

token_shares = Table(
    "token_shares",
    metadata,
    Column("fingerprint", Text, primary_key=True),  # of the token
    Column("governor", Text, primary_key=True),  # of one Ray cluster
    Column("requested", Integer, nullable=False),  # requests a second that it wants ...
    Column("granted", Integer, nullable=False),  # ... and those reserved for it
    Column("expires_at", Moment, nullable=False),
    updated_at(),
    CheckConstraint("requested >= 0 AND granted >= 0", name="not_negative"),
)

audit_log = Table(
    "audit_log",
    metadata,
    id_column(),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("tenant", Text),  # slug: an entry outlives the tenant
    Column("details", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    # role that was connected; null: an entry of an earlier version
    Column("db_role", Text, server_default=text("SESSION_USER")),
)
