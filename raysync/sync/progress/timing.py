"""Distribution of a run's time over waits, and of its requests over time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from raysync.models.events import ApiUsage
from raysync.models.rates import RequestRate, merged
from raysync.models.results import RequestSeries, TimeSpent

FULL_SHARE = 0.9
"""Share of the budget from which on a stretch counts as full."""


def time_spent(
    usage: Collection[ApiUsage], started_at: datetime, budget_per_second: float
) -> TimeSpent:
    """Return the waits of the run's clients, and the spread of its requests over time."""
    rate = merged(client.rate for client in usage)
    first = min((u.first_request_at for u in usage if u.first_request_at), default=None)
    last = max((u.last_request_at for u in usage if u.last_request_at), default=None)
    return TimeSpent(
        startup_s=round((first - started_at).total_seconds(), 3) if first else 0.0,
        tail_s=round(tail_s(rate, first, last, budget_per_second), 3) if first and last else 0.0,
        permit_wait_s=round(sum(client.permit_wait_s for client in usage), 3),
        bucket_wait_s=round(sum(client.bucket_wait_s for client in usage), 3),
        database_s=round(sum(client.store_s for client in usage), 3),
        requests=_series(rate),
    )


def tail_s(rate: RequestRate, first: datetime, last: datetime, budget_per_second: float) -> float:
    """Return seconds from the end of the last full stretch to the last request."""
    full = [
        number
        for number, count in rate.counts.items()
        if count >= FULL_SHARE * budget_per_second * rate.bin_s
    ]
    used_until = (max(full) + 1) * rate.bin_s if full else first.timestamp()
    return max(last.timestamp() - used_until, 0.0)


def _series(rate: RequestRate) -> RequestSeries | None:
    if not rate.counts:
        return None
    first_at = datetime.fromtimestamp(min(rate.counts) * rate.bin_s, UTC)
    return RequestSeries(first_at=first_at, bin_s=rate.bin_s, requests=rate.series())
