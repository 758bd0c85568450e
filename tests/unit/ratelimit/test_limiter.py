"""A worker's limiter, in virtual time: what it counts, forgets and refuses to wait for."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime

import pytest

from raysync.errors import BannedError, PermitUnavailableError, RateLimitedError
from raysync.models.permits import Demand, Lease
from raysync.ratelimit.limiter import WorkerLimiter
from raysync.ratelimit.permits import PermitPool
from tests.virtual_time import LoopClock, run_virtual

MESSAGES = "GET /channels/{channel_id}/messages"
ME = "GET /users/@me"


class Scene:
    """A limiter whose governor grants everything; what it reports is kept."""

    def __init__(self) -> None:
        self.reported: list[tuple[int, str | None, float | None]] = []
        self.granting = True
        self.permits = PermitPool(self.lease, LoopClock())
        self.limiter = WorkerLimiter(self.permits, LoopClock(), self.report)

    async def lease(self, want: Demand) -> Lease:
        if not self.granting:
            raise ConnectionError
        return Lease(asyncio.get_running_loop().time(), (0.0,) * want.permits, 10.0)

    async def report(self, status, scope, retry_after_s) -> None:
        self.reported.append((status, scope, retry_after_s))

    async def ask(self, route=ME, major=None, status=200, headers=None) -> float:
        request = await self.limiter.enter(route, major)
        request.sent()
        request.finish(status, headers or {})
        return asyncio.get_running_loop().time()


def in_scene(play):
    async def whole():
        scene = Scene()
        result = await play(scene)
        await scene.limiter.close()
        await scene.permits.close()
        return result

    return run_virtual(whole())


def refused(scope=None, retry_after=None):
    headers = {"x-ratelimit-scope": scope, "retry-after": retry_after}
    return {key: value for key, value in headers.items() if value is not None}


def test_usage_counts_by_route_and_status_and_tells_first_and_last():
    async def play(scene):
        await scene.ask()
        await scene.ask(MESSAGES, "1", 200)
        await asyncio.sleep(3)
        await scene.ask(MESSAGES, "2", None)
        await scene.ask(MESSAGES, "3", 429, refused("shared", "2"))
        return scene.limiter.usage()

    usage = in_scene(play)

    assert usage.calls == {
        f"{ME} 200": 1,
        f"{MESSAGES} 200": 1,
        f"{MESSAGES} lost": 1,
        f"{MESSAGES} 429": 1,
    }
    assert usage.rate_limit_hits == {"shared": 1}
    assert (usage.last_request_at - usage.first_request_at).total_seconds() == pytest.approx(3)


def test_waiting_for_a_bucket_is_counted_as_such():
    async def play(scene):
        times = [await scene.ask(MESSAGES, "1") for _ in range(6)]
        return times, scene.limiter.usage()

    times, usage = in_scene(play)

    assert times[4] == 0.0
    assert times[5] == pytest.approx(5.02)
    assert usage.bucket_wait_s == pytest.approx(5.02)


def test_channels_do_not_wait_for_each_other():
    async def play(scene):
        return [await scene.ask(MESSAGES, str(n % 4)) for n in range(20)]

    assert in_scene(play)[-1] == 0.0


def test_a_lost_request_counts_against_the_bucket():
    async def play(scene):
        return [await scene.ask(MESSAGES, "1", None) for _ in range(6)]

    assert in_scene(play)[-1] > 5.0


def test_a_request_that_was_never_sent_counts_nowhere():
    async def play(scene):
        for _ in range(10):
            request = await scene.limiter.enter(MESSAGES, "1")
            request.finish(None, {})
        return await scene.ask(MESSAGES, "1"), scene.limiter.usage().calls

    assert in_scene(play) == (0.0, {f"{MESSAGES} 200": 1})


def test_a_coroutine_cancelled_while_it_waits_gives_everything_back():
    async def play(scene):
        for _ in range(5):
            await scene.ask(MESSAGES, "1")
        waiting = asyncio.create_task(scene.ask(MESSAGES, "1"))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await scene.ask(MESSAGES, "1")

    assert in_scene(play) == pytest.approx(5.02)


def test_without_a_permit_the_bucket_is_as_before():
    async def play(scene):
        scene.granting = False
        for _ in range(10):
            with pytest.raises(PermitUnavailableError):
                await scene.ask(MESSAGES, "1")
        scene.granting = True
        return await scene.ask(MESSAGES, "1")

    assert in_scene(play) == 0.0


def test_a_bucket_closed_for_long_is_an_error_that_says_how_long():
    async def play(scene):
        await scene.ask(MESSAGES, "1", 429, refused("shared", "1337"))
        with pytest.raises(RateLimitedError) as caught:
            await scene.ask(MESSAGES, "1")
        return caught.value.retry_after_s, await scene.ask(MESSAGES, "2")

    retry_after_s, other_at_s = in_scene(play)

    assert retry_after_s == pytest.approx(1337)
    assert other_at_s == 0.0


def test_a_refusal_holds_its_bucket_for_as_long_as_it_says():
    async def play(scene):
        await scene.ask(ME, None, 429, refused("user", "7"))
        return await scene.ask(ME, None)

    assert in_scene(play) == pytest.approx(7.0)


def test_a_global_refusal_holds_every_request():
    async def play(scene):
        await scene.ask(ME, None, 429, refused("global", "4"))
        return await scene.ask(MESSAGES, "1"), scene.reported

    asked_at_s, reported = in_scene(play)

    assert asked_at_s == pytest.approx(4.0)
    assert reported == [(429, "global", 4.0)]


def test_a_ban_stops_everything_at_once():
    async def play(scene):
        await scene.ask(ME, None, 429, {})
        with pytest.raises(BannedError):
            await scene.ask(MESSAGES, "1")
        return scene.reported, asyncio.get_running_loop().time()

    assert in_scene(play) == ([(429, "ban", None)], 0.0)


@pytest.mark.parametrize("retry_after", ["1000000000", "inf", "9" * 400])
@pytest.mark.parametrize(("scope", "most_s"), [("user", 600.0), ("shared", 3600.0)])
def test_a_pause_of_decades_is_bounded_and_of_its_bucket_alone(scope, most_s, retry_after):
    async def play(scene):
        await scene.ask(MESSAGES, "1", 429, refused(scope, retry_after))
        other_at_s = await scene.ask(MESSAGES, "2")
        return other_at_s, scene.limiter.bucket(MESSAGES, "1").pause_s(), scene.reported

    other_at_s, pause_s, reported = in_scene(play)

    assert other_at_s == 0.0
    assert pause_s == pytest.approx(most_s)
    assert reported == [(429, scope, most_s)]


def test_a_global_pause_of_decades_is_bounded():
    async def play(scene):
        await scene.ask(ME, None, 429, refused("global", "1000000000"))
        while True:
            with suppress(PermitUnavailableError):
                return await scene.ask(MESSAGES, "1")

    assert in_scene(play) == pytest.approx(600.0, abs=60)


@pytest.mark.parametrize("retry_after", ["-1", "nan", "soon", "0", ""])
@pytest.mark.parametrize("scope", ["user", "global", "shared"])
def test_a_pause_that_makes_no_sense_is_a_short_one(scope, retry_after):
    async def play(scene):
        await scene.ask(ME, None, 429, refused(scope, retry_after))
        return await scene.ask(ME, None), scene.reported

    asked_at_s, reported = in_scene(play)

    assert asked_at_s == pytest.approx(1.0)
    assert reported == [(429, scope, None)]


def test_a_ban_that_says_until_when_is_one_and_says_so():
    async def play(scene):
        await scene.ask(MESSAGES, "1", 429, {"retry-after": "7200"})
        with pytest.raises(BannedError) as caught:
            await scene.ask(MESSAGES, "2")
        return scene.reported, caught.value.until - LoopClock().now()

    reported, left = in_scene(play)

    assert reported == [(429, "ban", 7200.0)]
    assert left.total_seconds() == pytest.approx(7200.0)


def test_a_date_is_a_pause_and_no_ban():
    async def play(scene):
        until = format_datetime(LoopClock().now() + timedelta(seconds=9), usegmt=True)
        signed = {"via": "1.1 google", "retry-after": until}
        await scene.ask(MESSAGES, "1", 429, signed)
        return await scene.ask(MESSAGES, "1"), scene.reported

    asked_at_s, reported = in_scene(play)

    assert asked_at_s == pytest.approx(9.0)
    assert reported == [(429, "user", 9.0)]


@pytest.mark.parametrize("scope", ["ban", "everybody", "USER "])
def test_a_scope_is_one_that_is_known(scope):
    async def play(scene):
        await scene.ask(MESSAGES, "1", 429, refused(scope, "3") | {"x-ratelimit-limit": "5"})
        return scene.reported, scene.limiter.usage().rate_limit_hits

    assert in_scene(play) == ([(429, "user", 3.0)], {"user": 1})


def test_a_403_counts_whatever_scope_it_names():
    async def play(scene):
        await scene.ask(MESSAGES, "1", 403, {"x-ratelimit-scope": "shared"})
        await asyncio.sleep(0)
        return scene.reported

    assert in_scene(play) == [(403, None, None)]


def test_what_counts_toward_a_ban_is_reported_and_the_rest_is_not():
    async def play(scene):
        for status in (200, 401, 403, 404, 500, None):
            await scene.ask(ME, None, status)
        await asyncio.sleep(0)
        return scene.reported

    assert in_scene(play) == [(401, None, None), (403, None, None)]


def test_idle_buckets_are_forgotten():
    async def play(scene):
        for n in range(5_000):
            await scene.ask(MESSAGES, str(n))
            await asyncio.sleep(0.1)
        return len(scene.limiter._queues)

    assert in_scene(play) < 1_100


def test_a_bucket_in_use_survives_the_discarding_of_idle_ones():
    async def play(scene):
        bucket = scene.limiter.bucket(MESSAGES, "held")
        for n in range(1_500):
            scene.limiter.bucket(MESSAGES, str(n))
        return bucket is scene.limiter.bucket(MESSAGES, "held"), len(scene.limiter._queues)

    is_same, buckets = in_scene(play)
    assert is_same
    assert buckets < 1_100


def test_coroutines_at_one_bucket_pass_in_the_order_they_came():
    async def play(scene):
        order = []

        async def numbered(n):
            await scene.ask(MESSAGES, "1")
            order.append(n)

        await asyncio.gather(*(numbered(n) for n in range(12)))
        return order

    assert in_scene(play) == list(range(12))
