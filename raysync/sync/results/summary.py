"""Public result of a job, made of how the job ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, cast

from raysync.models.events import ApiUsage, ChannelProgress, JobHeader
from raysync.models.extras import ExtraTally
from raysync.models.ids import ChannelId, moment_of
from raysync.models.results import (
    ArchivedThreads,
    ChannelError,
    ChannelResult,
    CoverageGap,
    NotCoveredRoute,
    SkippedChannel,
    SyncJobResult,
    UnplacedRecord,
    Verification,
)
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTally
from raysync.sync.job.outcome import JobOutcome, Trouble
from raysync.sync.results.run_stats import parallel_stats

MOST_NAMED = 20
"""Limit on the unplaced records that a result lists; its errors name the channels of all."""
DOUBTED_PAGES = 100
"""Pages from which on a job's requests are checked: a short run may lose its last counts."""
DOUBTED_SHARE = 0.5
"""Requests per page below which the count of requests cannot be true."""

ResultStatus = Literal["completed", "partial", "failed", "cancelled"]


def summarize(
    header: JobHeader,
    end: JobOutcome,
    usage: Mapping[str, ApiUsage],
    under_way: Mapping[ChannelId, ChannelProgress],
    most_at_once: int,
    completed_at: datetime,
) -> SyncJobResult:
    """Return the result that `start --json` prints and `status` keeps.

    *under_way* is the progress of channels that did not end: their stored messages count.
    *most_at_once* is the number of channels that were in flight at the same moment.
    """
    channels = _Channels.of(end, under_way)
    tallies = channels.tallies
    end = _check_requests(end, tallies, usage)
    extras = sum((tally.extras for tally in tallies), ExtraTally())
    ended, failed = len(channels.ended), channels.failed
    left = len(channels.left) + len(end.cooling)
    return SyncJobResult(
        job_id=header.job_id,
        tenant=header.tenant,
        status=cast("ResultStatus", end.status.value),
        channels_processed=ended - failed,
        channels_unchanged=end.unchanged,
        channels_total=ended + end.unchanged + len(end.skipped) + left,
        channels_failed=failed,
        channels_skipped=len(end.skipped),
        channels_left=left,
        channels_deleted=len(end.gone),
        messages_processed=sum(tally.messages for tally in tallies),
        messages_added=sum(tally.added for tally in tallies),
        messages_edited=sum(tally.edited for tally in tallies),
        messages_deleted=sum(tally.deleted for tally in tallies),
        reactions_processed=sum(tally.reactions for tally in tallies),
        attachments_processed=sum(tally.attachments for tally in tallies),
        reactors_read=extras.reactors,
        files_stored=extras.files,
        file_bytes_stored=extras.file_bytes,
        files_failed=extras.files_failed,
        errors=_errors(end, channels.ended, completed_at),
        skipped=_skipped(end),
        not_covered=_not_covered(end),
        archived_threads=_archived_threads(end),
        started_at=header.started_at,
        completed_at=completed_at,
        parallel_stats=parallel_stats(header, end, tallies, usage, most_at_once),
        channel_results=channels.results(),
        verification=_verification(end) if header.sync_type is SyncType.VERIFY else None,
        unplaced=sum(tally.unplaced for tally in tallies),
        unplaced_records=_unplaced(channels.ended),
    )


@dataclass(frozen=True, slots=True)
class _Channels:
    """Planned channels of a job, by id: those that ended, and those left with their progress."""

    ended: Sequence[ChannelOutcome]
    left: Mapping[ChannelId, ChannelProgress | None]

    @classmethod
    def of(cls, end: JobOutcome, under_way: Mapping[ChannelId, ChannelProgress]) -> _Channels:
        """Return the channels of *end*."""
        return cls(
            ended=sorted(end.outcomes, key=lambda outcome: outcome.channel_id),
            left={task.channel_id: under_way.get(task.channel_id) for task in end.unfinished},
        )

    @property
    def failed(self) -> int:
        return sum(outcome.failure is not None for outcome in self.ended)

    @property
    def tallies(self) -> list[ChannelTally]:
        return [
            *(outcome.tally for outcome in self.ended),
            *(p.tally for p in self.left.values() if p),
        ]

    def results(self) -> list[ChannelResult]:
        """Return the result of each channel: those that ended, then those left."""
        return [
            *(_ended_channel(outcome) for outcome in self.ended),
            *(_pending_channel(*channel) for channel in self.left.items()),
        ]


def _check_requests(
    end: JobOutcome, tallies: Sequence[ChannelTally], usage: Mapping[str, ApiUsage]
) -> JobOutcome:
    """Add a trouble if far more pages were read than requests were counted.

    Each page is a request, so some requests went past the rate limiter. A worker that dies loses
    the count of its last second, which is far below half of a run's requests.
    """
    written = sum(client.written.pages for client in usage.values())
    pages = max(sum(tally.pages for tally in tallies), written)
    calls = sum(sum(client.calls.values()) for client in usage.values())
    if pages < DOUBTED_PAGES or calls > pages * DOUBTED_SHARE:
        return end
    doubt = Trouble(
        None,
        f"{pages:,} pages were read, but only {calls:,} requests were counted. The other requests "
        "passed the rate limiter unseen, so the run may have broken Discord's limits. The stored "
        "messages are not affected. This is a bug: please report it.",
    )
    completed = end.status is JobStatus.COMPLETED
    status = JobStatus.PARTIAL if completed else end.status
    return replace(end, status=status, troubles=(*end.troubles, doubt))


def _skipped(end: JobOutcome) -> list[SkippedChannel]:
    return [
        SkippedChannel(channel_id=str(channel.channel_id), name=channel.name, reason=channel.reason)
        for channel in sorted(end.skipped, key=lambda channel: channel.channel_id)
    ]


def _not_covered(end: JobOutcome) -> list[NotCoveredRoute]:
    return [
        NotCoveredRoute(
            route=route.missing.route,
            what=route.missing.what,
            reason=route.missing.reason,
            channels=len(route.channels) or None,
        )
        for route in end.not_covered
    ]


def _archived_threads(end: JobOutcome) -> ArchivedThreads | None:
    tally = end.archives
    if tally is None:
        return None
    return ArchivedThreads(
        lists=tally.lists,
        compared=tally.compared,
        unsettled=tally.unsettled,
        compared_since=tally.since,
    )


def _errors(
    end: JobOutcome, outcomes: Iterable[ChannelOutcome], completed_at: datetime
) -> list[ChannelError]:
    troubles = [
        ChannelError(
            channel_id=None if trouble.channel_id is None else str(trouble.channel_id),
            error=trouble.message,
            timestamp=completed_at,
        )
        for trouble in end.troubles
    ]
    failed = [
        ChannelError(
            channel_id=str(outcome.channel_id),
            error=f"{outcome.failure.error}: {outcome.failure.message}",
            timestamp=outcome.completed_at,
        )
        for outcome in outcomes
        if outcome.failure is not None
    ]
    return troubles + failed


def _unplaced(outcomes: Iterable[ChannelOutcome]) -> list[UnplacedRecord]:
    records = [
        UnplacedRecord(
            channel_id=str(outcome.channel_id), after=str(record.after), position=record.position
        )
        for outcome in outcomes
        for record in outcome.tally.unplaced_at
    ]
    return records[:MOST_NAMED]


def _verification(end: JobOutcome) -> Verification:
    channels = end.unchanged + len(end.planned)
    gaps = [
        CoverageGap(
            channel_id=str(gap.channel_id),
            name=gap.name,
            after=moment_of(gap.ids.start),
            before=moment_of(gap.ids.stop - 1),
            is_news=gap.is_news,
        )
        for gap in sorted(end.gaps, key=lambda gap: (gap.channel_id, gap.ids))
    ]
    proven = channels - len({gap.channel_id for gap in gaps})
    return Verification(channels=channels, proven=proven, gaps=gaps)


def _ended_channel(outcome: ChannelOutcome) -> ChannelResult:
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


def _pending_channel(channel_id: ChannelId, progress: ChannelProgress | None) -> ChannelResult:
    """Return the result of a channel that was interrupted, or never begun."""
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
