"""What a job's report says in figures: how long, against which bound, and what cost the rest."""

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
from raysync.models.results import ParallelStats
from raysync.models.status import JobStatus, SyncType

FULL_SHARE = 0.9
"""Of the budget: a stretch that used less of it is not a full one. As `tail_s` has it."""
_SHOWN_AS = {"tail": "unused at the end"}
"""Labels of costs that would be another thing's name in prose: `tail_s` is a length of time."""
_ROUNDED_S = 0.01
_SHOWN_S = 0.05
_PAGE = "GET /channels/{channel_id}/messages 200"


class Bound(StrEnum):
    """Which of Discord's limits a run could not beat."""

    BUDGET = "budget"  #: all requests together, at the token's budget
    CHANNEL = "channel"  #: the largest channel, at one page a second


@dataclass(frozen=True, slots=True)
class Cost:
    """A part of a run's time that its bound did not ask for."""

    label: str  #: as `report --json` has it
    seconds: float
    why: str

    @property
    def shown(self) -> str:
        """The label as people read it."""
        return _SHOWN_AS.get(self.label, self.label)


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How near a run came to its bound. Times in seconds."""

    share: float
    ideal_s: float
    actual_s: float  #: from the first request to the last
    bound: Bound
    largest: ChannelHistory | None  #: the channel with the most requests
    costs: tuple[
        Cost, ...
    ]  #: they add up to `actual_s` less `ideal_s`, but for what is too little to show


@dataclass(frozen=True, slots=True)
class Waits:
    """What was waited for, in seconds, summed over channels that wait side by side."""

    permit_s: float
    bucket_s: float
    database_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The main figures of a job."""

    status: str  #: "silent": it counts as running, and nobody has said so for long
    is_over: bool
    sync_type: SyncType
    began_at: datetime  #: of its last run
    seen_at: datetime  #: its end, or its last sign of life
    is_resumed: bool
    is_cut_short: bool  #: it ended without a result
    messages: int
    pages: int | None  #: answers to requests for pages; None: nothing told
    requests: int
    rate_limit_encounters: int
    budget_per_second: float | None  #: None: nothing was ever written of the job
    startup_s: float | None  #: from its beginning to its first request
    tail_s: float | None
    efficiency: Efficiency | None
    waits: Waits
    channels: int  #: that were to be read
    completed: int
    failed: int
    unchanged: int | None  #: None: told at the end
    skipped: int
    counts: ChannelCounts  #: all that were found, by what came of them

    @property
    def took_s(self) -> float:
        """From its beginning to its end, or to its last sign of life."""
        return max((self.seen_at - self.began_at).total_seconds(), 0.0)


def figures_of(history: JobHistory, now: datetime) -> Figures:
    """The figures of a job, whatever is known of it. *now* dates its last sign of life."""
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
    """When a job ended; None while it runs.

    One whose process was killed is ended by whoever finds it, hours later: its samples know better.
    """
    record = history.record
    if record.completed_at is None or record.result is not None or not history.samples:
        return record.completed_at
    return min(history.samples[-1].taken_at, record.completed_at)


def routes(usage: Mapping[str, ApiUsage]) -> list[tuple[str, int]]:
    """How often each ``"METHOD /route status"`` was answered, the most frequent first."""
    return _calls(usage).most_common()


def _calls(usage: Mapping[str, ApiUsage]) -> Counter[str]:
    calls: Counter[str] = Counter()
    for each in usage.values():
        calls.update(each.calls)
    return calls


def _hits(history: JobHistory, stats: ParallelStats | None) -> int:
    if stats is not None:
        return stats.rate_limit_encounters
    return history.record.view.rate_limit_encounters if history.record.view else 0


def _startup_s(usage: Mapping[str, ApiUsage], began_at: datetime) -> float | None:
    first = [each.first_request_at for each in usage.values() if each.first_request_at]
    return max((min(first) - began_at).total_seconds(), 0.0) if first else None


def _waits(usage: Collection[ApiUsage]) -> Waits:
    return Waits(
        permit_s=sum(each.permit_wait_s for each in usage),
        bucket_s=sum(each.bucket_wait_s for each in usage),
        database_s=sum(each.store_s for each in usage),
    )


def largest_of(channels: Sequence[ChannelHistory]) -> ChannelHistory | None:
    """The channel that took the most requests."""
    return max(channels, key=lambda each: each.requests, default=None)


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
        costs=tuple(each for each in costs if each.seconds >= _SHOWN_S),
    )


def _costs_of_channel(history: JobHistory, largest: ChannelHistory, lost_s: float) -> list[Cost]:
    """Before the largest channel was begun, after it was read, and the pauses between."""
    first = [u.first_request_at for u in history.usage.values() if u.first_request_at]
    last = [u.last_request_at for u in history.usage.values() if u.last_request_at]
    if not first or not last or largest.started_at is None:
        return [Cost("not told", lost_s, "nothing is known of when the largest channel was read")]
    ended_at = largest.completed_at or max(last)
    before_s = min(max((largest.started_at - min(first)).total_seconds(), 0.0), lost_s)
    after_s = min(max((max(last) - ended_at).total_seconds(), 0.0), lost_s - before_s)
    return [
        Cost("begun late", before_s, "from the first request until the largest channel was begun"),
        Cost("pauses", lost_s - before_s - after_s, "of the largest channel, beyond its own limit"),
        Cost("others after it", after_s, "after the largest channel's end, until the last request"),
    ]


def _costs_of_token(stats: ParallelStats, budget_per_second: float, lost_s: float) -> list[Cost]:
    """Where the token's budget was not used: at first, at the end, and between."""
    series = stats.time_spent.requests if stats.time_spent else None
    if series is None:
        return [Cost("not told", lost_s, "the version that ran it did not keep when it asked")]
    whole = budget_per_second * series.bin_s
    full = [at for at, count in enumerate(series.requests) if count >= FULL_SHARE * whole]
    if not full:
        return [Cost("never full", lost_s, "no second used nine tenths of the budget")]
    unused_s = [(1 - min(count / whole, 1.0)) * series.bin_s for count in series.requests]
    rise_s = min(sum(unused_s[: full[0]]), lost_s)
    tail_s = min(sum(unused_s[full[-1] + 1 :]), lost_s - rise_s)
    return [
        Cost("rise", rise_s, "budget not used before the first full second"),
        Cost("between", lost_s - rise_s - tail_s, "budget not used between full seconds"),
        Cost("tail", tail_s, "budget not used after the last full second"),
    ]
