"""Progress of a running job, saved with each heartbeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from raysync.models.events import ApiUsage, ChannelRow, JobView
from raysync.models.ids import JobId
from raysync.models.samples import JobSample, step_s
from raysync.models.status import ChannelJobStatus
from raysync.store.archive.dead_letters import close_completed, record_failures
from raysync.store.jobs.rows import calls_json, channel_rows_json, usage_json, view_json

_HEARTBEAT = text("""
UPDATE sync_jobs SET heartbeat_at = now(), updated_at = now(),
    progress = CAST(:view AS jsonb), usage = CAST(:usage AS jsonb)
WHERE id = :job_id AND status = 'running'
""")

_UPSERT_CHANNELS = text("""
INSERT INTO channel_sync_jobs (
    tenant_id, channel_id, parent_job_id, worker_id, status, priority, attempts, started_at,
    completed_at, messages_processed, reactions_processed, attachments_processed, requests,
    last_message_id, fraction, retry_count, error_details, visits)
SELECT tenant_id, channel_id, :job_id, worker_id, status, priority, attempts, started_at,
    completed_at, messages_processed, reactions_processed, attachments_processed, requests,
    last_message_id, fraction, retry_count, error_details, visits
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS given (
    tenant_id bigint, channel_id bigint, worker_id text, status text, priority double precision,
    attempts integer, started_at timestamptz, completed_at timestamptz, messages_processed bigint,
    reactions_processed bigint, attachments_processed bigint, requests bigint,
    last_message_id bigint, fraction double precision, retry_count integer, error_details jsonb,
    visits jsonb)
ORDER BY channel_id
ON CONFLICT (parent_job_id, channel_id) DO UPDATE SET
    worker_id = excluded.worker_id, status = excluded.status, attempts = excluded.attempts,
    started_at = excluded.started_at, completed_at = excluded.completed_at,
    messages_processed = excluded.messages_processed,
    reactions_processed = excluded.reactions_processed,
    attachments_processed = excluded.attachments_processed, requests = excluded.requests,
    last_message_id = excluded.last_message_id, fraction = excluded.fraction,
    retry_count = excluded.retry_count, error_details = excluded.error_details,
    visits = excluded.visits, updated_at = now()
""")

# Counts only grow, so a late or repeated report changes nothing.
_UPSERT_CALLS = text("""
INSERT INTO job_api_calls AS c (job_id, worker_id, route, calls)
SELECT :job_id, worker_id, route, calls
FROM jsonb_to_recordset(CAST(:calls AS jsonb)) AS given (
    worker_id text, route text, calls bigint)
ORDER BY worker_id, route
ON CONFLICT (job_id, worker_id, route) DO UPDATE SET calls = excluded.calls, updated_at = now()
WHERE c.calls < excluded.calls
""")

# Longer jobs are sampled more coarsely: samples between the new, longer steps are deleted.
_SAMPLE = text("""
WITH thinned AS (DELETE FROM job_samples WHERE job_id = :job_id AND slot_s % :step_s <> 0)
INSERT INTO job_samples AS s (
    job_id, tenant_id, slot_s, taken_at, messages, requests, rate_limit_encounters)
SELECT id, tenant_id, :slot_s, :taken_at, :messages, :requests, :rate_limit_encounters
FROM sync_jobs WHERE id = :job_id
ON CONFLICT (job_id, slot_s) DO UPDATE SET
    taken_at = excluded.taken_at, messages = excluded.messages, requests = excluded.requests,
    rate_limit_encounters = excluded.rate_limit_encounters
WHERE s.taken_at < excluded.taken_at
""")


async def save_progress(
    connection: AsyncConnection,
    view: JobView,
    rows: Sequence[ChannelRow],
    usage: Mapping[str, ApiUsage],
    sample: JobSample | None,
) -> None:
    """Write heartbeat, view, changed channels, API counters and sample. See `JobStore`.

    Write nothing for a job that has ended. Its final progress is written before its status, so
    anything later is an obsolete view, of a tracker that was not closed.
    """
    job = {"job_id": view.job_id}
    beat = {**job, "view": view_json(view), "usage": usage_json(usage)}
    if (await connection.execute(_HEARTBEAT, beat)).rowcount == 0:
        return
    if rows:
        await _save_rows(connection, view.job_id, rows)
    if usage:
        await connection.execute(_UPSERT_CALLS, {**job, "calls": calls_json(usage)})
    if sample is not None:
        step = {"step_s": step_s(sample.slot_s)}
        await connection.execute(_SAMPLE, {**job, **asdict(sample), **step})


async def _save_rows(
    connection: AsyncConnection, job_id: JobId, rows: Sequence[ChannelRow]
) -> None:
    values: dict[str, Any] = {"job_id": job_id, "rows": channel_rows_json(rows)}
    await connection.execute(_UPSERT_CHANNELS, values)
    failed = [row for row in rows if row.status is ChannelJobStatus.FAILED]
    completed = [row for row in rows if row.status is ChannelJobStatus.COMPLETED]
    if failed:
        await record_failures(connection, job_id, [row.task.channel_key for row in failed])
    if completed:
        await close_completed(connection, job_id, [row.task.channel_key for row in completed])
