"""Channel of a running job, as shown to people."""

from __future__ import annotations

from datetime import datetime

from raysync.models.events import ChannelRow, ChannelView
from raysync.models.status import ChannelJobStatus
from raysync.sync.progress.work_left import fraction_of

_RANK = {
    ChannelJobStatus.IN_PROGRESS: 0,
    ChannelJobStatus.FAILED: 1,
    ChannelJobStatus.PENDING: 2,
    ChannelJobStatus.COMPLETED: 3,
}


def channel_view(row: ChannelRow, now: datetime) -> ChannelView:
    """Return one channel with its rate and its remaining time."""
    ended = row.outcome.completed_at if row.outcome is not None else now
    elapsed_s = (ended - row.started_at).total_seconds() if row.started_at else 0.0
    fraction = fraction_of(row) if row.progress or row.outcome else None
    running = row.status is ChannelJobStatus.IN_PROGRESS
    eta_s = elapsed_s * (1 - fraction) / fraction if running and fraction else None
    return ChannelView(
        channel_id=row.task.channel_id,
        name=row.task.name,
        status=row.status,
        worker_id=row.worker_id,
        messages=row.tally.messages,
        messages_per_second=row.tally.messages / elapsed_s if elapsed_s > 0 else 0.0,
        fraction=fraction,
        eta_s=eta_s,
        retry_count=row.outcome.retry_count if row.outcome else 0,
        failure=row.outcome.failure if row.outcome else None,
    )


def display_rank(row: ChannelRow) -> tuple[int, int]:
    """Return the sort key of a row: channels in flight first, those with most messages first."""
    return _RANK[row.status], -row.tally.messages
