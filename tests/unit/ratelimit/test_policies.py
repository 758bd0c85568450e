"""The limits believed of a route, and their sources."""

import pytest

from raysync.ratelimit.policies import (
    ROUTE_WINDOW_S,
    BucketHeaders,
    PolicySource,
    RoutePolicies,
    RoutePolicy,
    pages_at,
)

MESSAGES = "GET /channels/{channel_id}/messages"
NEW = "GET /channels/{channel_id}/new"


def told(limit=None, reset_after_s=None, retry_after_s=None):
    return BucketHeaders(limit, reset_after_s, retry_after_s, "user")


def limits(policies: RoutePolicies, route: str):
    policy = policies.get(route)
    return policy and (policy.limit, policy.window_s)


@pytest.mark.parametrize("masked", [told(1000, 1.0), told(1999, 1.0), told(50_000, 5.0)])
def test_a_mask_teaches_nothing(masked):
    policies = RoutePolicies()
    policies.note_answer(MESSAGES, masked)
    policies.note_answer(NEW, masked)

    assert limits(policies, MESSAGES) == (5, 5.0)
    assert limits(policies, NEW) is None


def test_an_honest_header_overrules_what_people_observed():
    policies = RoutePolicies()
    policies.note_answer(MESSAGES, told(3, 2.0))

    assert limits(policies, MESSAGES) == (3, 5.0)


def test_a_refusal_overrules_and_a_later_header_cannot_loosen_it():
    policies = RoutePolicies()
    policies.note_refusal(MESSAGES, told(2, 9.6, 4.8))
    policies.note_answer(MESSAGES, told(5, 1.0))

    assert limits(policies, MESSAGES) == (2, 10.0)


def test_a_refusal_without_headers_leaves_a_known_limit_and_makes_an_unknown_one_careful():
    policies = RoutePolicies()
    policies.note_refusal(MESSAGES, told(retry_after_s=3.0))
    policies.note_refusal(NEW, told(retry_after_s=3.0))

    assert limits(policies, MESSAGES) == (5, 5.0)
    assert limits(policies, NEW) == (1, 3.0)


def test_a_window_grows_to_the_longest_reset_that_was_told():
    policies = RoutePolicies()
    for reset_s in (0.98, 1.96, 2.94, 1.0):
        policies.note_answer(NEW, told(5, reset_s))

    assert limits(policies, NEW) == (5, 3.0)


def test_what_was_learned_can_be_handed_to_the_next_run():
    first = RoutePolicies()
    first.note_refusal(NEW, told(4, 8.0, 2.0))
    second = RoutePolicies(first.learned())

    assert first.learned() == (RoutePolicy(NEW, 4, 8.0, PolicySource.REFUSAL),)
    assert limits(second, NEW) == (4, 8.0)


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-1", None])
def test_headers_that_make_no_sense_are_as_if_absent(text):
    headers = {} if text is None else {"x-ratelimit-limit": text, "retry-after": text}

    assert BucketHeaders.read(headers) == BucketHeaders()


@pytest.mark.parametrize(
    ("let_through", "expected"),
    [
        pytest.param(3, 4, id="by-one-at-a-time"),
        pytest.param(4, 4, id="not-below-what-was-let-through"),
        pytest.param(0, 5, id="somebody-else-used-it"),
        pytest.param(7, 5, id="more-than-believed"),
    ],
)
def test_a_refusal_without_headers_lowers_the_limit(let_through, expected):
    policies = RoutePolicies()
    policies.note_refusal(MESSAGES, told(retry_after_s=1.7), let_through)

    assert limits(policies, MESSAGES) == (expected, 5.0)


def test_what_was_inferred_is_kept_and_overruled_by_any_header():
    policies = RoutePolicies()
    for _ in range(3):
        policies.note_refusal(MESSAGES, told(), 3)
    (inferred,) = policies.learned()
    later = RoutePolicies([inferred])
    later.note_answer(MESSAGES, told(5, 5.0))

    assert (inferred.limit, inferred.source) == (3, PolicySource.INFERRED)
    assert limits(later, MESSAGES) == (5, 5.0)


def answered(policies: RoutePolicies, *answers, route=MESSAGES):
    for bucket, (limit, reset_s) in enumerate(answers):
        policies.note_answer(route, told(limit, reset_s), str(bucket))
    return limits(policies, route)


def test_one_answer_among_others_changes_nothing_of_its_route():
    for wrong in [(1, 5.0), (1, 60.0), (99, 5.0), (5, 60.0), (5, 600.0)]:
        policies = RoutePolicies()
        answered(policies, *[(5, 1.0)] * 5)

        assert answered(policies, wrong) == (5, 5.0)
        assert policies.learned() == ()


@pytest.mark.parametrize("source", PolicySource)
def test_one_answer_is_not_enough_to_ask_for_more(source):
    policies = RoutePolicies([RoutePolicy(MESSAGES, 3, 5.0, source)])

    assert answered(policies, (99, 5.0)) == (3, 5.0)


def test_what_answers_agree_on_is_believed_in_both_directions():
    policies = RoutePolicies()

    assert answered(policies, *[(8, 5.0)] * 3) == (8, 5.0)
    assert answered(policies, *[(2, 5.0)] * 3) == (2, 5.0)
    assert answered(policies, *[(6, 5.0)] * 3) == (6, 5.0)


def test_a_long_window_is_its_buckets_and_becomes_its_routes_when_rounds_agree():
    policies = RoutePolicies()
    for _ in range(5):
        policies.note_answer(MESSAGES, told(5, 30.0), "1")
    first = limits(policies, MESSAGES)
    for _ in range(5):
        policies.note_answer(MESSAGES, told(5, 30.0), "2")
    second = limits(policies, MESSAGES)
    for bucket in "3", "4":
        for _ in range(5):
            policies.note_answer(MESSAGES, told(5, 5.0), bucket)

    assert (first, second) == ((5, 5.0), (5, 30.0))
    assert limits(policies, MESSAGES) == (5, 5.0)


def test_no_window_of_a_route_is_longer_than_a_minute():
    policies = RoutePolicies()

    assert answered(policies, (1, 600.0), route=NEW) == (1, ROUTE_WINDOW_S)
    policies.note_refusal(NEW, told(1, 600.0, 600.0))
    assert limits(policies, NEW) == (1, ROUTE_WINDOW_S)


def test_a_refusal_is_overruled_by_answers_that_go_on_naming_more_after_a_minute():
    now_s = 0.0
    policies = RoutePolicies(clock_s=lambda: now_s)
    policies.note_refusal(MESSAGES, told(1, 60.0, 1.0))

    def after(seconds: float):
        nonlocal now_s
        now_s += seconds
        return answered(policies, *[(5, 5.0)] * 5)

    assert after(50.0) == (1, 60.0)
    assert after(20.0)[0] == 5
    policies.note_refusal(MESSAGES, told(1, 60.0, 1.0))
    assert after(200.0)[0] == 1, "a second time it is believed for four minutes"
    assert after(50.0)[0] == 5


def test_what_only_one_answer_said_is_not_kept_for_the_next_run():
    policies = RoutePolicies()
    answered(policies, (3, 5.0))
    early = policies.learned()
    answered(policies, (3, 5.0), (3, 5.0))

    assert early == ()
    assert policies.learned() == (RoutePolicy(MESSAGES, 3, 5.0, PolicySource.HEADERS),)


@pytest.mark.parametrize("source", [PolicySource.HEADERS, PolicySource.REFUSAL])
@pytest.mark.parametrize(
    ("limit", "window_s"),
    [(5, 1e9), (5, float("inf")), (5, float("nan")), (0, 5.0), (-1, 5.0), (1000, 1.0), (1, 300.0)],
)
def test_what_is_handed_over_and_cannot_be_is_not_believed(source, limit, window_s):
    policies = RoutePolicies([RoutePolicy(MESSAGES, limit, window_s, source)])

    assert limits(policies, MESSAGES) == (5, 5.0)


def test_what_is_told_beforehand_of_another_api_is_believed():
    policies = RoutePolicies([pages_at(100.0)])

    assert limits(policies, MESSAGES) == (500, 5.0)
