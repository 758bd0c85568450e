"""Figures of a job's report: duration, bound, and the causes of the time beyond the bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from raysync.cli.progress.channel_counts import ChannelCounts, counts_of_result, counts_of_view
from raysync.cli.progress.status_view import seems_dead
from raysync.models.events import ApiUsage
from raysync.models.history import ChannelHistory, JobHistory
from raysync.models.results import ParallelStats, Verification
from raysync.models.status import JobStatus, SyncType

FULL_SHARE = 0.9
"""Minimum share of the budget that a full second uses; the same for `tail_s`."""
_SHOWN_AS = {
    "begun late": "largest channel started late",
    "pauses": "pauses of the largest channel",
    "others after it": "other channels afterwards",
    "rise": "unused at the start",
    "between": "unused in between",
    "tail": "unused at the end",
    "not told": "unknown",
}
"""Labels for people where the JSON label is unclear: `tail_s` is a duration, not a cost."""
_ROUNDED_S = 0.01
_SHOWN_S = 0.05
_PAGE = "GET /channels/{channel_id}/messages 200"


class Bound(StrEnum):
    """Limit of Discord that bounds a run."""

    BUDGET = "budget"  #: the token's budget, shared by all requests
    CHANNEL = "channel"  #: one page a second in the largest channel


@dataclass(frozen=True, slots=True)
class Cost:
    """Part of a run's time beyond its bound."""

    label: str  #: as in `report --json`
    seconds: float
    why: str

    @property
    def shown(self) -> str:
        """Label for people."""
        return _SHOWN_AS.get(self.label, self.label)


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Distance of a run from its bound. Times in seconds."""

    share: float
    ideal_s: float
    actual_s: float  #: from the first request to the last
    bound: Bound
    largest: ChannelHistory | None  #: the channel with the most requests
    costs: tuple[Cost, ...]
    """Their sum is `actual_s` less `ideal_s`, except for costs too small to show."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Waiting times in seconds, summed over channels that wait in parallel."""

    permit_s: float
    bucket_s: float
    database_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Main figures of a job."""

    status: str  #: "silent": recorded as running, but without a recent heartbeat
    is_over: bool
    sync_type: SyncType
    listened_since: datetime | None  #: a tail heard everything since: nothing older was compared
    began_at: datetime  #: start of its last run
    seen_at: datetime  #: its end, or its last heartbeat
    is_resumed: bool
    is_cut_short: bool  #: ended without a result
    messages: int
    pages: int | None  #: answered requests for pages; None: unknown
    requests: int
    rate_limit_encounters: int
    budget_per_second: float | None  #: None: the job has written no view
    startup_s: float | None  #: from its start to its first request
    tail_s: float | None
    efficiency: Efficiency | None
    waits: Waits
    channels: int  #: channels to read
    completed: int
    failed: int
    unchanged: int | None  #: None until the job ends
    skipped: int
    counts: ChannelCounts  #: all channels found, by result
    verification: Verification | None  #: None: not a verification, or not finished

    @property
    def is_verification(self) -> bool:
        """True for a job that compares the archive with Discord instead of reading it."""
        return self.sync_type is SyncType.VERIFY

    @property
    def took_s(self) -> float:
        """Seconds from its start to its end, or to its last heartbeat."""
        return max((self.seen_at - self.began_at).total_seconds(), 0.0)


def figures_of(history: JobHistory, now: datetime) -> Figures:
    """Compute a job's figures from all that is known. *now* dates its last heartbeat."""
    record, view, result = history.record, history.record.view, history.record.result
    is_over = record.status is not JobStatus.RUNNING
    began_at = view.started_at if view else record.started_at
    calls = _calls(history.usage)
    stats = result.parallel_stats if result else None
    spent = stats.time_spent if stats else None
    return Figures(
        status="silent" if seems_dead(record) else record.status.value,
        is_over=is_over,
        sync_type=record.window.sync_type,
        listened_since=record.window.listened_since,
        began_at=began_at,
        seen_at=_seen_at(history) or now - timedelta(seconds=max(record.heartbeat_age_s, 0.0)),
        is_cut_short=is_over and result is None and bool(history.samples),
        is_resumed=(began_at - record.started_at).total_seconds() > 60,
        messages=result.messages_processed if result else view.messages if view else 0,
        pages=calls[_PAGE] if calls else None,
        requests=stats.total_api_calls if stats else view.requests if view else 0,
        rate_limit_encounters=_hits(history, stats),
        budget_per_second=view.budget_per_second if view else None,
        startup_s=spent.startup_s if spent else _startup_s(history.usage, began_at),
        tail_s=spent.tail_s if spent else None,
        efficiency=_efficiency(history, stats),
        waits=_waits(history.usage.values()),
        channels=view.channels_total if view else len(history.channels),
        completed=view.channels_completed if view else 0,
        failed=view.channels_failed if view else 0,
        unchanged=result.channels_unchanged if result else None,
        skipped=len(result.skipped) if result else view.channels_skipped if view else 0,
        counts=_counts(history, is_over=is_over),
        verification=result.verification if result else None,
    )


def _counts(history: JobHistory, *, is_over: bool) -> ChannelCounts:
    record = history.record
    if record.result is not None:
        return counts_of_result(record.result)
    if record.view is not None:
        return counts_of_view(record.view, is_running=not is_over)
    left = len(history.channels)
    return ChannelCounts(not_finished=left) if is_over else ChannelCounts(to_go=left)


def _seen_at(history: JobHistory) -> datetime | None:
    """Return when a job ended; None while it runs.

    A job whose process was killed is marked as ended hours later, so its last sample is closer.
    """
    record = history.record
    if record.completed_at is None or record.result is not None or not history.samples:
        return record.completed_at
    return min(history.samples[-1].taken_at, record.completed_at)


def routes(usage: Mapping[str, ApiUsage]) -> list[tuple[str, int]]:
    """Count the responses by ``"METHOD /route status"``, the most frequent first."""
    return _calls(usage).most_common()


def _calls(usage: Mapping[str, ApiUsage]) -> Counter[str]:
    calls: Counter[str] = Counter()
    for worker in usage.values():
        calls.update(worker.calls)
    return calls


def _hits(history: JobHistory, stats: ParallelStats | None) -> int:
    if stats is not None:
        return stats.rate_limit_encounters
    return history.record.view.rate_limit_encounters if history.record.view else 0


def _startup_s(usage: Mapping[str, ApiUsage], began_at: datetime) -> float | None:
    first = [worker.first_request_at for worker in usage.values() if worker.first_request_at]
    return max((min(first) - began_at).total_seconds(), 0.0) if first else None


def _waits(usage: Collection[ApiUsage]) -> Waits:
    return Waits(
        permit_s=sum(worker.permit_wait_s for worker in usage),
        bucket_s=sum(worker.bucket_wait_s for worker in usage),
        database_s=sum(worker.store_s for worker in usage),
    )


def largest_of(channels: Sequence[ChannelHistory]) -> ChannelHistory | None:
    """Return the channel that took the most requests."""
    return max(channels, key=lambda channel: channel.requests, default=None)


def _efficiency(history: JobHistory, stats: ParallelStats | None) -> Efficiency | None:
    view = history.record.view
    if stats is None or stats.efficiency is None or view is None:
        return None
    by_token_s = max(stats.total_api_calls - 1, 0) / view.budget_per_second
    largest = largest_of(history.channels)
    is_by_channel = largest is not None and stats.ideal_s > by_token_s + _ROUNDED_S
    lost_s = max(stats.actual_s - stats.ideal_s, 0.0)
    if is_by_channel and largest is not None:
        costs = _costs_of_channel(history, largest, lost_s)
    else:
        costs = _costs_of_token(stats, view.budget_per_second, lost_s)
    return Efficiency(
        share=stats.efficiency,
        ideal_s=stats.ideal_s,
        actual_s=stats.actual_s,
        bound=Bound.CHANNEL if is_by_channel else Bound.BUDGET,
        largest=largest,
        costs=tuple(cost for cost in costs if cost.seconds >= _SHOWN_S),
    )


def _costs_of_channel(history: JobHistory, largest: ChannelHistory, lost_s: float) -> list[Cost]:
    """Return the time before, between and after the largest channel's requests."""
    first = [u.first_request_at for u in history.usage.values() if u.first_request_at]
    last = [u.last_request_at for u in history.usage.values() if u.last_request_at]
    if not first or not last or largest.started_at is None:
        return [Cost("not told", lost_s, "the times of the largest channel are not stored")]
    ended_at = largest.completed_at or max(last)
    before_s = min(max((largest.started_at - min(first)).total_seconds(), 0.0), lost_s)
    after_s = min(max((max(last) - ended_at).total_seconds(), 0.0), lost_s - before_s)
    return [
        Cost("begun late", before_s, "from the first request to the start of the largest channel"),
        Cost(
            "pauses",
            lost_s - before_s - after_s,
            "pauses of the largest channel beyond its rate limit",
        ),
        Cost("others after it", after_s, "from the largest channel's end to the last request"),
    ]


def _costs_of_token(stats: ParallelStats, budget_per_second: float, lost_s: float) -> list[Cost]:
    """Return the unused budget before, between and after the full seconds."""
    series = stats.time_spent.requests if stats.time_spent else None
    if series is None:
        return [Cost("not told", lost_s, "the version that ran the job stored no request times")]
    whole = budget_per_second * series.bin_s
    full = [at for at, count in enumerate(series.requests) if count >= FULL_SHARE * whole]
    if not full:
        return [Cost("never full", lost_s, "no second used nine tenths of the budget")]
    unused_s = [(1 - min(count / whole, 1.0)) * series.bin_s for count in series.requests]
    rise_s = min(sum(unused_s[: full[0]]), lost_s)
    tail_s = min(sum(unused_s[full[-1] + 1 :]), lost_s - rise_s)
    return [
        Cost("rise", rise_s, "budget unused before the first full second"),
        Cost("between", lost_s - rise_s - tail_s, "budget unused between full seconds"),
        Cost("tail", tail_s, "budget unused after the last full second"),
    ]
