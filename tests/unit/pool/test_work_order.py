"""Order of work compared with a lower bound, for guilds of many shapes.

The real dispatcher, engine, limiters and governor, in virtual time.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pool.guild_in_virtual_time import bound_s, simulate

EVEN = [20] * 60
ORIGINAL = [15] * 100
SKEWED = [max(1, int(60 / (number + 1) ** 0.8)) for number in range(200)]
ONE_LARGE = [60] + [3] * 150
ONE_ALONE = [40]


@pytest.mark.parametrize("workers", [1, 4, 10])
@pytest.mark.parametrize(
    ("pages", "share_of_bound"),
    [
        pytest.param(EVEN, 0.95, id="even"),
        pytest.param(ORIGINAL, 0.97, id="the-original-case"),
        pytest.param(SKEWED, 0.90, id="skewed"),
        pytest.param(ONE_LARGE, 0.90, id="one-large-among-small"),
        pytest.param(ONE_ALONE, 0.95, id="one-alone"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["sizes-known", "sizes-guessed"])
def test_a_run_comes_near_the_bound(
    pages: list[int], share_of_bound: float, workers: int, known: bool
) -> None:
    run = simulate(pages, workers=workers, known=known)

    assert all(each.failure is None for each in run.outcomes)
    assert sum(each.tally.messages for each in run.outcomes) == sum(pages) * 10
    assert bound_s(pages) / run.took_s >= share_of_bound
    assert run.most_in_a_second() <= 50


def test_a_channel_reports_its_visits_from_all_workers() -> None:
    run = simulate(EVEN, workers=4)

    for each in run.outcomes:
        assert sum(span.count for span in each.visits) >= 20 / 5 - 1
        assert all(one.ended_s <= next_.began_s for one, next_ in pairwise(each.visits))
        assert each.started_at.timestamp() <= each.visits[0].began_s
        assert each.visits[-1].ended_s == each.completed_at.timestamp()
    assert any(len({span.worker_id for span in each.visits}) > 1 for each in run.outcomes)


@pytest.mark.parametrize(
    ("latency_s", "share_of_bound"),
    [(0.0, 0.95), (0.1, 0.95), (0.3, 0.88)],  # five pages one after another take 1.5 s at 0.3 s
)
def test_latency_costs_little_where_slots_suffice(latency_s: float, share_of_bound: float) -> None:
    run = simulate(EVEN, latency_s=latency_s)

    assert bound_s(EVEN) / run.took_s >= share_of_bound


@settings(max_examples=12, deadline=None)
@given(
    pages=st.lists(st.integers(1, 25), min_size=1, max_size=60),
    workers=st.integers(1, 6),
    slots=st.integers(2, 6),
    known=st.booleans(),
)
def test_any_guild_is_complete_near_the_bound_within_the_limit(
    pages: list[int], workers: int, slots: int, known: bool
) -> None:
    run = simulate(pages, workers=workers, slots=slots, known=known)

    assert sum(each.tally.messages for each in run.outcomes) == sum(pages) * 10
    assert run.took_s <= bound_s(pages) * 1.12 + 1.5
    assert run.most_in_a_second() <= 50


@pytest.mark.parametrize("latency_s", [0.02, 0.1])
@pytest.mark.parametrize("pages", [EVEN, ORIGINAL, SKEWED], ids=["even", "original", "skewed"])
def test_workers_that_come_up_slowly_one_by_one_cost_nothing(
    pages: list[int], latency_s: float
) -> None:
    run = simulate(
        pages, workers=10, latency_s=latency_s, known=False, start_s=1.5, starting_at_once=1
    )

    assert bound_s(pages) / run.took_s >= 0.90
    assert run.most_in_a_second() <= 50


@pytest.mark.parametrize("workers", [1, 2, 4, 10])
def test_one_worker_fills_the_token_at_a_tenth_of_a_second_a_request(workers: int) -> None:
    run = simulate(EVEN, workers=workers, latency_s=0.1)

    assert bound_s(EVEN) / run.took_s >= 0.97
