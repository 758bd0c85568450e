"""Requests over time, and the distribution of a run's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from raysync.models.events import ApiUsage
from raysync.models.rates import MOST_BINS, RateMeter, RequestRate, merged
from raysync.sync.progress.timing import tail_s, time_spent

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp())


@given(st.lists(st.floats(0, 10_000_000), min_size=1, max_size=300))
def test_no_request_is_lost_and_the_memory_is_bounded(offsets_s: list[float]) -> None:
    meters = [RateMeter(), RateMeter()]
    for number, offset_s in enumerate(offsets_s):
        meters[number % 2].note(NOON_S + offset_s)

    rate = merged(each.rate() for each in meters)

    assert sum(rate.counts.values()) == len(offsets_s)
    assert len(rate.series()) <= MOST_BINS
    assert min(rate.counts) * rate.bin_s <= NOON_S + min(offsets_s)


def test_the_tail_begins_where_the_budget_was_last_used_fully() -> None:
    counts = [20, 48, 47, 48, 30, 3]
    rate = RequestRate(1, {NOON_S + second: count for second, count in enumerate(counts)})

    assert tail_s(rate, NOON, NOON + timedelta(seconds=5.5), 48.0) == 1.5
    assert tail_s(rate, NOON, NOON + timedelta(seconds=5.5), 100.0) == 5.5


def test_waits_of_several_clients_are_added_up() -> None:
    rate = RequestRate(1, {NOON_S + 3: 10})
    one = ApiUsage(
        permit_wait_s=1.5,
        store_s=0.25,
        first_request_at=NOON + timedelta(seconds=3),
        last_request_at=NOON + timedelta(seconds=4),
        rate=rate,
    )
    other = ApiUsage(permit_wait_s=0.5, bucket_wait_s=2.0)

    spent = time_spent([one, other], NOON, 48.0)

    assert (spent.permit_wait_s, spent.bucket_wait_s, spent.database_s) == (2.0, 2.0, 0.25)
    assert spent.startup_s == 3.0
    assert spent.requests is not None
    assert spent.requests.first_at == NOON + timedelta(seconds=3)
    assert spent.requests.requests == [10]


def test_without_a_request_there_is_no_series() -> None:
    assert time_spent([], NOON, 48.0).requests is None
