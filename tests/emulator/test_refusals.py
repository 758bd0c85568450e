"""A 429 in every shape, through the real client: a limit stays a limit, and a ban stops."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from raysync.discord_api.client import DiscordClient
from raysync.discord_api.common_cause import CHANNELS, UNEXPLAINED
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.emulator import (
    Action,
    BanBody,
    FaultRule,
    GuildSpec,
    Limits,
    Refusals,
    World,
    generate_guild,
    serve,
)
from raysync.emulator.limits.refusals import Scope
from raysync.errors import (
    BAN_S,
    AccessDeniedError,
    BannedError,
    RateLimitedError,
    RaysyncError,
    RunStoppedError,
    TokenRejectedError,
)
from raysync.models.channel_types import TEXT
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.sync.retry import RetryPolicy
from tests.archive import AT_ONCE, Archive, FreeLimiter
from tests.emulator.adapter import KEY, before_emulator
from tests.emulator.test_adapter_limits import client_of

MESSAGES = "GET /channels/{channel_id}/messages"
HOUR_S = 3600.0


@pytest.fixture
def world() -> World:
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token", permissions=8)
    return world


def refusal(shape: Refusals = Refusals.USUAL, **more) -> FaultRule:
    return FaultRule(Action.REFUSE, route=MESSAGES, shape=shape, **more)


async def asked_under(world: World, rule: FaultRule):
    """The error of a page under *rule*, with how often it was asked for; None: it was there."""
    async with before_emulator(world, faults=[rule]) as setting:
        error: RaysyncError | None = None
        try:
            await setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)
        except RaysyncError as raised:
            error = raised
        asked = [each for each in setting.emulator.log.entries if each.route == MESSAGES]
        assert setting.limiter.under_way == 0
        return error, len(asked)


@pytest.mark.parametrize("scope", Scope)
async def test_discords_own_refusal_is_waited_out(world, scope):
    error, asked = await asked_under(world, refusal(scope=scope, retry_after_s=0.05, times=2))

    assert error is None
    assert asked == 3


@pytest.mark.parametrize(
    ("rule", "expected_s"),
    [
        pytest.param(FaultRule(Action.ANSWER, route=MESSAGES, status=429), None, id="signed-json"),
        pytest.param(refusal(Refusals.HEADER_ONLY, retry_after_s=7), 7.0, id="the-header-alone"),
        pytest.param(refusal(Refusals.BODY_ONLY, retry_after_s=70), 70.0, id="the-body-alone"),
        pytest.param(refusal(Refusals.DATE, retry_after_s=90), 90.0, id="a-date"),
        pytest.param(refusal(Refusals.NEGATIVE), None, id="negative"),
        pytest.param(refusal(Refusals.NAN), None, id="nan"),
        pytest.param(refusal(Refusals.HUGE), 600.0, id="decades"),
        pytest.param(refusal(Refusals.HUGE, scope=Scope.GLOBAL), 600.0, id="decades-global"),
        pytest.param(refusal(Refusals.HUGE, scope=Scope.SHARED), HOUR_S, id="decades-shared"),
        pytest.param(refusal(Refusals.NO_VIA, retry_after_s=7), 7.0, id="no-via"),
        pytest.param(
            refusal(headers={"content-type": "application/json; charset=utf-8"}), 1.0, id="charset"
        ),
        pytest.param(refusal(headers={"retry-after": ["2", "9"]}), 9.0, id="a-doubled-header"),
        pytest.param(
            refusal(Refusals.NO_VIA, headers={"retry-after": None, "x-ratelimit-scope": None}),
            1.0,
            id="the-body-and-nothing-else",
        ),
    ],
)
async def test_a_limit_in_another_shape_is_no_ban(world, rule, expected_s):
    error, asked = await asked_under(world, rule)

    assert type(error) is RateLimitedError
    assert error.retry_after_s == (pytest.approx(expected_s, abs=2) if expected_s else expected_s)
    assert asked == 1


@pytest.mark.parametrize(
    ("rule", "lasts_s"),
    [
        pytest.param(FaultRule(Action.BAN), BAN_S, id="json"),
        pytest.param(FaultRule(Action.BAN_HTML), BAN_S, id="a-page"),
        pytest.param(FaultRule(Action.BAN_CODE), HOUR_S, id="a-code-for-an-hour"),
        pytest.param(FaultRule(Action.BAN, headers={"retry-after": "7200"}), 7200, id="two-hours"),
        pytest.param(
            FaultRule(Action.BAN_HTML, headers={"retry-after": "1000000000"}), 86_400, id="decades"
        ),
        pytest.param(FaultRule(Action.BAN_CODE, headers={"retry-after": "NaN"}), BAN_S, id="nan"),
        pytest.param(
            FaultRule(Action.BAN_CODE, headers={"via": "1.1 proxy"}), HOUR_S, id="through-a-proxy"
        ),
        pytest.param(FaultRule(Action.HTML, status=429), BAN_S, id="a-strange-page"),
        pytest.param(FaultRule(Action.ANSWER, headers={"via": None}), BAN_S, id="in-nobodys-words"),
        pytest.param(
            FaultRule(Action.ANSWER, status=429, body="x" * 10**6), BAN_S, id="a-megabyte"
        ),
    ],
)
async def test_a_ban_in_every_shape_is_one_and_says_until_when(world, rule, lasts_s):
    rule = FaultRule(rule.action, route=MESSAGES, status=429, body=rule.body, headers=rule.headers)
    error, asked = await asked_under(world, rule)

    assert type(error) is BannedError
    left = error.until - datetime.now(UTC)
    assert left == pytest.approx(timedelta(seconds=lasts_s), abs=timedelta(seconds=10))
    assert asked == 1


@pytest.mark.parametrize("body", [b"error code: 1015", b""])
async def test_a_ban_whose_body_never_ends_is_known_at_once(body):
    asked = 0

    async def serve_half(reader, writer):
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5000\r\n\r\n" + body)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve_half, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = DiscordClient("token", f"http://127.0.0.1:{port}", FreeLimiter(), Pseudonymizer(KEY))
    async with server, asyncio.timeout(10):
        with pytest.raises(BannedError):
            await client.login()
    await client.close()

    assert asked == 1


@pytest.mark.parametrize("body", BanBody)
async def test_a_true_ban_that_says_when_to_come_back_is_told(world, body):
    limits = Limits(invalid_limit=3, ban_body=body, ban_retry_after=True, ban_s=5_000.0)
    async with before_emulator(world, limits=limits) as setting:
        people = Pseudonymizer(KEY)
        for _ in range(3):
            stranger = DiscordClient("wrong", setting.emulator.url, setting.limiter, people)
            with pytest.raises(TokenRejectedError):
                await stranger.login()
        with pytest.raises(BannedError) as caught:
            await setting.client.history.has_content_intent(anew=True)

    assert caught.value.until - datetime.now(UTC) > timedelta(seconds=4_900)


@pytest.mark.parametrize("action", [Action.BAN, Action.BAN_HTML, Action.BAN_CODE])
async def test_after_a_ban_the_real_limiter_sends_nothing_more(world, action):
    channels = [each.id for each in next(iter(world.guilds.values())).channels.values()]
    async with serve(world, limits=Limits.off()) as emulator:
        async with client_of(emulator.url) as (client, limiter):
            emulator.faults = type(emulator.faults)(FaultRule(action, route=MESSAGES))
            for each in channels[:8]:
                with pytest.raises(BannedError):
                    await client.history.fetch_after(each, 0, 100)
            assert limiter.usage().rate_limit_hits == {"ban": 1}
        assert emulator.counters.by_status[429] == 1


async def test_a_limit_in_the_body_alone_holds_its_bucket(world):
    channel = next(each.id for each in next(iter(world.guilds.values())).channels.values())
    rule = refusal(Refusals.BODY_ONLY, retry_after_s=400)
    async with serve(world, faults=[rule]) as emulator, client_of(emulator.url) as (client, held):
        with pytest.raises(RateLimitedError):
            await client.history.fetch_after(channel, 0, 100)

        assert held.bucket(MESSAGES, str(channel)).pause_s() == pytest.approx(400, abs=5)
        assert held.usage().rate_limit_hits == {"user": 1}


async def test_the_refusal_that_is_one_too_many_is_no_longer_its_channels():
    world = World(generate_guild(GuildSpec.uniform(30, 1)))
    world.add_bot("token")
    rule = FaultRule(Action.ANSWER, route=MESSAGES, status=403)
    async with before_emulator(world, faults=[rule]) as setting:
        errors = []
        for each in setting.guild.channels.values():
            with pytest.raises(RaysyncError) as caught:
                await setting.client.history.fetch_after(each.id, 0, 100)
            errors.append(type(caught.value))

        assert setting.emulator.counters.by_status[403] == UNEXPLAINED
    assert errors[:20] == [AccessDeniedError] * 19 + [RunStoppedError]
    assert set(errors[20:]) == {RunStoppedError}


@pytest.mark.parametrize(
    ("rule", "most", "words"),
    [
        pytest.param(
            FaultRule(Action.ANSWER, route=MESSAGES, status=403, body={"code": 50001}),
            UNEXPLAINED + AT_ONCE,
            ("403", "raysync doctor"),
            id="403",
        ),
        pytest.param(
            FaultRule(
                Action.ANSWER,
                route=MESSAGES,
                status=429,
                body={"message": "slow down"},
                headers={"retry-after": "0.001", "via": None},
            ),
            CHANNELS * (RetryPolicy().max_attempts + 1),
            ("429", "firewall"),
            id="a-429-of-nobodys",
        ),
        pytest.param(
            FaultRule(Action.BAN_CODE, route=MESSAGES), AT_ONCE, ("blocks this address",), id="ban"
        ),
    ],
)
async def test_a_run_that_is_refused_everywhere_stops_and_says_so_once(
    engine, rule: FaultRule, most: int, words: tuple[str, ...]
) -> None:
    world = World(generate_guild(GuildSpec.uniform(150, 20)))
    world.add_bot("token")
    (guild_id,) = world.guilds
    async with serve(world, limits=Limits.off(), faults=[rule]) as emulator:
        archive = Archive(engine, emulator.url, "token", 100)
        await archive.add(guild_id)
        end = await archive.run(SyncWindow(SyncType.INCREMENTAL))

        assert end.status is JobStatus.FAILED
        (trouble,) = end.troubles
        assert trouble.channel_id is None
        assert all(word in trouble.message for word in words)
        assert emulator.counters.invalid <= most

        emulator.faults = type(emulator.faults)()
        again = await archive.run(SyncWindow(SyncType.INCREMENTAL))
        assert again.status in (JobStatus.COMPLETED, JobStatus.PARTIAL)
