"""Figures of a run: its requests, its times, and how near it came to Discord's limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raysync.models.events import ApiUsage, JobHeader
from raysync.models.results import ParallelStats
from raysync.models.work import ChannelTally
from raysync.sync.job.outcome import JobOutcome
from raysync.sync.progress.efficiency import average_s, efficiency, ideal_s, page_estimates
from raysync.sync.progress.timing import time_spent


def parallel_stats(
    header: JobHeader,
    end: JobOutcome,
    tallies: Sequence[ChannelTally],
    usage: Mapping[str, ApiUsage],
    most_at_once: int,
) -> ParallelStats:
    """Return the figures of a job; *usage* is by worker."""
    total = sum(sum(client.calls.values()) for client in usage.values())
    ideal = ideal_s(total, (tally.requests for tally in tallies), header)
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


def no_stats() -> ParallelStats:
    """Return the figures of a job that made no request."""
    return ParallelStats(
        max_concurrent_channels=0,
        average_channel_time=0.0,
        total_api_calls=0,
        rate_limit_encounters=0,
        ideal_s=0.0,
        actual_s=0.0,
        efficiency=None,
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
