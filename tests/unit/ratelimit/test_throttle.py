"""A token that is refused too often is used more slowly, and recovers."""

import pytest

from raysync.models.permits import Demand, Sharer
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.throttle import LEAST_PER_SECOND, STEP, Throttle


def refused(throttle: Throttle, *at_s: float) -> Throttle:
    for each in at_s:
        throttle.note_refusal(each)
    return throttle


def test_a_few_refusals_change_nothing():
    assert refused(Throttle("token"), 0, 1, 2).slowed(48.0, 2.0) == 48.0


def test_refusals_far_apart_change_nothing():
    assert refused(Throttle("token"), 0, 6, 12, 18, 24).slowed(48.0, 24.0) == 48.0


def test_more_slow_the_token_by_a_quarter_and_say_so(caplog):
    throttle = refused(Throttle("token"), 0, 1, 2, 3)

    assert throttle.slowed(48.0, 3.0) == pytest.approx(36.0)
    (record,) = caplog.records
    assert (record.levelname, record.event) == ("WARNING", "token_slowed")


def test_it_recovers_step_by_step_while_it_is_quiet():
    throttle = refused(Throttle("token"), *range(8))

    assert throttle.slowed(48.0, 7.0) == pytest.approx(48.0 * STEP**2)
    assert throttle.slowed(48.0, 17.0) == pytest.approx(48.0 * STEP)
    assert throttle.slowed(48.0, 27.0) == pytest.approx(48.0)


def test_there_is_a_least_rate():
    throttle = refused(Throttle("token"), *[0.0] * 400)

    assert throttle.slowed(48.0, 0.0) == LEAST_PER_SECOND
    assert throttle.slowed(0.5, 0.0) == 0.5


def test_it_recovers_within_minutes_however_often_it_was_refused():
    throttle = refused(Throttle("token"), *[0.0] * 4_000)

    assert throttle.slowed(48.0, 300.0) == 48.0


def test_the_governor_grants_less_of_that_token_alone():
    governor = Governor(-1_000.0)
    for at_s in range(4):
        governor.observe("token", 429, "global", 0.1, float(at_s))
    granted = {"token": 0, "other": 0}
    for tick in range(800):
        now_s = 4 + tick * 0.01
        for each in granted:
            granted[each] += len(
                governor.lease(each, Sharer("run", "worker"), Demand(8), 48.0, now_s).starts
            )

    ahead_s = 0.5  # permits are booked before they start
    assert granted["token"] <= (8 + ahead_s) * 36
    assert granted["other"] > granted["token"]
