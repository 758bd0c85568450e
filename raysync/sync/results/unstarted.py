"""Results of jobs that read nothing: they failed before, or the run ended too early."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from raysync.errors import safe_message
from raysync.models.ids import JobId
from raysync.models.results import ChannelError, SyncJobResult
from raysync.sync.results.run_stats import no_stats


def failed_result(
    job_id: JobId | None, tenant: str, error: Exception, at: datetime
) -> SyncJobResult:
    """Return the result of a job that could not start; *job_id* is None if none was created."""
    failure = ChannelError(channel_id=None, error=safe_message(error), timestamp=at)
    return _empty_result("failed", job_id, tenant, [failure], at)


def unbegun_result(tenant: str, at: datetime) -> SyncJobResult:
    """Return the result of a tenant that the run did not reach before it ended; it has no job."""
    return _empty_result("cancelled", None, tenant, [], at)


def _empty_result(
    status: Literal["failed", "cancelled"],
    job_id: JobId | None,
    tenant: str,
    errors: list[ChannelError],
    at: datetime,
) -> SyncJobResult:
    return SyncJobResult(
        job_id=job_id or "",
        tenant=tenant,
        status=status,
        channels_processed=0,
        channels_unchanged=0,
        messages_processed=0,
        reactions_processed=0,
        attachments_processed=0,
        errors=errors,
        skipped=[],
        started_at=at,
        completed_at=at,
        parallel_stats=no_stats(),
        channel_results=[],
    )
