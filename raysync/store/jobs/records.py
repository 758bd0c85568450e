"""Records of jobs: one query for jobs, and one for the channels of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from raysync.models.events import ApiUsage, ChannelView, JobView
from raysync.models.ids import ChannelId, JobId, TenantId
from raysync.models.records import JobRecord, LockRecord
from raysync.models.results import SyncJobResult
from raysync.models.status import ChannelJobStatus, FailureClass, JobStatus, SyncType
from raysync.models.work import Failure, SyncWindow
from raysync.store.connection.locks import IS_HELD
from raysync.store.jobs.lease import TENANT_LOCKS
from raysync.store.jobs.rows import EARLIER_RUNS, LIMIT_HIT, extras_from

_VIEW = TypeAdapter(JobView)
_USAGE = TypeAdapter(dict[str, ApiUsage])

_JOBS = f"""
SELECT j.id::text AS id, j.tenant_id, t.slug, j.status, j.sync_type, j.start_date, j.end_date,
    j.lookback_s, j.channel_filter, j.options, j.ray_job_id, j.started_at, j.completed_at,
    j.heartbeat_at, j.error, j.progress, j.result,
    extract(epoch FROM clock_timestamp() - j.heartbeat_at)::double precision AS heartbeat_age_s,
    j.status = 'running' AND NOT coalesce({IS_HELD}, false) AS is_abandoned,
    l.host, l.taken_at, l.renewed_at, coalesce({IS_HELD}, false) AS is_held,
    extract(epoch FROM clock_timestamp() - l.renewed_at)::double precision AS seen_ago_s
FROM sync_jobs j JOIN tenants t ON t.id = j.tenant_id
LEFT JOIN locks l ON l.name = '{TENANT_LOCKS}' || j.tenant_id AND l.holder IS NOT NULL
"""  # noqa: S608 of constants
_ONE = text(_JOBS + "WHERE j.id = CAST(:job_id AS uuid)")
# By activity: a resumed job comes before those that began while it was stopped.
_LATEST_FIRST = "ORDER BY greatest(j.heartbeat_at, j.completed_at) DESC, j.id LIMIT :limit"
_RECENT = text(f"{_JOBS} WHERE j.tenant_id = :tenant_id {_LATEST_FIRST}")
_RECENT_OF_ALL = text(f"{_JOBS} {_LATEST_FIRST}")

_CHANNELS = text("""
SELECT c.platform_channel_id, c.name, j.status, j.worker_id, j.messages_processed, j.fraction,
    j.started_at, j.completed_at, j.retry_count, j.error_details, now() AS now
FROM channel_sync_jobs j JOIN channels c ON c.id = j.channel_id
WHERE j.parent_job_id = CAST(:job_id AS uuid)
ORDER BY array_position(ARRAY['in_progress', 'failed', 'pending', 'completed'], j.status),
    j.messages_processed DESC, c.platform_channel_id
""")

_CALLS = text("""
SELECT worker_id, route, calls FROM job_api_calls
WHERE job_id = :job_id AND worker_id <> :earlier
""")
_WAITS = text("SELECT usage FROM sync_jobs WHERE id = :job_id")


async def read_job(connection: AsyncConnection, job_id: JobId) -> JobRecord | None:
    """Return a job with its channels: channels in progress first, then by messages."""
    row = (await connection.execute(_ONE, {"job_id": job_id})).one_or_none()
    if row is None:
        return None
    record = _record(row)
    channels = await connection.execute(_CHANNELS, {"job_id": job_id})
    if record.view is None:
        return record
    shown = tuple(_channel_view(row, record) for row in channels)
    return replace(record, view=replace(record.view, channels=shown))


async def read_jobs(
    connection: AsyncConnection, tenant_id: TenantId | None, limit: int
) -> tuple[JobRecord, ...]:
    """Return the latest jobs, without their channels."""
    if tenant_id is None:
        rows = await connection.execute(_RECENT_OF_ALL, {"limit": limit})
    else:
        rows = await connection.execute(_RECENT, {"tenant_id": tenant_id, "limit": limit})
    return tuple(_record(row) for row in rows)


async def read_usage(connection: AsyncConnection, job_id: JobId) -> Mapping[str, ApiUsage]:
    """Return the API usage of each worker in the last run."""
    waits = (await connection.execute(_WAITS, {"job_id": job_id})).scalar_one_or_none()
    usage = _USAGE.validate_python(waits or {})
    values = {"job_id": job_id, "earlier": EARLIER_RUNS}
    for row in await connection.execute(_CALLS, values):
        known = usage.get(row.worker_id, ApiUsage())
        if row.route.startswith(LIMIT_HIT):
            hits = {**known.rate_limit_hits, row.route.removeprefix(LIMIT_HIT): row.calls}
            usage[row.worker_id] = replace(known, rate_limit_hits=hits)
        else:
            usage[row.worker_id] = replace(known, calls={**known.calls, row.route: row.calls})
    return usage


def _record(row: Any) -> JobRecord:
    status = JobStatus(row.status)
    driver = None
    if status is JobStatus.RUNNING and row.renewed_at is not None:
        driver = LockRecord(row.host, row.taken_at, row.renewed_at, row.seen_ago_s, row.is_held)
    return JobRecord(
        id=JobId(row.id),
        tenant_id=TenantId(row.tenant_id),
        tenant=row.slug,
        status=status,
        window=SyncWindow(
            SyncType(row.sync_type),
            row.start_date,
            row.end_date,
            frozenset(ChannelId(channel) for channel in row.channel_filter or ()),
            row.lookback_s,
            row.options.get("reconcile_requests", 0),
            row.options.get("sample", 0),
            extras_from(row.options),
            row.options.get("archives_every_s", 0.0),
            _moment(row.options.get("listened_since")),
        ),
        ray_job_id=row.ray_job_id,
        started_at=row.started_at,
        completed_at=row.completed_at,
        heartbeat_age_s=row.heartbeat_age_s,
        error=row.error,
        driver=driver,
        is_abandoned=row.is_abandoned,
        view=_view(row, status),
        result=None if row.result is None else SyncJobResult.model_validate(row.result),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _view(row: Any, status: JobStatus) -> JobView | None:
    if row.progress is None:
        return None
    view = _VIEW.validate_python(row.progress)
    return replace(
        view, status=status, heartbeat_at=row.heartbeat_at, completed_at=row.completed_at
    )


def _channel_view(row: Any, job: JobRecord) -> ChannelView:
    status = ChannelJobStatus(row.status)
    elapsed_s = _elapsed_s(row.started_at, row.completed_at or job.completed_at or row.now)
    ended = status in (ChannelJobStatus.COMPLETED, ChannelJobStatus.FAILED)
    fraction = 1.0 if ended else row.fraction
    reading = status is ChannelJobStatus.IN_PROGRESS and job.status is JobStatus.RUNNING
    eta_s = elapsed_s * (1 - fraction) / fraction if reading and fraction else None
    details = row.error_details
    return ChannelView(
        channel_id=ChannelId(row.platform_channel_id),
        name=row.name,
        status=status,
        worker_id=row.worker_id,
        messages=row.messages_processed,
        messages_per_second=row.messages_processed / elapsed_s if elapsed_s > 0 else 0.0,
        fraction=fraction,
        eta_s=eta_s,
        retry_count=row.retry_count,
        failure=None if details is None else failure_from(details),
    )


def _elapsed_s(started_at: datetime | None, until: datetime) -> float:
    return 0.0 if started_at is None else (until - started_at).total_seconds()


def failure_from(details: Mapping[str, str]) -> Failure:
    """Return the failure in an ``error_details`` column."""
    return Failure(FailureClass(details["failure_class"]), details["error"], details["message"])
