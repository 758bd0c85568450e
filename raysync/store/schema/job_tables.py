"""Tables of sync jobs: their channels, API calls and samples, and dead letters."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from raysync.models.status import ChannelJobStatus, FailureClass, JobStatus, SyncType
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

sync_jobs = Table(
    "sync_jobs",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    tenant_id(),
    Column("sync_type", Text, nullable=False),
    Column("start_date", Moment),
    Column("end_date", Moment),
    Column("lookback_s", Double, nullable=False),
    Column("channel_filter", ARRAY(BigInteger)),  # Discord's ids; null: all
    Column("options", JSONB, nullable=False, server_default=EMPTY_OBJECT),  # other options
    Column("status", Text, nullable=False, server_default=JobStatus.RUNNING.value),
    Column("error", Text),  # reason, if it stopped by itself
    Column("progress", JSONB),  # latest view
    Column("usage", JSONB),  # by worker: waits, and times of requests
    Column("result", JSONB),
    Column("ray_job_id", Text),
    Column("started_at", Moment, nullable=False, server_default=func.now()),
    Column("completed_at", Moment),
    Column("heartbeat_at", Moment, nullable=False, server_default=func.now()),
    created_at(),
    updated_at(),
    Index(
        "uq_sync_jobs_running_tenant",
        "tenant_id",
        unique=True,
        postgresql_where=text(f"status = '{JobStatus.RUNNING.value}'"),
    ),
    Index(None, "tenant_id", "started_at"),
    one_of("status", JobStatus),
    one_of("sync_type", SyncType),
)

channel_sync_jobs = Table(
    "channel_sync_jobs",
    metadata,
    id_column(),
    tenant_id(),
    channel_id(),
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
    Column("started_at", Moment),
    Column("completed_at", Moment),
    Column("messages_processed", BigInteger, nullable=False, server_default="0"),
    Column("reactions_processed", BigInteger, nullable=False, server_default="0"),
    Column("attachments_processed", BigInteger, nullable=False, server_default="0"),
    Column("requests", BigInteger, nullable=False, server_default="0"),
    Column("last_message_id", BigInteger),
    Column("fraction", Double),
    Column("retry_count", Integer, nullable=False, server_default="0"),
    Column("error_details", JSONB),
    created_at(),
    updated_at(),
    Column("visits", JSONB),  # null: written by an earlier version
    UniqueConstraint("parent_job_id", "channel_id"),
    Index(None, "tenant_id"),
    Index(None, "channel_id"),
    Index(None, "worker_id", "status"),
    one_of("status", ChannelJobStatus),
    postgresql_with={"fillfactor": "70"},
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
    Column("worker_id", Text, primary_key=True),  # of the last run; "earlier runs" for all before
    Column("route", Text, primary_key=True),  # "METHOD /route status", or "429 scope"
    Column("calls", BigInteger, nullable=False),
    updated_at(),
)

# One row for each step of a job's last run, with counts since its start. See
# `raysync.models.samples`.
job_samples = Table(
    "job_samples",
    metadata,
    Column(
        "job_id",
        UUID(as_uuid=False),
        ForeignKey("sync_jobs.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("slot_s", Integer, primary_key=True, autoincrement=False),  # seconds since the start
    tenant_id(),
    Column("taken_at", Moment, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("rate_limit_encounters", BigInteger, nullable=False),
    Index(None, "tenant_id"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    id_column(),
    tenant_id(),
    channel_id(),
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
    Column("first_seen_at", Moment, nullable=False, server_default=func.now()),
    Column("last_seen_at", Moment, nullable=False, server_default=func.now()),
    Column("resolved_at", Moment),
    created_at(),
    updated_at(),
    Index(
        "uq_dead_letters_open_channel",
        "channel_id",
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index(None, "tenant_id"),
    Index(None, "channel_sync_job_id"),
    one_of("failure_class", FailureClass),
)
