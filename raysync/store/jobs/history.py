"""History of a job: everything stored of it, for a report."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.history import ChannelHistory, JobHistory
from raysync.models.ids import ChannelId, JobId
from raysync.models.samples import JobSample
from raysync.models.status import ChannelJobStatus
from raysync.store.archive.dead_letters import DeadLetterStore
from raysync.store.connection.engine import translated
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.jobs.records import failure_from
from raysync.store.jobs.rows import visits_from

_CHANNELS = text("""
SELECT c.platform_channel_id, c.name, j.status, j.worker_id, j.started_at, j.completed_at,
    j.messages_processed, j.requests, j.retry_count, j.error_details, j.visits
FROM channel_sync_jobs j JOIN channels c ON c.id = j.channel_id
WHERE j.parent_job_id = CAST(:job_id AS uuid)
ORDER BY c.platform_channel_id
""")

_SAMPLES = text("""
SELECT slot_s, taken_at, messages, requests, rate_limit_encounters
FROM job_samples WHERE job_id = CAST(:job_id AS uuid)
ORDER BY slot_s
""")


async def job_history(engine: AsyncEngine, job_id: JobId) -> JobHistory:
    """Return all that is stored of a job. Raises ConfigurationError if there is none."""
    jobs, values = JobStore(engine), {"job_id": job_id}
    record = await jobs.load(job_id)
    with translated():
        async with engine.connect() as connection:
            channels = [_channel(row) for row in await connection.execute(_CHANNELS, values)]
            samples = [JobSample(*row) for row in await connection.execute(_SAMPLES, values)]
    given_up = {channel.channel_id for channel in channels if channel.failure is not None}
    letters = await DeadLetterStore(engine, record.tenant_id).list() if given_up else ()
    return JobHistory(
        record,
        tuple(channels),
        await jobs.usage(job_id),
        tuple(samples),
        tuple(letter for letter in letters if letter.channel_id in given_up),
    )


def _channel(row: Any) -> ChannelHistory:
    details, visits = row.error_details, row.visits
    return ChannelHistory(
        channel_id=ChannelId(row.platform_channel_id),
        name=row.name,
        status=ChannelJobStatus(row.status),
        worker_id=row.worker_id,
        started_at=row.started_at,
        completed_at=row.completed_at,
        messages=row.messages_processed,
        requests=row.requests,
        retry_count=row.retry_count,
        failure=None if details is None else failure_from(details),
        visits=None if visits is None else visits_from(visits),
    )
