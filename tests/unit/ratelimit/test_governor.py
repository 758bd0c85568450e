"""Leases, refusals and bans, told the time."""

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysync.errors import BAN_S, BannedError, RunStoppedError
from raysync.models.permits import Demand, Sharer, Use
from raysync.ratelimit.budget import HORIZON_S, JITTER_S, QUIET_S, VALID_S, WINDOW_S
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.refusals import BAN

LONG_AGO_S = -1_000.0


def starts_s(lease):
    return [lease.granted_at_s + each for each in lease.starts]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 0.2), st.integers(1, 12), st.integers(0, 8), st.floats(0, VALID_S)),
        min_size=50,
        max_size=200,
    ),
    st.sampled_from([10.0, 48.0, 50.0]),
)
def test_no_second_holds_more_than_fifty_however_late_permits_are_used_and_told_of(asked, rate):
    governor, now_s, sent_s, told = Governor(LONG_AGO_S), 0.0, [], {}
    for pause_s, worker, want, late_s in asked:
        now_s += pause_s
        uses = tuple(use for use in told.pop(worker, ()) if use.arrived_s <= now_s)
        lease = governor.lease(
            "token", Sharer("run", f"worker-{worker}"), Demand(want, uses), rate, now_s
        )
        told[worker] = [Use(start, start + late_s) for start in starts_s(lease)]
        sent_s += [each.arrived_s for each in told[worker]]

    sent_s.sort()
    assert all(
        later - earlier >= WINDOW_S + JITTER_S - 1e-6
        for earlier, later in zip(sent_s, sent_s[50:], strict=False)
    )


def test_the_rate_is_kept_over_time():
    governor, granted = Governor(LONG_AGO_S), []
    for tick in range(2_000):
        lease = governor.lease("token", Sharer("run", "worker"), Demand(8), 10.0, tick * 0.01)
        granted += [each for each in starts_s(lease) if each < 20.0]

    assert 195 <= len(granted) <= 205


def test_a_permit_given_back_leaves_room_for_another():
    governor = Governor(LONG_AGO_S)
    taken = [
        governor.lease("token", Sharer("run", "a"), Demand(1), 50.0, n * 0.02) for n in range(50)
    ]
    unused = tuple(Use(start_s, None) for each in taken for start_s in starts_s(each))
    told = governor.lease("token", Sharer("run", "a"), Demand(1, unused), 50.0, 1.0)

    assert told.starts[0] < 0.03


def test_a_new_governor_is_quiet_at_first():
    governor = Governor(100.0)
    early = governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 100.0)
    later = governor.lease(
        "token", Sharer("run", "worker"), Demand(1), 48.0, 100.0 + early.ask_again_s
    )

    assert early.starts == ()
    assert starts_s(later) == pytest.approx([100.0 + QUIET_S])


def test_a_worker_that_holds_its_share_is_told_when_to_ask_again():
    governor = Governor(LONG_AGO_S)
    for _ in range(20):
        lease = governor.lease("token", Sharer("run", "greedy"), Demand(8), 48.0, 0.0)

    assert lease.starts == ()
    assert 0.0 <= lease.ask_again_s <= HORIZON_S


def test_a_newcomer_gets_a_permit_soon_beside_a_greedy_worker():
    governor = Governor(LONG_AGO_S)
    for _ in range(20):
        governor.lease("token", Sharer("run", "greedy"), Demand(8), 48.0, 0.0)
    lease = governor.lease("token", Sharer("run", "newcomer"), Demand(8), 48.0, 0.0)

    assert lease.starts
    assert lease.starts[0] <= HORIZON_S + 1 / 48


def test_two_rates_on_one_token_mean_the_lower():
    governor, granted = Governor(LONG_AGO_S), 0
    for tick in range(100):
        governor.lease("token", Sharer("run", "slow"), Demand(0), 10.0, tick * 0.1)
        granted += len(
            governor.lease("token", Sharer("run", "quick"), Demand(8), 48.0, tick * 0.1).starts
        )

    assert granted <= 110


def test_tokens_do_not_share():
    governor = Governor(LONG_AGO_S)
    governor.lease("one", Sharer("run", "worker"), Demand(8), 48.0, 0.0)

    assert governor.lease("other", Sharer("run", "worker"), Demand(1), 48.0, 0.0).starts == (0.0,)


def test_a_global_refusal_stops_its_token_for_as_long_as_it_says():
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 429, "global", 7.0, 100.0)

    early = governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 101.0)
    later = governor.lease(
        "token", Sharer("run", "worker"), Demand(1), 48.0, 101.0 + early.ask_again_s
    )

    assert early.starts == ()
    assert starts_s(later) == pytest.approx([107.0])
    assert governor.lease("other", Sharer("run", "worker"), Demand(1), 48.0, 101.0).starts == (0.0,)


def test_a_ban_stops_every_token():
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    governor = Governor(LONG_AGO_S, now=lambda: noon)
    governor.observe("token", 429, BAN, None, 100.0)

    with pytest.raises(BannedError, match=r"until 2026-05-01 13:00 UTC at least") as banned:
        governor.lease("other", Sharer("run", "worker"), Demand(1), 48.0, 100.0)
    assert banned.value.until == noon + timedelta(seconds=BAN_S)
    assert governor.lease("other", Sharer("run", "worker"), Demand(1), 48.0, 100.0 + 3601).starts


@pytest.mark.parametrize("retry_after_s", [1e9, float("inf"), 601.0])
def test_no_refusal_stops_a_token_for_longer_than_ten_minutes(retry_after_s):
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 429, "global", retry_after_s, 100.0)

    assert not governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 600.0).starts
    assert governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 700.0).starts


@pytest.mark.parametrize("retry_after_s", [float("nan"), -5.0, 0.0, None])
def test_a_global_refusal_without_a_time_stops_its_token_for_a_second(retry_after_s):
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 429, "global", retry_after_s, 100.0)

    assert not governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 100.5).starts
    assert governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 101.0).starts


@pytest.mark.parametrize(
    ("retry_after_s", "lasts_s"),
    [(7200.0, 7200.0), (1e9, 86_400.0), (float("nan"), BAN_S), (-1.0, BAN_S), (5.0, 60.0)],
)
def test_a_ban_lasts_as_long_as_it_says_within_bounds(retry_after_s, lasts_s):
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    governor = Governor(LONG_AGO_S, now=lambda: noon)
    governor.observe("token", 429, BAN, retry_after_s, 100.0)

    banned = governor.stopped_by(100.0)
    assert isinstance(banned, BannedError)
    assert banned.until == noon + timedelta(seconds=lasts_s)
    assert governor.stopped_by(100.0 + lasts_s) is None


def test_a_shorter_ban_does_not_end_a_longer_one():
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 429, BAN, 7200.0, 100.0)
    governor.observe("token", 429, BAN, 60.0, 200.0)

    assert isinstance(governor.stopped_by(7000.0), BannedError)


def test_a_403_counts_toward_a_ban_whatever_scope_it_names():
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 403, "shared", None, 0.0)

    assert governor.invalid_requests(0.0) == 1


def test_too_many_refusals_stop_everything_until_ten_minutes_have_passed():
    governor = Governor(LONG_AGO_S, invalid_stop=3)
    for status in (401, 403, 429):
        governor.observe("token", status, "user" if status == 429 else None, 1.0, 0.0)

    with pytest.raises(RunStoppedError, match="refused 3 requests"):
        governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 599.0)
    assert governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 600.0).starts


def test_shared_refusals_do_not_count_toward_a_ban():
    governor = Governor(LONG_AGO_S)
    governor.observe("token", 429, "shared", 1.0, 0.0)

    assert governor.invalid_requests(0.0) == 0


def test_idleness_counts_from_the_last_word():
    governor = Governor(50.0)

    assert governor.idle_s(60.0) == 10.0
    governor.lease("token", Sharer("run", "worker"), Demand(1), 48.0, 70.0)
    assert governor.idle_s(75.0) == 5.0


def test_a_lease_travels_between_processes():
    lease = Governor(LONG_AGO_S).lease("token", Sharer("run", "worker"), Demand(3), 48.0, 0.0)

    assert pickle.loads(pickle.dumps(lease)) == lease


def test_workers_of_a_run_share_by_what_is_left_in_them_and_runs_evenly():
    governor, granted = Governor(LONG_AGO_S), {}
    sharers = {
        Sharer("large", "much-left"): 30.0,
        Sharer("large", "little-left"): 10.0,
        Sharer("small", "only-one"): 1.0,
    }
    told = {}
    for tick in range(3_000):
        for sharer, weight in sharers.items():
            now_s = tick * 0.01
            uses = tuple(told.pop(sharer, ()))
            lease = governor.lease("token", sharer, Demand(4, uses, weight), 48.0, now_s)
            told[sharer] = [Use(each, each) for each in starts_s(lease)]
            granted[sharer.worker] = granted.get(sharer.worker, 0) + len(lease.starts)

    assert granted["only-one"] == pytest.approx(sum(granted.values()) / 2, rel=0.1)
    assert granted["much-left"] / granted["little-left"] == pytest.approx(3.0, rel=0.35)
