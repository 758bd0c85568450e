"""Views and results to render."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raysync.models.events import ChannelView, JobView
from raysync.models.ids import ChannelId, JobId
from raysync.models.results import (
    ChannelError,
    ChannelResult,
    NotCoveredRoute,
    ParallelStats,
    SkippedChannel,
    SyncJobResult,
)
from raysync.models.status import ChannelJobStatus, FailureClass, JobStatus, SyncType
from raysync.models.work import Failure

STARTED = datetime(2026, 1, 31, 12, tzinfo=UTC)
JOB_ID = JobId("6f1c1c1e-6a52-4f0e-9f55-0a8f7f0a9d11")


def channel_view(number: int, **changes) -> ChannelView:
    view = ChannelView(
        channel_id=ChannelId(1000 + number),
        name=f"channel-{number}",
        status=ChannelJobStatus.IN_PROGRESS,
        worker_id="worker-1",
        messages=100 * number,
        messages_per_second=98.4,
        fraction=0.25,
        eta_s=62.0,
    )
    return replace(view, **changes)


def failed_channel(number: int, message: str = "Discord answers 403") -> ChannelView:
    failure = Failure(FailureClass.PERMANENT, "AccessDeniedError", message)
    return channel_view(
        number, status=ChannelJobStatus.FAILED, failure=failure, fraction=1.0, eta_s=None
    )


def job_view(running: int = 50, **changes) -> JobView:
    view = JobView(
        job_id=JOB_ID,
        tenant="takaro",
        status=JobStatus.RUNNING,
        sync_type=SyncType.INCREMENTAL,
        started_at=STARTED,
        heartbeat_at=STARTED + timedelta(seconds=31),
        completed_at=None,
        planning=False,
        channels_total=60,
        channels_completed=9,
        channels_failed=0,
        channels_skipped=4,
        messages=24_310,
        requests=1_462,
        rate_limit_encounters=0,
        messages_per_second=1_204.4,
        requests_per_second=47.0,
        budget_per_second=48.0,
        fraction=0.625,
        eta_s=18.6,
        channels=tuple(channel_view(number) for number in range(running)),
    )
    return replace(view, **changes)


def job_result(**changes) -> SyncJobResult:
    ended = STARTED + timedelta(seconds=33.4)
    result = SyncJobResult(
        job_id=JOB_ID,
        tenant="takaro",
        status="completed",
        channels_processed=56,
        channels_unchanged=3,
        messages_processed=40_012,
        reactions_processed=6_001,
        attachments_processed=2_400,
        errors=[],
        skipped=[
            SkippedChannel(channel_id="7", name="staff", reason="no VIEW_CHANNEL"),
            SkippedChannel(channel_id="8", name="mods", reason="no VIEW_CHANNEL"),
            SkippedChannel(channel_id="9", name="logs", reason="no READ_MESSAGE_HISTORY"),
        ],
        started_at=STARTED,
        completed_at=ended,
        parallel_stats=ParallelStats(
            max_concurrent_channels=50,
            average_channel_time=8.2,
            total_api_calls=1_498,
            rate_limit_encounters=0,
            ideal_s=31.2,
            actual_s=32.0,
            efficiency=0.975,
        ),
        channel_results=[],
    )
    return result.model_copy(update=changes)


def failed_result(number: int) -> ChannelResult:
    return ChannelResult(
        channel_id=str(1000 + number),
        status="failed",
        worker_id="worker-1",
        started_at=STARTED,
        completed_at=STARTED,
        messages_processed=0,
        last_message_id=None,
        error="Discord answers 403",
        retry_count=0,
    )


def channel_error(number: int) -> ChannelError:
    return ChannelError(
        channel_id=str(1000 + number),
        error="AccessDeniedError: Discord answers 403",
        timestamp=STARTED,
    )


NO_SEARCH = NotCoveredRoute(
    route="GET /channels/{channel_id}/threads/search",
    what="archived announcement threads that no list names",
    reason="GET /channels/{channel_id}/threads/search: Discord answers 404: no such route.",
    channels=2,
)
"""What a run tells of an API without the search."""
