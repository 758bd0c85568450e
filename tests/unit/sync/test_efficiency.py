"""Ideal time of a run, and its efficiency."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from raysync.models.events import JobHeader
from raysync.models.ids import JobId
from raysync.models.status import SyncType
from raysync.sync.progress.efficiency import efficiency, ideal_s
from tests.virtual_time import LoopClock

HEADER = JobHeader(JobId("job"), "takaro", SyncType.FULL, LoopClock.start, 48.0)


@pytest.mark.parametrize(
    ("channels", "other_requests", "expected_s"),
    [
        pytest.param([15] * 100, 0, 1499 / 48, id="many-channels-are-bound-by-the-token"),
        pytest.param([100, 3], 0, 95.0, id="one-large-channel-is-bound-by-its-bucket"),
        pytest.param([], 97, 2.0, id="lists-alone-are-bound-by-the-token"),
        pytest.param([5], 0, 4 / 48, id="a-burst-is-free-of-the-bucket"),
    ],
)
def test_the_ideal_is_what_the_limits_alone_demand(
    channels: list[int], other_requests: int, expected_s: float
) -> None:
    assert ideal_s(sum(channels) + other_requests, channels, HEADER) == pytest.approx(expected_s)


def test_an_api_with_other_limits_has_another_ideal() -> None:
    header = replace(HEADER, channel_pages_per_second=10.0)

    assert ideal_s(100, [100], header) == pytest.approx(5.0)


def test_efficiency_is_the_ideal_over_what_it_took() -> None:
    start = LoopClock.start

    assert efficiency(30.0, start, start + timedelta(seconds=40)) == 0.75
    assert efficiency(30.0, start, None) is None
