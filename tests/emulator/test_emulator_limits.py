"""Buckets, global limits and the ban, in a time of the test's own."""

import re

import orjson
import pytest

from raysync.emulator import BanBody, Form, GuildSpec, Headers, Limits, World, generate_guild
from raysync.emulator.api.quirks import Quirks
from raysync.emulator.api.requests import Incoming
from raysync.emulator.limits import RouteLimit
from raysync.emulator.serving.engine import Engine

pytestmark = pytest.mark.unit


class Clock:
    """Seconds that pass when told."""

    def __init__(self):
        self.now_s = 1_000.0

    def __call__(self):
        return self.now_s


class Asker:
    """Asks an engine without a socket."""

    def __init__(self, **limits):
        self.clock = Clock()
        self.world = World(generate_guild(GuildSpec.tiny()))
        self.world.add_bot("a")
        self.world.add_bot("b")
        self.engine = Engine(self.world, Limits(clock=self.clock, **limits), Quirks())
        (guild,) = self.world.guilds.values()
        self.channels = [each.id for each in guild.channels.values() if each.type == 0]

    def page(self, channel=0, token="a", after_s=0.0):
        """Ask for a page and return the reply."""
        self.clock.now_s += after_s
        return self.ask(f"/channels/{self.channels[channel]}/messages", token)

    def ask(self, path, token="a"):
        incoming = Incoming("GET", path, "", "10.0.0.1", f"Bot {token}", "test")
        return self.engine.answer(incoming, self.engine.find(incoming)).reply

    def burst(self, count, **page):
        """Return how many of *count* requests at once pass."""
        return sum(self.page(**page).status == 200 for _ in range(count))


@pytest.mark.parametrize(
    ("form", "after_one_second", "after_five_seconds"),
    [
        pytest.param(Form.SLIDING, 1, 4, id="a-leaky-bucket-gives-one-back-each-second"),
        pytest.param(Form.FIXED, 0, 5, id="a-fixed-window-gives-all-back-at-its-end"),
        pytest.param(Form.SLIDING_LOG, 0, 5, id="a-log-gives-back-what-is-a-window-old"),
    ],
)
def test_a_channel_lets_five_pass_then_refills(form, after_one_second, after_five_seconds):
    asker = Asker(bucket_form=form)

    assert asker.burst(8) == 5
    asker.clock.now_s += 1.0
    assert asker.burst(8) == after_one_second
    asker.clock.now_s += 4.0
    assert asker.burst(8) == after_five_seconds


@pytest.mark.parametrize("form", list(Form))
def test_waiting_as_told_always_passes(form):
    asker = Asker(bucket_form=form)
    for _ in range(40):
        reply = asker.page()
        if reply.status == 429:
            told_s = orjson.loads(reply.body)["retry_after"]

            assert asker.page(after_s=told_s).status == 200


@pytest.mark.parametrize("form", list(Form))
def test_no_stretch_of_a_second_passes_twice_the_global_limit(form):
    asker = Asker(global_form=form, routes={})
    passed = [asker.clock.now_s for _ in range(600) if asker.page(after_s=0.005).status == 200]
    for start in passed:
        assert sum(start <= each < start + 1.0 for each in passed) <= 100
    assert 145 <= len(passed) <= 200


def test_global_refusal_has_its_own_headers_and_body():
    asker = Asker(routes={})
    asker.burst(50)
    reply = asker.page()

    assert reply.status == 429
    assert orjson.loads(reply.body) == {
        "message": "You are being rate limited.",
        "retry_after": 1.0,
        "global": True,
    }
    assert reply.headers == {
        "retry-after": "1",
        "x-ratelimit-scope": "global",
        "x-ratelimit-global": "true",
    }


def test_tokens_and_channels_have_buckets_of_their_own():
    asker = Asker()

    assert asker.burst(8) == 5
    assert asker.burst(8, channel=1) == 5
    assert asker.burst(8, token="b") == 5


def test_pins_share_one_bucket_for_the_whole_bot():
    asker = Asker()
    pins = [asker.ask(f"/channels/{asker.channels[at % 3]}/messages/pins") for at in range(8)]

    assert [reply.status for reply in pins] == [200] * 6 + [429] * 2


def test_honest_headers_tell_the_bucket():
    asker = Asker()
    headers = [asker.page().headers for _ in range(3)]

    assert [each["x-ratelimit-remaining"] for each in headers] == ["4", "3", "2"]
    assert [each["x-ratelimit-reset-after"] for each in headers] == ["1.000", "2.000", "3.000"]
    assert {each["x-ratelimit-limit"] for each in headers} == {"5"}


def test_masked_headers_tell_the_truth_only_when_refusing():
    asker = Asker(headers=Headers.MASKED)
    passed, refused = [asker.page() for _ in range(6)][4:]

    assert passed.headers["x-ratelimit-limit"] == "1000"
    assert passed.headers["x-ratelimit-remaining"] == "999"
    assert refused.headers["x-ratelimit-limit"] == "5"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert passed.headers["x-ratelimit-bucket"] != refused.headers["x-ratelimit-bucket"]


def test_no_headers_but_retry_after_when_they_are_off():
    asker = Asker(headers=Headers.NONE)
    replies = [asker.page() for _ in range(6)]

    assert replies[0].headers == {}
    assert sorted(replies[5].headers) == ["retry-after", "x-ratelimit-scope"]


def test_header_and_body_may_differ():
    asker = Asker(retry_header_extra_s=60.0)
    asker.burst(5)
    reply = asker.page()

    assert reply.headers["retry-after"] == "61"
    assert orjson.loads(reply.body)["retry_after"] == 1.0


def test_speed_shrinks_windows_and_the_waits_told():
    asker = Asker(speed=10.0)
    asker.burst(5)
    reply = asker.page()

    assert orjson.loads(reply.body)["retry_after"] == 0.1
    assert asker.page(after_s=0.1).status == 200


def test_a_shared_limit_refuses_all_tokens_and_is_no_invalid_request():
    route = "GET /channels/{channel_id}/messages"
    asker = Asker(shared_routes={route: RouteLimit(2, 60.0)}, invalid_limit=3)
    replies = [asker.page(token=token) for token in "abababab"]

    assert [reply.status for reply in replies] == [200] * 2 + [429] * 6
    assert replies[-1].headers["x-ratelimit-scope"] == "shared"
    assert orjson.loads(replies[-1].body)["message"] == "The resource is being rate limited."


@pytest.mark.parametrize("body", list(BanBody))
def test_too_many_invalid_requests_ban_the_address_for_an_hour(body):
    asker = Asker(invalid_limit=10, ban_body=body)
    statuses = [asker.ask("/users/@me", "wrong").status for _ in range(10)]
    banned = asker.ask("/users/@me")

    assert statuses == [401] * 10
    assert (banned.status, banned.headers) == (429, {})
    assert banned.body.startswith(b"<!doctype" if body is BanBody.HTML else b'{"code":0')
    asker.clock.now_s += 3_600
    assert asker.ask("/users/@me").status == 200


def test_invalid_requests_are_forgotten_after_ten_minutes():
    asker = Asker(invalid_limit=10)
    for _ in range(30):
        asker.clock.now_s += 100.0

        assert asker.ask("/users/@me", "wrong").status == 401


def test_reset_is_a_time_in_milliseconds():
    assert re.fullmatch(r"\d{10}\.\d{3}", Asker().page().headers["x-ratelimit-reset"])
