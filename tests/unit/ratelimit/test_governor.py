"""Leases, refusals and bans, told the time."""

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysync.errors import BannedError, RunStoppedError
from raysync.ratelimit.budget import HORIZON_S, WINDOW_S, tolerance_s
from raysync.ratelimit.governor import BAN, Governor

OPEN_S = WINDOW_S + HORIZON_S
LONG_AGO_S = -1_000.0


def starts_s(lease):
    return [lease.granted_at_s + each for each in lease.starts]


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 12), st.integers(0, 8)), max_size=200))
def test_permits_are_spaced_evenly_whoever_asks_whenever(asked):
    governor, now_s, granted = Governor(LONG_AGO_S), 0.0, []
    for pause_s, worker, want in asked:
        now_s += pause_s
        granted += starts_s(governor.lease("token", f"worker-{worker}", want, 48.0, now_s))

    assert all(later - earlier >= 1 / 48 - 1e-9 for earlier, later in pairwise(granted))


def test_no_second_can_hold_more_than_fifty_whatever_the_lateness_and_the_jitter():
    late_s = tolerance_s(48.0) + 0.03

    assert int(48 * (1.0 + late_s)) + 1 <= 50


def test_a_slower_rate_leaves_permits_more_time():
    assert tolerance_s(45.0) > tolerance_s(48.0) > tolerance_s(50.0) > 0
    assert tolerance_s(480.0) < tolerance_s(45.0)


def test_a_new_governor_grants_nothing_for_its_first_second():
    lease = Governor(100.0).lease("token", "worker", 1, 48.0, 100.0)

    assert lease.starts == pytest.approx((OPEN_S,))


def test_a_worker_that_holds_its_share_is_told_when_to_ask_again():
    governor = Governor(LONG_AGO_S)
    for _ in range(20):
        lease = governor.lease("token", "greedy", 8, 48.0, 0.0)

    assert lease.starts == ()
    assert 0.0 <= lease.ask_again_s <= HORIZON_S


def test_a_newcomer_gets_a_permit_soon_beside_a_greedy_worker():
    governor = Governor(LONG_AGO_S)
    for _ in range(20):
        governor.lease("token", "greedy", 8, 48.0, 0.0)
    lease = governor.lease("token", "newcomer", 8, 48.0, 0.0)

    assert lease.starts
    assert lease.starts[0] <= HORIZON_S + 1 / 48


def test_two_rates_on_one_token_mean_the_lower():
    governor = Governor(LONG_AGO_S)
    governor.lease("token", "slow", 1, 10.0, 0.0)
    lease = governor.lease("token", "quick", 3, 48.0, 0.0)

    assert lease.starts[1] - lease.starts[0] == pytest.approx(0.1)


def test_tokens_do_not_share():
    governor = Governor(LONG_AGO_S)
    governor.lease("one", "worker", 8, 48.0, 0.0)

    assert governor.lease("other", "worker", 1, 48.0, 0.0).starts == (0.0,)


def test_a_global_refusal_stops_its_token_for_as_long_as_it_says():
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 429, "global", 7.0, 100.0)

    assert governor.lease("token", "worker", 1, 48.0, 101.0).starts == (6.0,)
    assert governor.lease("other", "worker", 1, 48.0, 101.0).starts == (0.0,)


def test_a_ban_stops_every_token():
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 429, BAN, None, 100.0)

    with pytest.raises(BannedError, match="60 min"):
        governor.lease("other", "worker", 1, 48.0, 100.0)
    assert governor.lease("other", "worker", 1, 48.0, 100.0 + 3601).starts


def test_too_many_refusals_stop_everything_until_ten_minutes_have_passed():
    governor = Governor(LONG_AGO_S, invalid_stop=3)
    for status in (401, 403, 429):
        governor.observe("token", status, "user" if status == 429 else None, 1.0, 0.0)

    with pytest.raises(RunStoppedError, match="refused 3 requests"):
        governor.lease("token", "worker", 1, 48.0, 599.0)
    assert governor.lease("token", "worker", 1, 48.0, 600.0).starts


def test_shared_refusals_do_not_count_toward_a_ban():
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 429, "shared", 1.0, 0.0)

    assert governor.invalid_requests(0.0) == 0


def test_idleness_counts_from_the_last_word():
    governor = Governor(50.0)

    assert governor.idle_s(60.0) == 10.0
    governor.lease("token", "worker", 1, 48.0, 70.0)
    assert governor.idle_s(75.0) == 5.0


def test_a_lease_travels_between_processes():
    lease = Governor(LONG_AGO_S).lease("token", "worker", 3, 48.0, 0.0)

    assert pickle.loads(pickle.dumps(lease)) == lease
