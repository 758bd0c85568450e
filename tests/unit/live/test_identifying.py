"""New sessions are scarce: their pace, whatever crashes."""

from __future__ import annotations

import itertools

import pytest

from raysync.live.identifying import RESERVE, WITHIN_S, pause_s
from raysync.models.live import IdentifyBudget

PLENTY = IdentifyBudget(remaining=1000, total=1000, reset_after_s=86_400.0)


def test_the_first_session_waits_for_nothing() -> None:
    assert pause_s([], PLENTY) == 0.0


@pytest.mark.parametrize(
    ("ages_s", "expected"),
    [
        ([1.0], 4.0),
        ([5.0], 0.0),
        ([12.0, 4.0], 6.0),
        ([60.0, 40.0, 10.0], 10.0),
        ([WITHIN_S - 1] * 20 + [30.0], 570.0),
    ],
)
def test_each_session_doubles_the_distance_to_the_next(ages_s, expected) -> None:
    assert pause_s(ages_s, PLENTY) == expected


@pytest.mark.parametrize("remaining", [RESERVE, 3, 0])
def test_the_reserve_is_left_alone(remaining) -> None:
    few = IdentifyBudget(remaining=remaining, total=1000, reset_after_s=7_200.0)

    assert pause_s([], few) == 7_200.0


def test_an_hour_of_crashes_begins_at_most_twenty_sessions() -> None:
    now_s, begun = 0.0, list[float]()
    while now_s < 3_600.0:
        ages_s = [now_s - at for at in begun if now_s - at < WITHIN_S]
        if pause_s(ages_s, PLENTY) <= 0.0:
            begun.append(now_s)
        now_s += 10.0  # it crashes every ten seconds

    assert len(begun) <= 20


def test_shards_begin_one_after_another_and_count_as_one_round() -> None:
    begun, now_s = list[float](), 0.0
    while len(begun) < 16:
        if pause_s([now_s - at for at in begun], PLENTY, shards=16) <= 0.0:
            begun.append(now_s)
        now_s += 0.5

    assert all(later - earlier >= 5.0 for earlier, later in itertools.pairwise(begun))
    assert begun[-1] <= 16 * 5.5


def test_shards_begin_together_as_far_as_discord_lets_them() -> None:
    wide = IdentifyBudget(1000, 1000, 86_400.0, max_concurrency=16)

    assert pause_s([0.1] * 15, wide, shards=16) == 0.0
    assert pause_s([0.1] * 16, wide, shards=32) > 0.0
