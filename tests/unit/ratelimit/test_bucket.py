"""One bucket, told the time."""

import math

import pytest

from raysync.ratelimit.bucket import MARGIN_S, Bucket
from raysync.ratelimit.policies import PolicySource, RoutePolicy

FIVE = RoutePolicy("GET /x", 5, 5.0, PolicySource.PRIOR)
TWO = RoutePolicy("GET /x", 2, 5.0, PolicySource.PRIOR)


def full_at(*completed_s: float) -> Bucket:
    bucket = Bucket()
    for each in completed_s:
        bucket.start()
        bucket.finish(each)
    return bucket


def test_the_window_counts_from_the_completion_not_from_the_start():
    bucket = full_at(10.0, 11.0)

    assert bucket.delay_s(TWO, 12.0) == pytest.approx(10.0 + 5.0 + MARGIN_S - 12.0)


def test_those_under_way_take_room_until_they_are_answered():
    bucket = Bucket()
    bucket.start()
    bucket.start()

    assert bucket.delay_s(TWO, 0.0) == math.inf
    bucket.cancel()
    assert bucket.delay_s(TWO, 0.0) == 0.0


def test_one_under_way_and_one_completed_fill_a_bucket_of_two():
    bucket = full_at(10.0)
    bucket.start()

    assert bucket.delay_s(TWO, 11.0) == pytest.approx(4.0 + MARGIN_S)


def test_without_a_known_limit_only_a_pause_holds():
    bucket = full_at(*[1.0] * 50)

    assert bucket.delay_s(None, 1.0) == 0.0
    bucket.block(3.0, 1.0)
    assert bucket.delay_s(None, 2.0) == 2.0


def test_a_limit_learned_later_counts_what_was_asked_before():
    bucket = full_at(*[1.0] * 50)

    assert bucket.delay_s(FIVE, 2.0) == pytest.approx(4.0 + MARGIN_S)


def test_after_a_refusal_one_may_pass_at_the_time_told_and_the_rest_a_window_later():
    bucket = Bucket()
    bucket.drain(FIVE, 1.0, 100.0)

    assert bucket.delay_s(FIVE, 100.0) == pytest.approx(1.0)
    bucket.start()
    bucket.finish(101.0)
    assert bucket.delay_s(FIVE, 101.0) == pytest.approx(4.0 + MARGIN_S)


def test_a_bucket_is_idle_once_forgetting_it_changes_nothing():
    bucket = full_at(10.0)

    assert not bucket.is_idle(FIVE, 14.9)
    assert bucket.is_idle(FIVE, 15.1)
    bucket.start()
    assert not bucket.is_idle(FIVE, 99.0)
