"""The latency of the planner's requests, which tells how many workers a run needs."""

from __future__ import annotations

import pytest

from raysync.models.durations import DurationMeter, Durations


@pytest.mark.parametrize(
    ("took_s", "at_least_s", "at_most_s"),
    [
        pytest.param([0.3] * 5, 0.2, 0.5, id="all-alike"),
        pytest.param([0.9, 0.3, 0.3, 0.3, 0.3], 0.2, 0.5, id="the-first-connects"),
        pytest.param([0.1] * 4, 0.05, 0.1, id="on-a-bound"),
        pytest.param([0.0001], 0.0001, 0.001, id="below-all-bounds"),
        pytest.param([1e6], 5.0, 10.0, id="above-all-bounds"),
    ],
)
def test_the_median_is_in_its_class(
    took_s: list[float], at_least_s: float, at_most_s: float
) -> None:
    meter = DurationMeter()
    for each in took_s:
        meter.note(each)

    median_s = meter.durations().median_s()

    assert median_s is not None
    assert at_least_s <= median_s <= at_most_s


def test_without_answers_there_is_no_median() -> None:
    assert Durations().median_s() is None
    assert DurationMeter().durations().median_s() is None
