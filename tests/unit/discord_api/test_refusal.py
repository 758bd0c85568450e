"""Whether a 429 is a limit or a ban, and how long it asks to wait."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from raysync.errors import BAN_S
from raysync.models.header_values import bounded_wait, only_number, seconds_in
from raysync.models.refusal import LONGEST_PAUSE_S, SHORTEST_BAN_S, Refusal, Scope

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DISCORDS = {"via": "1.1 google", "content-type": "application/json"}
HOUR = {"retry-after": "3600"}
DECADES = {"retry-after": "1000000000"}
SHARE = {"x-ratelimit-scope": "shared"}
BLOCKED = b'{"code": 0, "message": "You are being blocked from accessing our API temporarily"}'
PAGE = b"<!doctype html>\n<html><head><title>Access denied</title></head><h1>Error 1015</h1></html>"
CODE = b"error code: 1015"
USER, GLOBAL, SHARED, BAN = Scope.USER, Scope.GLOBAL, Scope.SHARED, Scope.BAN


def limited(retry_after: object = 7.0, **more: object) -> bytes:
    body = {"message": "You are being rate limited.", "global": False} | more
    return json.dumps(body | ({} if retry_after is None else {"retry_after": retry_after})).encode()


def at(after_s: float) -> dict[str, str]:
    return {"retry-after": format_datetime(NOON + timedelta(seconds=after_s), usegmt=True)}


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        pytest.param(DISCORDS | {"retry-after": "7"}, limited(), (USER, 7.0), id="as-documented"),
        pytest.param(DISCORDS, limited(), (USER, 7.0), id="in-the-body-alone"),
        pytest.param({}, limited(), (USER, 7.0), id="the-body-and-nothing-else"),
        pytest.param(DISCORDS | at(90), limited(), (USER, 90.0), id="a-date"),
        pytest.param(DISCORDS | at(-90), limited(), (USER, 7.0), id="a-date-gone-by"),
        pytest.param(DISCORDS | {"retry-after": "-5"}, limited(-5), (USER, None), id="negative"),
        pytest.param(DISCORDS | {"retry-after": "nan"}, limited(math.nan), (USER, None), id="nan"),
        pytest.param(DISCORDS | {"retry-after": "soon"}, limited("?"), (USER, None), id="garbage"),
        pytest.param(DISCORDS, limited(True), (USER, None), id="a-truth-value"),
        pytest.param(DISCORDS, limited("7"), (USER, 7.0), id="a-text"),
        pytest.param(DISCORDS | {"retry-after": "0"}, limited(0), (USER, None), id="nothing"),
        pytest.param(DISCORDS, limited(1e9), (USER, 600.0), id="decades"),
        pytest.param(DISCORDS, limited(10**400), (USER, 600.0), id="more-than-a-float-holds"),
        pytest.param(DISCORDS, limited(math.inf), (USER, 600.0), id="for-ever"),
        pytest.param(
            DISCORDS | DECADES,
            limited(2),
            (USER, 2.0),
            id="one-is-believable",
        ),
        pytest.param(
            DISCORDS | {"retry-after": "61"}, limited(1.0), (USER, 61.0), id="they-differ"
        ),
        pytest.param(DISCORDS, limited(None), (USER, None), id="the-words-alone"),
        pytest.param(DISCORDS, limited(**{"global": True}), (GLOBAL, 7.0), id="global-by-the-body"),
        pytest.param(
            DISCORDS | {"x-ratelimit-global": "true"}, limited(), (GLOBAL, 7.0), id="by-its-header"
        ),
        pytest.param(
            DISCORDS | {"x-ratelimit-scope": "global"}, limited(), (GLOBAL, 7.0), id="by-the-scope"
        ),
        pytest.param(
            DISCORDS, limited(1e9, **{"global": True}), (GLOBAL, 600.0), id="global-decades"
        ),
        pytest.param(
            SHARE | {"retry-after": "1337"},
            b"",
            (SHARED, 1337.0),
            id="shared",
        ),
        pytest.param(SHARE | DECADES, b"", (SHARED, 3600.0), id="long"),
        pytest.param(
            {"x-ratelimit-scope": "ban"}, limited(), (USER, 7.0), id="no-scope-of-discords"
        ),
        pytest.param({"x-ratelimit-remaining": "0"} | HOUR, b"", (USER, 600.0), id="a-bucket"),
        pytest.param({"x-ratelimit-limit": "5"}, b"<html>busy</html>", (USER, None), id="a-page"),
        pytest.param(DISCORDS, limited()[:60], (USER, None), id="cut-off"),
        pytest.param({"via": "1.1 google"} | HOUR, b"", (USER, 600.0), id="signed-and-no-body"),
        pytest.param(
            {"retry-after": "3"}, b'{"message": "slow down"}', (USER, 3.0), id="somebodys"
        ),
        pytest.param(DISCORDS, b'{"message": "429: Error"}', (USER, None), id="signed-json"),
        pytest.param(DISCORDS | {"retry-after": "-1"}, b"", (USER, None), id="signed-as-json"),
        pytest.param(DISCORDS, BLOCKED, (BAN, None), id="signed-and-blocked"),
        pytest.param({"via": "1.1 google"}, b"", (BAN, None), id="signed-and-nothing-else"),
        pytest.param({"via": "1.1 google"} | HOUR, b"<p>busy</p>", (BAN, 3600.0), id="signed-page"),
        pytest.param({}, BLOCKED, (BAN, None), id="blocked"),
        pytest.param(HOUR, BLOCKED, (BAN, 3600.0), id="blocked-for-an-hour"),
        pytest.param(DISCORDS | HOUR, BLOCKED, (BAN, 3600.0), id="blocked-and-signed"),
        pytest.param({}, PAGE, (BAN, None), id="a-ban-as-a-page"),
        pytest.param(HOUR, PAGE, (BAN, 3600.0), id="a-page-for-an-hour"),
        pytest.param(HOUR, CODE, (BAN, 3600.0), id="a-code-for-an-hour"),
        pytest.param({"via": "1.1 proxy"} | HOUR, CODE, (BAN, 3600.0), id="through-a-proxy"),
        pytest.param({"via": "1.1 google"} | HOUR, CODE, (BAN, 3600.0), id="a-code-and-signed"),
        pytest.param(
            {"x-ratelimit-limit": "5"} | HOUR, CODE, (BAN, 3600.0), id="a-code-and-a-bucket"
        ),
        pytest.param(
            {},
            b'{"error_code": 1015, "retry_after": 30}',
            (BAN, SHORTEST_BAN_S),
            id="cloudflares-json",
        ),
        pytest.param(HOUR, b"<html>a firewall's</html>", (BAN, 3600.0), id="a-strange-page"),
        pytest.param(HOUR, b"", (BAN, 3600.0), id="an-hour-and-nothing-else"),
        pytest.param({}, b"", (BAN, None), id="nothing-at-all"),
        pytest.param(
            {}, b'{"message": "429: Error", "code": 0}', (BAN, None), id="no-limits-words"
        ),
        pytest.param(DECADES, CODE, (BAN, 86_400.0), id="banned-for-decades"),
        pytest.param({"retry-after": "nan"}, CODE, (BAN, None), id="banned-for-nan"),
        pytest.param(at(7200), CODE, (BAN, 7200.0), id="banned-until-a-date"),
    ],
)
def test_a_429_is_understood_by_all_there_is(headers, body, expected):
    refusal = Refusal.read(CIMultiDict(headers), body, NOON)

    assert (refusal.scope, refusal.retry_after_s) == expected


def test_a_limit_that_nobody_knows_is_told_from_discords_own():
    assert not Refusal.read({"retry-after": "3"}, b'{"message": "slow down"}').is_known
    assert Refusal.read({}, limited()).is_known


def test_a_date_counts_from_the_answers_own_clock():
    sent = {"date": format_datetime(NOON - timedelta(hours=5), usegmt=True)}
    until = {"retry-after": format_datetime(NOON - timedelta(hours=5, seconds=-20), usegmt=True)}

    assert Refusal.read(sent | until, limited(None), NOON).retry_after_s == 20.0


def test_a_header_that_comes_twice_says_its_longest_believable():
    headers = CIMultiDict([("Retry-After", "5"), ("Retry-After", "60"), ("Retry-After", "1e9")])

    assert Refusal.read(headers, limited(1.0)).retry_after_s == 60.0
    assert Refusal.read({"retry-after": "5, 60"}, limited(1.0)).retry_after_s == 60.0


def test_how_long_to_pause_where_nothing_is_asked_for():
    assert Refusal(BAN).pause_s == BAN_S
    assert Refusal(USER).pause_s == 1.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["5"], 5.0), (["5", "5"], 5.0), (["5", "6"], None), (["5, 6"], None), (["inf"], None)],
)
def test_a_number_that_contradicts_itself_is_none(values, expected):
    headers = CIMultiDict([("X-RateLimit-Limit", each) for each in values])

    assert only_number(headers, "x-ratelimit-limit") == expected


HEADER_TEXTS = st.one_of(
    st.text(max_size=40),
    st.floats(allow_nan=True).map(str),
    st.integers().map(str),
    st.datetimes(timezones=st.just(UTC)).map(lambda at: format_datetime(at, usegmt=True)),
    st.sampled_from(["1.1 google", "user", "global", "shared", "ban", "true", "9" * 400]),
)
NAMES = ["Via", "Retry-After", "Date", "Content-Type"] + [
    f"X-RateLimit-{each}"
    for each in ("Limit", "Remaining", "Reset", "Reset-After", "Bucket", "Scope", "Global")
]
ANY_HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), HEADER_TEXTS), max_size=6).map(CIMultiDict)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)
ANY_BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([BLOCKED, PAGE, CODE, limited(), b"{" * 9_000]),
    st.fixed_dictionaries({"retry_after": JSON, "message": JSON, "global": JSON}).map(
        lambda body: json.dumps(body).encode()
    ),
)


@given(ANY_HEADERS, ANY_BODIES)
def test_whatever_comes_the_pause_is_bounded_and_the_headers_say_the_same(headers, body):
    refusal = Refusal.read(headers, body, NOON)
    again = Refusal.read(refusal.headers(headers))

    assert 0 < refusal.pause_s <= LONGEST_PAUSE_S[refusal.scope]
    assert (again.scope, again.retry_after_s) == (refusal.scope, refusal.retry_after_s)


@given(ANY_HEADERS, JSON)
def test_what_discord_signed_is_never_a_ban(headers, retry_after):
    headers.setdefault("Via", "1.1 google")
    body = json.dumps({"message": "You are being rate limited.", "retry_after": retry_after})

    assert Refusal.read(headers, body.encode(), NOON).scope is not BAN


@given(ANY_HEADERS.map(lambda all_: CIMultiDict({k: v for k, v in all_.items() if "X-" not in k})))
def test_what_cloudflare_says_is_always_a_ban(headers):
    for body in (BLOCKED, PAGE, CODE):
        assert Refusal.read(headers, body, NOON).scope is BAN


@given(st.one_of(JSON, st.text(), st.floats(), st.integers()))
def test_a_number_is_one_that_can_be_waited_for(value):
    number = seconds_in(value)

    assert number is None or number >= 0
    assert 0 <= (bounded_wait([number or 0.0], 60.0) or 0.0) <= 60.0
