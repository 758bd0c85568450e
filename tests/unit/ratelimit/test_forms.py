"""The form of a route's buckets, proved by headers."""

import pytest

from raysync.emulator.limits import Form
from raysync.emulator.limits.buckets import make_bucket
from raysync.ratelimit.forms import BucketForm
from raysync.ratelimit.policies import BucketHeaders, PolicySource, RoutePolicies

ROUTE = "GET /channels/{channel_id}/messages"


def note(policies: RoutePolicies, form: Form, *at_s: float, limit: int = 5, window_s: float = 5.0):
    """Let an untouched bucket answer at those times."""
    bucket = make_bucket(form, limit, window_s)
    for each in at_s:
        verdict = bucket.take(each)
        told = BucketHeaders(limit, round(verdict.reset_after_s, 3), None, None, verdict.remaining)
        policies.note_answer(ROUTE, told)


@pytest.mark.parametrize(
    ("form", "believed"),
    [
        (Form.SLIDING, BucketForm.LEAKY),
        (Form.FIXED, BucketForm.FIXED),
        (Form.SLIDING_LOG, BucketForm.FIXED),
    ],
)
def test_two_bursts_of_honest_answers_tell_the_form(form, believed):
    policies = RoutePolicies()
    note(policies, form, 0.0, 0.2, 0.4, 0.6, 0.8, 6.0, 6.2, 6.4, 6.6)

    assert policies.get(ROUTE).form is believed


def test_one_answer_tells_too_little():
    policies = RoutePolicies()
    note(policies, Form.SLIDING, 0.0)

    assert policies.get(ROUTE).form is BucketForm.UNKNOWN


@pytest.mark.parametrize("window_s", [0.25, 5.0, 20.0])
def test_a_leaky_bucket_tells_its_window_too(window_s):
    policies = RoutePolicies()
    note(policies, Form.SLIDING, *(n * window_s / 50 for n in range(5)), window_s=window_s)

    assert window_s <= policies.get(ROUTE).window_s <= 1.03 * window_s


def test_a_refusal_makes_a_leaky_route_careful_for_good():
    policies = RoutePolicies()
    note(policies, Form.SLIDING, 0.0, 0.02, 0.04, 0.06, window_s=1.0)
    policies.note_refusal(ROUTE, BucketHeaders(5, 5.0, 1.0, "user", 0))
    note(policies, Form.SLIDING, 0.0, 0.2, 0.4, 0.6)

    policy = policies.get(ROUTE)
    assert (policy.form, policy.window_s) == (BucketForm.FIXED, 5.0)
    assert policy.source is PolicySource.REFUSAL


def test_what_was_once_leaky_and_is_not_any_more_is_noticed_at_the_first_answer():
    first = RoutePolicies()
    note(first, Form.SLIDING, 0.0, 0.2, 0.4, 0.6)
    second = RoutePolicies(first.learned())
    note(second, Form.FIXED, 0.0)

    assert first.get(ROUTE).form is BucketForm.LEAKY
    assert second.get(ROUTE).form is BucketForm.UNKNOWN


@pytest.mark.parametrize(
    ("form", "believed"),
    [
        (Form.SLIDING, BucketForm.LEAKY),
        (Form.FIXED, BucketForm.FIXED),
        (Form.SLIDING_LOG, BucketForm.FIXED),
    ],
)
def test_two_wrong_answers_hide_a_leaky_route_for_a_while_only(form, believed):
    policies = RoutePolicies()
    for _ in range(2):
        note(policies, Form.SLIDING, 0.0, 0.02)
        policies.note_answer(ROUTE, BucketHeaders(5, 4.9, None, None, 3))
    hidden = policies.get(ROUTE).form
    for _ in range(8):
        note(policies, form, *(n * 0.2 for n in range(5)))

    assert hidden is BucketForm.FIXED
    assert policies.get(ROUTE).form is believed


def test_a_mask_tells_no_form():
    policies = RoutePolicies()
    for _ in range(5):
        policies.note_answer(ROUTE, BucketHeaders(1000, 1.0, None, None, 999))

    assert policies.get(ROUTE).form is BucketForm.UNKNOWN
