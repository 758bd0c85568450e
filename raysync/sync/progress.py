"""Folds what workers stream into the state of a job.

The board is a cache: all that must survive is in the database, written with the pages or by the
store's rows. Folding is idempotent: reports are cumulative and numbered, outcomes replace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from raysync.models.events import (
    ApiUsage,
    ChannelProgress,
    ChannelRow,
    ChannelView,
    JobView,
    WorkerReport,
)
from raysync.models.extras import ExtraTally
from raysync.models.ids import ChannelId, JobId
from raysync.models.samples import JobSample, slot_s
from raysync.models.status import ChannelJobStatus, JobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTask, Skipped
from raysync.sync.ports import Moments

RATE_WINDOW_S = 5.0
"""Rates are over the last seconds, so that a stall shows."""


@dataclass(frozen=True, slots=True)
class JobHeader:
    """What a job is, before anything happened in it."""

    job_id: JobId
    tenant: str
    sync_type: SyncType
    started_at: datetime
    budget_per_second: float
    channel_pages_per_second: float = 1.0


@dataclass
class _Rate:
    """The growth per second of two counters over the last seconds."""

    samples: deque[tuple[float, int, int]] = field(default_factory=deque)

    def add(self, now_s: float, messages: int, requests: int) -> None:
        self.samples.append((now_s, messages, requests))
        while len(self.samples) > 2 and self.samples[1][0] <= now_s - RATE_WINDOW_S:
            self.samples.popleft()

    def per_second(self) -> tuple[float, float]:
        if len(self.samples) < 2:
            return 0.0, 0.0
        (then_s, messages_then, requests_then), (now_s, messages, requests) = (
            self.samples[0],
            self.samples[-1],
        )
        elapsed_s = max(now_s - then_s, 1e-3)
        return (messages - messages_then) / elapsed_s, (requests - requests_then) / elapsed_s


class ProgressBoard:
    """The state of one job."""

    def __init__(self, header: JobHeader, clock: Moments) -> None:
        self._header = header
        self._clock = clock
        self._rows: dict[ChannelId, ChannelRow] = {}
        self._skipped: dict[ChannelId, Skipped] = {}
        self._usage: dict[str, tuple[int, ApiUsage]] = {}
        self._changed: set[ChannelId] = set()
        self._rate = _Rate()
        self._planning = True

    def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        """Add channels; those known already stay as they are."""
        for task in tasks:
            if task.channel_id not in self._rows:
                self._rows[task.channel_id] = ChannelRow(task)
                self._changed.add(task.channel_id)
        self._skipped.update({each.channel_id: each for each in skipped})

    def planned(self) -> None:
        """No more channels will come."""
        self._planning = False

    def report(self, report: WorkerReport) -> None:
        """Fold a worker's report; an older one than the last is ignored."""
        known, _ = self._usage.get(report.worker_id, (-1, None))
        if report.sequence <= known:
            return
        self._usage[report.worker_id] = (report.sequence, report.usage)
        for each in report.channels:
            self._advance(each)

    def _advance(self, progress: ChannelProgress) -> None:
        row = self._rows.get(progress.channel_id)
        if row is None or row.outcome is not None or progress.attempt < row.attempt:
            return
        self._rows[progress.channel_id] = replace(
            row,
            status=ChannelJobStatus.IN_PROGRESS,
            attempt=progress.attempt,
            worker_id=progress.worker_id,
            started_at=progress.started_at,
            progress=progress,
        )
        self._changed.add(progress.channel_id)

    def settle(self, outcome: ChannelOutcome) -> None:
        """Record how a channel's attempt ended."""
        row = self._rows.get(outcome.channel_id)
        if row is None or outcome.attempt < row.attempt:
            return
        self._rows[outcome.channel_id] = replace(
            row,
            status=outcome.status,
            attempt=outcome.attempt,
            worker_id=outcome.worker_id,
            started_at=outcome.started_at,
            outcome=outcome,
        )
        self._changed.add(outcome.channel_id)

    def take_changed(self) -> tuple[ChannelRow, ...]:
        """The rows that changed since the last call."""
        changed, self._changed = self._changed, set()
        return tuple(self._rows[each] for each in changed)

    def put_back(self, rows: Iterable[ChannelRow]) -> None:
        """Rows that could not be stored count as changed again."""
        self._changed.update(row.task.channel_id for row in rows)

    def usage(self) -> dict[str, ApiUsage]:
        """What each worker has asked of Discord for this job."""
        return {worker: usage for worker, (_, usage) in self._usage.items()}

    def under_way(self) -> dict[ChannelId, ChannelProgress]:
        """Where the channels stand that were begun and have not ended."""
        return {
            channel_id: row.progress
            for channel_id, row in self._rows.items()
            if row.outcome is None and row.progress is not None
        }

    def view(self, busiest: int) -> JobView:
        """The job now. Call it about once a second: rates are measured between calls."""
        now = self._clock.now()
        rows = list(self._rows.values())
        messages = sum(row.tally.messages for row in rows)
        requests = sum(sum(each.calls.values()) for each in self.usage().values())
        self._rate.add(self._clock.monotonic_s(), messages, requests)
        messages_per_second, requests_per_second = self._rate.per_second()
        fraction, eta_s = self._outlook(rows, now)
        return JobView(
            job_id=self._header.job_id,
            tenant=self._header.tenant,
            status=JobStatus.RUNNING,
            sync_type=self._header.sync_type,
            started_at=self._header.started_at,
            heartbeat_at=now,
            completed_at=None,
            planning=self._planning,
            channels_total=len(rows),
            channels_completed=_count(rows, ChannelJobStatus.COMPLETED),
            channels_failed=_count(rows, ChannelJobStatus.FAILED),
            channels_skipped=len(self._skipped),
            messages=messages,
            requests=requests,
            rate_limit_encounters=sum(
                sum(each.rate_limit_hits.values()) for each in self.usage().values()
            ),
            messages_per_second=messages_per_second,
            requests_per_second=requests_per_second,
            budget_per_second=self._header.budget_per_second,
            fraction=fraction,
            eta_s=eta_s,
            channels=tuple(channel_view(row, now) for row in _by_interest(rows)[:busiest]),
            extras=sum((row.tally.extras for row in rows), ExtraTally()),
        )

    def sample(self, view: JobView) -> JobSample:
        """How far the job had come at the moment of *view*."""
        elapsed_s = (view.heartbeat_at - self._header.started_at).total_seconds()
        return JobSample(
            slot_s=slot_s(elapsed_s),
            taken_at=view.heartbeat_at,
            messages=view.messages,
            requests=view.requests,
            rate_limit_encounters=view.rate_limit_encounters,
        )

    def _outlook(
        self, rows: Sequence[ChannelRow], now: datetime
    ) -> tuple[float | None, float | None]:
        """How much is done, by expected pages, and for how long the rest will take."""
        expected = sum(row.task.expected_pages for row in rows)
        if not expected:
            return None, None
        done = sum(row.task.expected_pages * _fraction(row) for row in rows)
        fraction = min(done / expected, 1.0)
        elapsed_s = (now - self._header.started_at).total_seconds()
        if fraction <= 0.01 or self._planning:
            return fraction, None
        return fraction, elapsed_s * (1 - fraction) / fraction


def channel_view(row: ChannelRow, now: datetime) -> ChannelView:
    """One channel, as shown to people."""
    ended = row.outcome.completed_at if row.outcome is not None else now
    elapsed_s = (ended - row.started_at).total_seconds() if row.started_at else 0.0
    fraction = _fraction(row) if row.progress or row.outcome else None
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


def _fraction(row: ChannelRow) -> float:
    if row.status in (ChannelJobStatus.COMPLETED, ChannelJobStatus.FAILED):
        return 1.0
    if row.progress is None or row.progress.fraction is None:
        return 0.0
    return row.progress.fraction


def _count(rows: Iterable[ChannelRow], status: ChannelJobStatus) -> int:
    return sum(1 for row in rows if row.status is status)


_INTEREST = {
    ChannelJobStatus.IN_PROGRESS: 0,
    ChannelJobStatus.FAILED: 1,
    ChannelJobStatus.PENDING: 2,
    ChannelJobStatus.COMPLETED: 3,
}


def _by_interest(rows: Iterable[ChannelRow]) -> list[ChannelRow]:
    return sorted(rows, key=lambda row: (_INTEREST[row.status], -row.tally.messages))
