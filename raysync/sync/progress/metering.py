"""Metrics made of states: counters by their growth, gauges by their value.

Reports are cumulative, so one that arrives late or twice changes nothing. A meter in a restarted
tracker counts only what is new to it, because Prometheus adds it to the meter before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from raysync.models.durations import BOUNDS_S, Durations
from raysync.models.events import ApiUsage, JobView, WorkerReport
from raysync.models.ids import JobId
from raysync.models.status import ChannelJobStatus
from raysync.sync.progress import metrics
from raysync.sync.progress.metrics import Metric, MetricSink

Labels = tuple[str, ...]
"""Label values without the first one, the tenant."""
SCOPES = ("user", "shared", "global", "ban")
_ABOVE_S = 2 * BOUNDS_S[-1]
_SKIPPED = "skipped"
_CHANGES = ("added", "edited", "deleted")
_PLAIN = (
    metrics.MESSAGES,
    metrics.PAGES,
    metrics.PERMITS,
    metrics.PERMIT_WAIT,
    metrics.BUCKET_WAIT,
    metrics.DATABASE_TIME,
)


class JobMeter:
    """Metrics of one tenant's job, as its tracker sees it."""

    def __init__(self, tenant: str, sink: MetricSink) -> None:
        self._tenant = tenant
        self._sink = sink
        self._counted: dict[str, ApiUsage] = {}  #: by worker
        for metric in _PLAIN:
            sink.add(metric, 0, (tenant,))
        for scope in SCOPES:
            sink.add(metrics.RATE_LIMITED, 0, (tenant, scope))
        for change in _CHANGES:
            sink.add(metrics.CHANGES, 0, (tenant, change))

    def register(self, report: WorkerReport) -> None:
        """Register a worker; if it reported to an earlier tracker, only its growth counts."""
        if report.worker_id not in self._counted:
            is_new = report.sequence <= 1
            self._counted[report.worker_id] = ApiUsage() if is_new else report.usage

    def update(
        self,
        view: JobView,
        states: Mapping[ChannelJobStatus, int],
        efficiency: float | None,
        usage: Mapping[str, ApiUsage],
    ) -> None:
        """Update the metrics; *usage* is by worker, of those that were registered."""
        growth: defaultdict[tuple[Metric, Labels], float] = defaultdict(float)
        for worker, now in usage.items():
            old = self._counted.get(worker, now)
            self._counted[worker] = now
            for metric, labels, amount in self._growth(old, now):
                growth[metric, labels] += max(amount, 0)
            self._observe(metrics.ANSWER_TIME, old.answers, now.answers)
            self._observe(metrics.PAGE_SAVE_TIME, old.written.took, now.written.took)
        for (metric, labels), amount in growth.items():
            if amount:
                self._sink.add(metric, amount, (self._tenant, *labels))
        self._show(metrics.JOBS_RUNNING, 1)
        self._show(metrics.CHANNELS, view.channels_skipped, _SKIPPED)
        for status in ChannelJobStatus:
            self._show(metrics.CHANNELS, states.get(status, 0), status.value)
        if view.fraction is not None:
            self._show(metrics.PROGRESS, view.fraction)
        if efficiency is not None:
            self._show(metrics.EFFICIENCY, efficiency)

    def close(self) -> None:
        """Set the gauges to 0: the job has ended, and Ray shows last values for a while."""
        for metric in (metrics.JOBS_RUNNING, metrics.PROGRESS, metrics.EFFICIENCY):
            self._show(metric, 0)
        for state in (*(status.value for status in ChannelJobStatus), _SKIPPED):
            self._show(metrics.CHANNELS, 0, state)

    def _show(self, metric: Metric, value: float, *labels: str) -> None:
        self._sink.set(metric, value, (self._tenant, *labels))

    def _growth(self, old: ApiUsage, new: ApiUsage) -> Iterator[tuple[Metric, Labels, float]]:
        """Yield the growth of each counter of one worker."""
        before, after = old.written, new.written
        yield metrics.MESSAGES, (), after.messages - before.messages
        yield metrics.PAGES, (), after.pages - before.pages
        for change in _CHANGES:
            yield metrics.CHANGES, (change,), getattr(after, change) - getattr(before, change)
        yield metrics.PERMITS, (), new.permits - old.permits
        yield metrics.PERMIT_WAIT, (), new.permit_wait_s - old.permit_wait_s
        yield metrics.BUCKET_WAIT, (), new.bucket_wait_s - old.bucket_wait_s
        yield metrics.DATABASE_TIME, (), new.store_s - old.store_s
        for call, count in new.calls.items():
            route, _, outcome = call.rpartition(" ")
            yield metrics.API_CALLS, (route, outcome), count - old.calls.get(call, 0)
        for scope, hits in new.rate_limit_hits.items():
            known = scope if scope in SCOPES else "other"
            yield metrics.RATE_LIMITED, (known,), hits - old.rate_limit_hits.get(scope, 0)

    def _observe(self, metric: Metric, old: Durations, new: Durations) -> None:
        for bound_s, times in zip((*BOUNDS_S, _ABOVE_S), new.since(old), strict=False):
            if times:
                self._sink.observe(metric, bound_s, times)


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """Figures of the worker pool at one moment."""

    wanted: int  #: workers that the present work needs, within the limits
    starting: int
    running: int
    lost: int  #: since the run began
    waiting: Mapping[JobId, int]  #: channels that wait for a slot, by job


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """Figures of one tenant's job, as its driver sees it."""

    waiting: int  #: channels that wait for a slot
    given_up: int  #: channels, since the job began
    tracker_restarts: int  #: since the job began


@dataclass(slots=True)
class RunMeter:
    """Metrics of a run, as its driver sees it."""

    sink: MetricSink
    _lost: int = 0
    _known: dict[str, TenantFigures] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sink.add(metrics.WORKERS_LOST, 0)

    def update(self, pool: PoolFigures, tenants: Mapping[str, TenantFigures]) -> None:
        """Update the metrics; a tenant that is missing has ended."""
        self._show_workers(pool.wanted, pool.starting, pool.running)
        if pool.lost > self._lost:
            self.sink.add(metrics.WORKERS_LOST, pool.lost - self._lost)
            self._lost = pool.lost
        for tenant, now in tenants.items():
            self._update_tenant(tenant, now)
        for tenant in self._known.keys() - tenants.keys():
            self.sink.set(metrics.WAITING, 0, (tenant,))
            del self._known[tenant]

    def close(self) -> None:
        """Set the gauges to 0."""
        self._show_workers(0, 0, 0)
        for tenant in self._known:
            self.sink.set(metrics.WAITING, 0, (tenant,))

    def _update_tenant(self, tenant: str, now: TenantFigures) -> None:
        old = self._known.get(tenant)
        is_new, labels = old is None, (tenant,)
        old = old or TenantFigures(0, 0, 0)
        self._known[tenant] = now
        self.sink.set(metrics.WAITING, now.waiting, labels)
        for metric, before, after in (
            (metrics.DEAD_LETTERS, old.given_up, now.given_up),
            (metrics.TRACKER_RESTARTS, old.tracker_restarts, now.tracker_restarts),
        ):
            if is_new or after > before:
                self.sink.add(metric, after - before, labels)

    def _show_workers(self, wanted: int, starting: int, running: int) -> None:
        states = {"wanted": wanted, "starting": starting, "running": running}
        for state, count in states.items():
            self.sink.set(metrics.WORKERS, count, (state,))
