"""The tables. `migrations/` builds the same, step by step; a test holds the two together.

Everything of one channel lies together: `messages` and its children are keyed by our own channel
key and Discord's message id, with no surrogate id. Snowflakes grow with time, so a page of a
channel lands at the end of that channel's part of the index; a surrogate would cost one more
index, 8 bytes in each child row, and a look-up before any child could be written.

Nor do `messages` and its children have foreign keys: they are written by page transactions alone,
which hold the row lock of the channel's `sync_progress`, and removed by `TenantStore.remove` alone,
which takes the same locks. The triggers of such keys would cost 0.7 ms per plain page of 100, and
3.3 ms where there are reactions and attachments.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, JSONB, UUID

from raysync.models.entities import Privacy, TenantStatus
from raysync.models.status import (
    ChannelJobStatus,
    FailureClass,
    JobStatus,
    ProgressStatus,
    SyncType,
)

SLUG_PATTERN = "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
DISCORD = "discord"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_Moment = DateTime(timezone=True)
_EMPTY_OBJECT = text("'{}'::jsonb")


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _created_at() -> Column[Any]:
    return Column("created_at", _Moment, nullable=False, server_default=func.now())


def _updated_at() -> Column[Any]:
    return Column("updated_at", _Moment, nullable=False, server_default=func.now())


def _tenant() -> Column[int]:
    return Column(
        "tenant_id", BigInteger, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False
    )


def _channel() -> Column[int]:
    return Column(
        "channel_id", BigInteger, ForeignKey("channels.id", ondelete="CASCADE"), nullable=False
    )


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{each.value}'" for each in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


tenants = Table(
    "tenants",
    metadata,
    _id(),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=TenantStatus.ACTIVE.value),
    Column("platform", Text, nullable=False, server_default=DISCORD),
    Column("platform_id", BigInteger, nullable=False),  # the guild
    Column("token_ref", Text, nullable=False),
    Column("token_sealed", LargeBinary),  # where token_ref says that the token is stored
    Column("privacy", Text, nullable=False, server_default=Privacy.PSEUDONYMOUS.value),
    Column("settings", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    _created_at(),
    _updated_at(),
    UniqueConstraint("slug"),
    UniqueConstraint("platform", "platform_id"),
    CheckConstraint(f"slug ~ '{SLUG_PATTERN}'", name="slug"),
    CheckConstraint(f"platform IN ('{DISCORD}')", name="platform"),
    _one_of("status", TenantStatus),
    _one_of("privacy", Privacy),
)

channels = Table(
    "channels",
    metadata,
    _id(),
    _tenant(),
    Column("platform_channel_id", BigInteger, nullable=False),
    Column("parent_channel_id", BigInteger),  # Discord's id: a thread may be known before it
    Column("name", Text, nullable=False),
    Column("type", Integer, nullable=False),  # Discord's number, unknown ones included
    Column("metadata", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    Column("last_message_id", BigInteger),
    Column("deleted_at", _Moment),
    _created_at(),
    _updated_at(),
    UniqueConstraint("tenant_id", "platform_channel_id"),
)

messages = Table(
    "messages",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant_id", BigInteger, nullable=False),
    Column("anonymized_author_id", Text),
    Column("content", Text, nullable=False),
    Column("type", Integer, nullable=False),
    Column("reply_to_id", BigInteger),  # kept even where the parent is absent
    Column("platform_created_at", _Moment, nullable=False),
    Column("edited_at", _Moment),
    Column("deleted_at", _Moment),
    Column("metadata", JSONB, nullable=False),
    Column("raw", JSONB, nullable=False),
    _created_at(),
    _updated_at(),
)

message_versions = Table(
    "message_versions",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seen_at", _Moment, primary_key=True),  # when it was found to have been replaced
    Column("content", Text, nullable=False),
    Column("edited_at", _Moment),
    Column("raw", JSONB),  # null: kept by a version that did not keep it
)

thread_listings = Table(
    "thread_listings",
    metadata,
    Column(
        "channel_id",
        BigInteger,
        ForeignKey("channels.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("is_private", Boolean, primary_key=True),
    # every thread archived before it was seen, and read to its end
    Column("archived_until", _Moment, nullable=False),
    _updated_at(),
)

message_emoji_reactions = Table(
    "message_emoji_reactions",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("emoji", Text, primary_key=True),
    # '' is the count of all reactors; a pseudonym where reactors are read one by one
    Column("anonymized_user_id", Text, primary_key=True, server_default=""),
    Column("count", Integer, nullable=False),
    Column("burst_count", Integer, nullable=False),
    _created_at(),
    _updated_at(),
)

message_attachments = Table(
    "message_attachments",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_attachment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("filename", Text, nullable=False),
    Column("file_size", BigInteger, nullable=False),
    Column("content_type", Text),
    Column("url", Text, nullable=False),  # without its signature
    Column("sha256", LargeBinary),  # both only where the bytes are stored
    Column("blob_key", Text),
    _created_at(),
    _updated_at(),
)

sync_progress = Table(
    "sync_progress",
    metadata,
    _id(),
    _tenant(),
    _channel(),
    Column("coverage", INT8MULTIRANGE, nullable=False, server_default=text("'{}'::int8multirange")),
    Column("last_synced_message_id", BigInteger),
    Column("last_synced_at", _Moment),
    Column("status", Text, nullable=False, server_default=ProgressStatus.IDLE.value),
    Column("error_details", JSONB),
    Column("message_count", BigInteger, nullable=False, server_default="0"),
    Column("resume_after", BigInteger),  # where an attempt of job_id stopped
    _created_at(),
    _updated_at(),
    Column("worker_id", Text),
    Column("job_id", UUID(as_uuid=False)),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("epoch", BigInteger, nullable=False, server_default="0"),  # grows with every claim
    Column("lease_expires_at", _Moment),
    Column("started_at", _Moment),
    Column("messages_per_second", Double),
    Column("retry_count", Integer, nullable=False, server_default="0"),
    Column("recheck_from", BigInteger, nullable=False, server_default="0"),  # see store.rechecks
    Column("recheck_started_at", _Moment),
    Column("rechecked_at", _Moment),
    UniqueConstraint("tenant_id", "channel_id"),
    UniqueConstraint("channel_id"),
    Index(None, "worker_id", "status"),
    _one_of("status", ProgressStatus),
    # every page updates its row: room for the new version beside the old one
    postgresql_with={"fillfactor": "50"},
)

sync_jobs = Table(
    "sync_jobs",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    _tenant(),
    Column("sync_type", Text, nullable=False),
    Column("start_date", _Moment),
    Column("end_date", _Moment),
    Column("lookback_s", Double, nullable=False),
    Column("channel_filter", ARRAY(BigInteger)),  # Discord's ids; null: all
    Column("status", Text, nullable=False, server_default=JobStatus.RUNNING.value),
    Column("error", Text),  # why it stopped, where it stopped by itself
    Column("progress", JSONB),  # the last view of it
    Column("usage", JSONB),  # by worker: what it waited for, and when it asked
    Column("result", JSONB),
    Column("ray_job_id", Text),
    Column("started_at", _Moment, nullable=False, server_default=func.now()),
    Column("completed_at", _Moment),
    Column("heartbeat_at", _Moment, nullable=False, server_default=func.now()),
    _created_at(),
    _updated_at(),
    Index(
        "uq_sync_jobs_running_tenant",
        "tenant_id",
        unique=True,
        postgresql_where=text(f"status = '{JobStatus.RUNNING.value}'"),
    ),
    Index(None, "tenant_id", "started_at"),
    _one_of("status", JobStatus),
    _one_of("sync_type", SyncType),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    _id(),
    Column("route", Text, nullable=False),
    Column("bucket", Text, nullable=False),  # Discord's hash; '' where it is all of the route's
    Column("limit", Integer, nullable=False),  # requests ...
    Column("window_s", Double, nullable=False),  # ... in so many seconds
    Column("source", Text, nullable=False, server_default="refusal"),  # who said so
    Column("form", Text, nullable=False, server_default="unknown"),  # how it is held
    _created_at(),
    _updated_at(),
    UniqueConstraint("route", "bucket"),
    CheckConstraint('"limit" > 0 AND window_s > 0', name="positive"),
)

token_shares = Table(
    "token_shares",
    metadata,
    Column("fingerprint", Text, primary_key=True),  # of the token
    Column("governor", Text, primary_key=True),  # of one Ray cluster
    Column("requested", Integer, nullable=False),  # requests a second it has a use for ...
    Column("granted", Integer, nullable=False),  # ... and those that nobody else may make
    Column("expires_at", _Moment, nullable=False),
    _updated_at(),
    CheckConstraint("requested >= 0 AND granted >= 0", name="not_negative"),
)

job_api_calls = Table(
    "job_api_calls",
    metadata,
    Column(
        "job_id",
        UUID(as_uuid=False),
        ForeignKey("sync_jobs.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("worker_id", Text, primary_key=True),
    Column("route", Text, primary_key=True),  # "METHOD /route status", or "429 scope"
    Column("calls", BigInteger, nullable=False),
    _updated_at(),
)

audit_log = Table(
    "audit_log",
    metadata,
    _id(),
    Column("at", _Moment, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("tenant", Text),  # its slug: an entry outlives the tenant
    Column("details", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
)

channel_sync_jobs = Table(
    "channel_sync_jobs",
    metadata,
    _id(),
    _tenant(),
    _channel(),
    Column(
        "parent_job_id",
        UUID(as_uuid=False),
        ForeignKey("sync_jobs.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("worker_id", Text),
    Column("status", Text, nullable=False, server_default=ChannelJobStatus.PENDING.value),
    Column("priority", Double, nullable=False, server_default="0"),  # expected pages
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("started_at", _Moment),
    Column("completed_at", _Moment),
    Column("messages_processed", BigInteger, nullable=False, server_default="0"),
    Column("reactions_processed", BigInteger, nullable=False, server_default="0"),
    Column("attachments_processed", BigInteger, nullable=False, server_default="0"),
    Column("requests", BigInteger, nullable=False, server_default="0"),
    Column("last_message_id", BigInteger),
    Column("fraction", Double),
    Column("retry_count", Integer, nullable=False, server_default="0"),
    Column("error_details", JSONB),
    _created_at(),
    _updated_at(),
    UniqueConstraint("parent_job_id", "channel_id"),
    Index(None, "tenant_id"),
    Index(None, "channel_id"),
    Index(None, "worker_id", "status"),
    _one_of("status", ChannelJobStatus),
    postgresql_with={"fillfactor": "70"},
)

dead_letters = Table(
    "dead_letters",
    metadata,
    _id(),
    _tenant(),
    _channel(),
    Column(
        "channel_sync_job_id",
        BigInteger,
        ForeignKey("channel_sync_jobs.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("failure_class", Text, nullable=False),
    Column("error_class", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_seen_at", _Moment, nullable=False, server_default=func.now()),
    Column("last_seen_at", _Moment, nullable=False, server_default=func.now()),
    Column("resolved_at", _Moment),
    _created_at(),
    _updated_at(),
    Index(
        "uq_dead_letters_open_channel",
        "channel_id",
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index(None, "tenant_id"),
    Index(None, "channel_sync_job_id"),
    _one_of("failure_class", FailureClass),
)
