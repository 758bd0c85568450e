"""Puts the end of a job into the words of the public result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, cast

from raysync.errors import safe_message
from raysync.models.events import ApiUsage, ChannelProgress, JobHeader
from raysync.models.extras import ExtraTally
from raysync.models.ids import ChannelId, JobId, moment_of
from raysync.models.results import (
    ChannelError,
    ChannelResult,
    CoverageGap,
    NotCoveredRoute,
    ParallelStats,
    SkippedChannel,
    SyncJobResult,
    UnplacedRecord,
    Verification,
)
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTally
from raysync.sync.efficiency import average_s, efficiency, ideal_s, page_estimates
from raysync.sync.job_outcome import JobOutcome, Trouble
from raysync.sync.timing import time_spent

MOST_NAMED = 20
"""Records without a place that a result names; its errors name the channels of all."""
DOUBTED_PAGES = 100
"""Of so many pages, the requests are compared with them: the counts of a short run may be lost."""
DOUBTED_SHARE = 0.5


def summarize(
    header: JobHeader,
    end: JobOutcome,
    usage: Mapping[str, ApiUsage],
    under_way: Mapping[ChannelId, ChannelProgress],
    most_at_once: int,
    completed_at: datetime,
) -> SyncJobResult:
    """The result that `start --json` prints and `status` keeps.

    *under_way* tells how far channels came that did not end: what is stored of them counts.
    *most_at_once* is the number of channels that were in flight at the same moment.
    """
    outcomes = sorted(end.outcomes, key=lambda each: each.channel_id)
    left = {each.channel_id: under_way.get(each.channel_id) for each in end.unfinished}
    tallies = [each.tally for each in (*outcomes, *left.values()) if each is not None]
    end = _with_doubts(end, tallies, usage)
    extras = sum((each.extras for each in tallies), ExtraTally())
    read = sum(each.failure is None for each in outcomes)
    unread = len(left) + len(end.cooling)
    return SyncJobResult(
        job_id=header.job_id,
        tenant=header.tenant,
        status=cast("Literal['completed', 'partial', 'failed', 'cancelled']", end.status.value),
        channels_processed=read,
        channels_unchanged=end.unchanged,
        channels_total=len(outcomes) + end.unchanged + len(end.skipped) + unread,
        channels_failed=len(outcomes) - read,
        channels_skipped=len(end.skipped),
        channels_left=unread,
        channels_deleted=len(end.gone),
        messages_processed=sum(each.messages for each in tallies),
        messages_added=sum(each.added for each in tallies),
        messages_edited=sum(each.edited for each in tallies),
        messages_deleted=sum(each.deleted for each in tallies),
        reactions_processed=sum(each.reactions for each in tallies),
        attachments_processed=sum(each.attachments for each in tallies),
        reactors_read=extras.reactors,
        files_stored=extras.files,
        file_bytes_stored=extras.file_bytes,
        files_failed=extras.files_failed,
        errors=_errors(end, outcomes, completed_at),
        skipped=[
            SkippedChannel(channel_id=str(each.channel_id), name=each.name, reason=each.reason)
            for each in sorted(end.skipped, key=lambda each: each.channel_id)
        ],
        not_covered=[
            NotCoveredRoute(
                route=each.missing.route,
                what=each.missing.what,
                reason=each.missing.reason,
                channels=len(each.channels) or None,
            )
            for each in end.not_covered
        ],
        started_at=header.started_at,
        completed_at=completed_at,
        parallel_stats=_stats(header, end, tallies, usage, most_at_once),
        channel_results=[
            *(_channel_result(each) for each in outcomes),
            *(_unfinished(*each) for each in left.items()),
        ],
        verification=_verification(end) if header.sync_type is SyncType.VERIFY else None,
        unplaced=sum(each.unplaced for each in tallies),
        unplaced_records=_unplaced(outcomes),
    )


def _with_doubts(
    end: JobOutcome, tallies: Sequence[ChannelTally], usage: Mapping[str, ApiUsage]
) -> JobOutcome:
    """Add a trouble where far more pages were read than requests were counted.

    Each page is a request, so requests went past the rate limiter. A worker that dies takes the
    count of its last second with it, which is far from half of a run's.
    """
    written = sum(each.written.pages for each in usage.values())
    pages = max(sum(each.pages for each in tallies), written)
    calls = sum(sum(each.calls.values()) for each in usage.values())
    if pages < DOUBTED_PAGES or calls > pages * DOUBTED_SHARE:
        return end
    doubt = Trouble(
        None,
        f"{pages:,} pages were read, and {calls:,} requests counted: the rate limiter has not seen "
        "the others, so the run may have broken Discord's limits. What is stored is not affected. "
        "This is a bug: please report it.",
    )
    completed = end.status is JobStatus.COMPLETED
    status = JobStatus.PARTIAL if completed else end.status
    return replace(end, status=status, troubles=(*end.troubles, doubt))


def _unplaced(outcomes: list[ChannelOutcome]) -> list[UnplacedRecord]:
    records = [
        UnplacedRecord(
            channel_id=str(outcome.channel_id), after=str(each.after), position=each.position
        )
        for outcome in outcomes
        for each in outcome.tally.unplaced_at
    ]
    return records[:MOST_NAMED]


def _verification(end: JobOutcome) -> Verification:
    channels = end.unchanged + len(end.planned)
    gaps = [
        CoverageGap(
            channel_id=str(each.channel_id),
            name=each.name,
            after=moment_of(each.ids.start),
            before=moment_of(each.ids.stop - 1),
            is_news=each.is_news,
        )
        for each in sorted(end.gaps, key=lambda gap: (gap.channel_id, gap.ids))
    ]
    proven = channels - len({each.channel_id for each in gaps})
    return Verification(channels=channels, proven=proven, gaps=gaps)


def failed_result(
    job_id: JobId | None, tenant: str, error: Exception, at: datetime
) -> SyncJobResult:
    """The result of a job that could not begin its work; without an id where none was begun."""
    trouble = ChannelError(channel_id=None, error=safe_message(error), timestamp=at)
    return _empty_result("failed", job_id, tenant, [trouble], at)


def unbegun_result(tenant: str, at: datetime) -> SyncJobResult:
    """The result of a tenant whose turn had not come when the run was ended: it has no job."""
    return _empty_result("cancelled", None, tenant, [], at)


def _empty_result(
    status: Literal["failed", "cancelled"],
    job_id: JobId | None,
    tenant: str,
    errors: list[ChannelError],
    at: datetime,
) -> SyncJobResult:
    nothing = ParallelStats(
        max_concurrent_channels=0,
        average_channel_time=0.0,
        total_api_calls=0,
        rate_limit_encounters=0,
        ideal_s=0.0,
        actual_s=0.0,
        efficiency=None,
    )
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
        parallel_stats=nothing,
        channel_results=[],
    )


def _errors(
    end: JobOutcome, outcomes: list[ChannelOutcome], completed_at: datetime
) -> list[ChannelError]:
    failed = [
        ChannelError(
            channel_id=str(each.channel_id),
            error=f"{each.failure.error}: {each.failure.message}",
            timestamp=each.completed_at,
        )
        for each in outcomes
        if each.failure is not None
    ]
    troubles = [
        ChannelError(
            channel_id=None if each.channel_id is None else str(each.channel_id),
            error=each.message,
            timestamp=completed_at,
        )
        for each in end.troubles
    ]
    return troubles + failed


def _stats(
    header: JobHeader,
    end: JobOutcome,
    tallies: list[ChannelTally],
    usage: Mapping[str, ApiUsage],
    most_at_once: int,
) -> ParallelStats:
    total = sum(sum(each.calls.values()) for each in usage.values())
    ideal = ideal_s(total, (each.requests for each in tallies), header)
    first = min((u.first_request_at for u in usage.values() if u.first_request_at), default=None)
    last = max((u.last_request_at for u in usage.values() if u.last_request_at), default=None)
    return ParallelStats(
        max_concurrent_channels=most_at_once,
        average_channel_time=round(average_s(end.outcomes), 3),
        total_api_calls=total,
        rate_limit_encounters=sum(sum(u.rate_limit_hits.values()) for u in usage.values()),
        ideal_s=round(ideal, 3),
        actual_s=round((last - first).total_seconds(), 3) if first and last else 0.0,
        efficiency=_rounded(efficiency(ideal, first, last)),
        time_spent=time_spent(usage.values(), header.started_at, header.budget_per_second),
        page_estimates=page_estimates(end.planned, end.outcomes),
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _channel_result(outcome: ChannelOutcome) -> ChannelResult:
    last = outcome.tally.last_message_id
    return ChannelResult(
        channel_id=str(outcome.channel_id),
        status="failed" if outcome.failure else "completed",
        worker_id=outcome.worker_id,
        started_at=outcome.started_at,
        completed_at=outcome.completed_at,
        messages_processed=outcome.tally.messages,
        last_message_id=None if last is None else str(last),
        error=outcome.failure.message if outcome.failure else None,
        retry_count=outcome.retry_count,
    )


def _unfinished(channel_id: ChannelId, progress: ChannelProgress | None) -> ChannelResult:
    """Return the outcome of a channel that was cut short or never begun."""
    tally = progress.tally if progress else ChannelTally()
    last = tally.last_message_id
    return ChannelResult(
        channel_id=str(channel_id),
        status="pending",
        worker_id=progress.worker_id if progress else None,
        started_at=progress.started_at if progress else None,
        completed_at=None,
        messages_processed=tally.messages,
        last_message_id=None if last is None else str(last),
        error=None,
        retry_count=0,
    )
