"""State of a job, folded from what its workers report.

The board is a cache: everything that must survive is in the database, written with the pages or in
the store's rows. Folding is idempotent: reports are cumulative and numbered, outcomes replace.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from raysync.clock import Clock
from raysync.models.events import (
    ApiUsage,
    ChannelProgress,
    ChannelRow,
    JobHeader,
    JobView,
    WorkerReport,
)
from raysync.models.extras import ExtraTally
from raysync.models.ids import ChannelId
from raysync.models.samples import JobSample, slot_s
from raysync.models.status import ChannelJobStatus, JobStatus
from raysync.models.work import ChannelOutcome, ChannelTask, LeftOut, Skipped
from raysync.sync.progress.channel_view import channel_view, display_rank
from raysync.sync.progress.efficiency import efficiency, ideal_s
from raysync.sync.progress.outlook import SlowestChannel, eta_s
from raysync.sync.progress.work_left import WorkLeft

RATE_WINDOW_S = 5.0
"""Window of the rates, in seconds: short, so that a stall shows."""


@dataclass
class _Rate:
    """Growth per second of two counters, over the last `RATE_WINDOW_S` seconds."""

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
    """Sums over all rows, updated with each change, so that a view needs no scan."""

    messages: int = 0
    states: Counter[ChannelJobStatus] = field(default_factory=Counter)
    most_requests: int = 0  #: of the largest channel; it only grows
    work: WorkLeft = field(default_factory=WorkLeft)
    extras: ExtraTally = field(default_factory=ExtraTally)

    def add(self, row: ChannelRow, sign: int = 1) -> None:
        """Add a row, or remove it with a *sign* of -1."""
        tally = row.tally
        self.messages += sign * tally.messages
        self.states[row.status] += sign
        self.most_requests = max(self.most_requests, tally.requests)
        self.work.add(row, sign)
        self.extras += tally.extras if sign > 0 else -tally.extras


class ProgressBoard:
    """Live state of one job."""

    def __init__(self, header: JobHeader, clock: Clock) -> None:
        self._header = header
        self._clock = clock
        self._rows: dict[ChannelId, ChannelRow] = {}
        self._running: set[ChannelId] = set()
        pages_per_second = header.channel_pages_per_second
        self._slowest = SlowestChannel(self._rows, pages_per_second, clock.now())
        self._totals = _Totals()
        self._left_out: dict[LeftOut, set[ChannelId]] = {kind: set() for kind in LeftOut}
        self._usage: dict[str, tuple[int, ApiUsage]] = {}
        self._changed: set[ChannelId] = set()
        self._rate = _Rate()
        self._planning = True

    def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        """Add channels; those that are known stay unchanged."""
        for task in tasks:
            if task.channel_id not in self._rows:
                self._put(ChannelRow(task))
        for channel in skipped:
            self._left_out[channel.kind].add(channel.channel_id)

    def planned(self) -> None:
        """Note that no more channels will be planned."""
        self._planning = False

    def report(self, report: WorkerReport) -> None:
        """Fold a worker's report; ignore one that is older than the last."""
        known, _ = self._usage.get(report.worker_id, (-1, None))
        if report.sequence <= known:
            return
        self._usage[report.worker_id] = (report.sequence, report.usage)
        for progress in report.channels:
            self._advance(progress)

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
        """Record how an attempt at a channel ended."""
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
            self._slowest.add_waiting(row)

    def take_changed(self) -> tuple[ChannelRow, ...]:
        """Return the rows that changed since the last call."""
        changed, self._changed = self._changed, set()
        return tuple(self._rows[channel_id] for channel_id in changed)

    def put_back(self, rows: Iterable[ChannelRow]) -> None:
        """Mark rows that could not be stored as changed again."""
        self._changed.update(row.task.channel_id for row in rows)

    def usage(self) -> dict[str, ApiUsage]:
        """Return the requests of each worker for this job, by worker id."""
        return {worker: usage for worker, (_, usage) in self._usage.items()}

    def under_way(self) -> dict[ChannelId, ChannelProgress]:
        """Return the progress of the channels that have begun and not ended."""
        return {
            channel_id: row.progress
            for channel_id, row in self._rows.items()
            if row.outcome is None and row.progress is not None
        }

    def states(self) -> dict[ChannelJobStatus, int]:
        """Return the number of channels in each state, without empty states."""
        return +self._totals.states

    def efficiency(self) -> float | None:
        """Return the ideal time of the requests so far over the time they took."""
        usage = self.usage().values()
        requests = sum(sum(client.calls.values()) for client in usage)
        ideal = ideal_s(requests, (self._totals.most_requests,), self._header)
        first = min(
            (client.first_request_at for client in usage if client.first_request_at), default=None
        )
        return efficiency(ideal, first, self._clock.now())

    def view(self, busiest: int) -> JobView:
        """Return the job as it is now, with its *busiest* channels first.

        Call it about once a second: rates are measured between calls.
        """
        now, totals = self._clock.now(), self._totals
        requests = sum(sum(client.calls.values()) for client in self.usage().values())
        self._rate.add(self._clock.monotonic_s(), totals.messages, requests)
        messages_per_second, requests_per_second = self._rate.per_second()
        if busiest:  # skip the scan for the heartbeat view, which is written once a second
            self._slowest.scan(self._running, now)
        fraction, left_s = self._outlook(now)
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
                sum(client.rate_limit_hits.values()) for client in self.usage().values()
            ),
            messages_per_second=messages_per_second,
            requests_per_second=requests_per_second,
            budget_per_second=self._header.budget_per_second,
            fraction=fraction,
            eta_s=left_s,
            channels=tuple(channel_view(row, now) for row in self._busiest(busiest)),
            extras=totals.extras,
        )

    def sample(self, view: JobView) -> JobSample:
        """Return the sample of the moment of *view*."""
        elapsed_s = (view.heartbeat_at - self._header.started_at).total_seconds()
        return JobSample(
            slot_s=slot_s(elapsed_s),
            taken_at=view.heartbeat_at,
            messages=view.messages,
            requests=view.requests,
            rate_limit_encounters=view.rate_limit_encounters,
        )

    def _busiest(self, count: int) -> list[ChannelRow]:
        return heapq.nsmallest(count, self._rows.values(), display_rank) if count else []

    def _outlook(self, now: datetime) -> tuple[float | None, float | None]:
        """Return the share of expected requests done, and the remaining seconds."""
        fraction = self._totals.work.fraction(self._header.extras)
        if fraction is None or self._planning:
            return fraction, None
        slowest_s = (self._slowest.ends_at - now).total_seconds()
        states = self._totals.states
        if not (states[ChannelJobStatus.PENDING] or states[ChannelJobStatus.IN_PROGRESS]):
            slowest_s = 0.0
        elapsed_s = (now - self._header.started_at).total_seconds()
        return fraction, eta_s(fraction, elapsed_s, slowest_s)
