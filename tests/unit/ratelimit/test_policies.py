"""What is believed of a route's limit, and whom."""

import pytest

from raysync.ratelimit.policies import BucketHeaders, PolicySource, RoutePolicies, RoutePolicy

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
