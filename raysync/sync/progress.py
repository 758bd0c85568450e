"""Folds what workers stream into the state of a job.

The board is a cache: all that must survive is in the database, written with the pages or by the
store's rows. Folding is idempotent: reports are cumulative and numbered, outcomes replace.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from raysync.clock import Clock
from raysync.models.events import (
    ApiUsage,
    ChannelProgress,
    ChannelRow,
    ChannelView,
    JobView,
    WorkerReport,
)
from raysync.models.extras import Extras, ExtraTally
from raysync.models.ids import ChannelId, JobId
from raysync.models.samples import JobSample, slot_s
from raysync.models.status import ChannelJobStatus, JobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTask, LeftOut, Skipped
from raysync.sync.efficiency import efficiency, ideal_s
from raysync.sync.work_left import Work, fraction_of

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
    extras: Extras = field(default_factory=Extras)  #: what is read beside messages


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


@dataclass
class _Totals:
    """What all rows come to, kept up with each change: a view must not cost what there is."""

    messages: int = 0
    states: Counter[ChannelJobStatus] = field(default_factory=Counter)
    most_requests: int = 0  #: of one channel; it only grows
    work: Work = field(default_factory=Work)
    extras: ExtraTally = field(default_factory=ExtraTally)

    def add(self, row: ChannelRow, sign: int = 1) -> None:
        """Count a row, or with -1 no more."""
        tally = row.tally
        self.messages += sign * tally.messages
        self.states[row.status] += sign
        self.most_requests = max(self.most_requests, tally.requests)
        self.work.add(row, sign)
        self.extras += tally.extras if sign > 0 else -tally.extras


class ProgressBoard:
    """The state of one job."""

    def __init__(self, header: JobHeader, clock: Clock) -> None:
        self._header = header
        self._clock = clock
        self._rows: dict[ChannelId, ChannelRow] = {}
        self._running: set[ChannelId] = set()
        self._longest_waiting: list[tuple[float, ChannelId]] = []
        self._longest_ends_at = clock.now()  # the channel that takes longest, when last looked at
        self._totals = _Totals()
        self._left_out: dict[LeftOut, set[ChannelId]] = {kind: set() for kind in LeftOut}
        self._usage: dict[str, tuple[int, ApiUsage]] = {}
        self._changed: set[ChannelId] = set()
        self._rate = _Rate()
        self._planning = True

    def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        """Add channels; those known already stay as they are."""
        for task in tasks:
            if task.channel_id not in self._rows:
                self._put(ChannelRow(task))
        for each in skipped:
            self._left_out[each.kind].add(each.channel_id)

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
        self._put(
            replace(
                row,
                status=ChannelJobStatus.IN_PROGRESS,
                attempt=progress.attempt,
                worker_id=progress.worker_id,
                started_at=progress.started_at,
                progress=progress,
            )
        )

    def settle(self, outcome: ChannelOutcome) -> None:
        """Record how a channel's attempt ended."""
        row = self._rows.get(outcome.channel_id)
        if row is None or outcome.attempt < row.attempt:
            return
        self._put(
            replace(
                row,
                status=outcome.status,
                attempt=outcome.attempt,
                worker_id=outcome.worker_id,
                started_at=outcome.started_at,
                outcome=outcome,
            )
        )

    def _put(self, row: ChannelRow) -> None:
        channel_id = row.task.channel_id
        known = self._rows.get(channel_id)
        if known is not None:
            self._totals.add(known, -1)
        self._totals.add(row)
        self._rows[channel_id] = row
        self._changed.add(channel_id)
        if row.status is ChannelJobStatus.IN_PROGRESS:
            self._running.add(channel_id)
        else:
            self._running.discard(channel_id)
        if row.status is ChannelJobStatus.PENDING:
            heapq.heappush(self._longest_waiting, (-_pages_left(row), channel_id))

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

    def states(self) -> dict[ChannelJobStatus, int]:
        """How many channels are in which state."""
        return +self._totals.states

    def efficiency(self) -> float | None:
        """How near the job has come so far to what Discord's limits allow."""
        usage = self.usage().values()
        requests = sum(sum(each.calls.values()) for each in usage)
        ideal = ideal_s(requests, (self._totals.most_requests,), self._header)
        first = min(
            (each.first_request_at for each in usage if each.first_request_at), default=None
        )
        return efficiency(ideal, first, self._clock.now())

    def view(self, busiest: int) -> JobView:
        """The job now. Call it about once a second: rates are measured between calls."""
        now, totals = self._clock.now(), self._totals
        requests = sum(sum(each.calls.values()) for each in self.usage().values())
        self._rate.add(self._clock.monotonic_s(), totals.messages, requests)
        messages_per_second, requests_per_second = self._rate.per_second()
        if busiest:  # a view that nobody looks at is written each second, and costs no look at all
            self._longest_ends_at = now + timedelta(seconds=self._longest_left_s(now))
        fraction, eta_s = self._outlook(now)
        return JobView(
            job_id=self._header.job_id,
            tenant=self._header.tenant,
            status=JobStatus.RUNNING,
            sync_type=self._header.sync_type,
            started_at=self._header.started_at,
            heartbeat_at=now,
            completed_at=None,
            planning=self._planning,
            channels_total=len(self._rows),
            channels_completed=totals.states[ChannelJobStatus.COMPLETED],
            channels_failed=totals.states[ChannelJobStatus.FAILED],
            channels_skipped=len(self._left_out[LeftOut.SKIPPED]),
            channels_unchanged=len(self._left_out[LeftOut.UNCHANGED]),
            channels_cooling=len(self._left_out[LeftOut.COOLING]),
            messages=totals.messages,
            requests=requests,
            rate_limit_encounters=sum(
                sum(each.rate_limit_hits.values()) for each in self.usage().values()
            ),
            messages_per_second=messages_per_second,
            requests_per_second=requests_per_second,
            budget_per_second=self._header.budget_per_second,
            fraction=fraction,
            eta_s=eta_s,
            channels=tuple(channel_view(row, now) for row in self._busiest(busiest)),
            extras=totals.extras,
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

    def _busiest(self, count: int) -> list[ChannelRow]:
        return heapq.nsmallest(count, self._rows.values(), _interest) if count else []

    def _outlook(self, now: datetime) -> tuple[float | None, float | None]:
        """How much is done, by expected requests, and for how long the rest will take."""
        fraction = self._totals.work.fraction(self._header.extras)
        if fraction is None:
            return None, None
        elapsed_s = (now - self._header.started_at).total_seconds()
        if fraction <= 0.01 or self._planning:
            return fraction, None
        longest_s = (self._longest_ends_at - now).total_seconds()
        states = self._totals.states
        if not (states[ChannelJobStatus.PENDING] or states[ChannelJobStatus.IN_PROGRESS]):
            longest_s = 0.0
        return fraction, max(elapsed_s * (1 - fraction) / fraction, longest_s)

    def _longest_left_s(self, now: datetime) -> float:
        """For how long the one channel will take that takes longest: no other speeds it up."""
        waiting = self._longest_waiting
        while waiting and not self._waits(*waiting[0]):
            heapq.heappop(waiting)
        pages_per_second = self._header.channel_pages_per_second
        waiting_s = -waiting[0][0] / pages_per_second if waiting else 0.0
        running = (self._rows[each] for each in self._running)
        return max(waiting_s, *(_left_s(row, now, pages_per_second) for row in running), 0.0)

    def _waits(self, minus_pages: float, channel_id: ChannelId) -> bool:
        row = self._rows[channel_id]
        return row.status is ChannelJobStatus.PENDING and -minus_pages == _pages_left(row)


def _pages_left(row: ChannelRow) -> float:
    return row.task.expected_pages * (1 - fraction_of(row))


def _left_s(row: ChannelRow, now: datetime, pages_per_second: float) -> float:
    """By how fast the channel went so far, or before it has come anywhere, by its own limit."""
    eta_s = channel_view(row, now).eta_s
    return _pages_left(row) / pages_per_second if eta_s is None else eta_s


def channel_view(row: ChannelRow, now: datetime) -> ChannelView:
    """One channel, as shown to people."""
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


_INTEREST = {
    ChannelJobStatus.IN_PROGRESS: 0,
    ChannelJobStatus.FAILED: 1,
    ChannelJobStatus.PENDING: 2,
    ChannelJobStatus.COMPLETED: 3,
}


def _interest(row: ChannelRow) -> tuple[int, int]:
    """The least first: what is under way, and of that what has brought most."""
    return _INTEREST[row.status], -row.tally.messages
