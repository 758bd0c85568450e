"""Arithmetic on ranges of ids."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysync.models.ids import MAX_SNOWFLAKE
from raysync.models.work import IdRange
from raysync.sync.window import cursor_below, union, unread, without
from tests.unit.sync.fakes import WHOLE

ranges = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(
    lambda pair: IdRange(pair[0], pair[0] + pair[1])
)


def members(parts: tuple[IdRange, ...]) -> set[int]:
    return {number for part in parts for number in range(part.start, part.stop)}


@given(st.lists(ranges, max_size=8))
def test_union_keeps_the_ids_and_leaves_no_neighbours(parts: list[IdRange]) -> None:
    merged = union(parts)

    assert members(merged) == members(tuple(parts))
    assert all(a.stop < b.start for a, b in itertools.pairwise(merged))


@given(ranges, st.lists(ranges, max_size=8))
def test_without_is_set_difference(window: IdRange, taken: list[IdRange]) -> None:
    left = without(window, taken)

    assert members(left) == members((window,)) - members(tuple(taken))


def test_nothing_covered_means_everything_is_unread() -> None:
    assert unread(WHOLE, [], MAX_SNOWFLAKE) == (WHOLE,)


def test_the_newest_minutes_are_read_again() -> None:
    watermark = 10_000_000 << 22
    [newest] = unread(WHOLE, [IdRange(0, watermark)], MAX_SNOWFLAKE)

    assert newest == IdRange(watermark - (300_000 << 22), MAX_SNOWFLAKE)


def test_the_look_back_reaches_below_the_watermark() -> None:
    watermark = 10_000_000 << 22
    [newest] = unread(WHOLE, [IdRange(0, watermark)], 5)

    assert newest.start == 5


def test_a_cursor_asks_for_its_millisecond_again() -> None:
    message_id = (123 << 22) + 77

    assert cursor_below(message_id) == (123 << 22) - 1


@pytest.mark.parametrize("bad", [(5, 5), (6, 5), (-1, 3)])
def test_an_empty_range_is_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a range"):
        IdRange(*bad)
