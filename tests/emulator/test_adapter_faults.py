"""What a client says when Discord, or the way there, fails."""

import asyncio
import pickle

import orjson
import pytest

from raysync.emulator import Action, FaultRule, GuildSpec, World, generate_guild
from raysync.errors import (
    AccessDeniedError,
    BannedError,
    NotFoundError,
    PayloadError,
    PermanentError,
    RateLimitedError,
    RaysyncError,
    RetryableError,
)
from raysync.models.channel_types import TEXT
from tests.emulator.adapter import before_emulator

MESSAGES = "GET /channels/{channel_id}/messages"


@pytest.fixture
def world():
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token", permissions=8)
    return world


async def ask_under(world, rule: FaultRule, **options):
    """The error of one page read while *rule* holds, and the limiter."""
    async with before_emulator(world, faults=[rule], **options) as setting:
        try:
            await setting.client.fetch_after(setting.channel_of(TEXT).id, 0, 100)
        except RaysyncError as error:
            return error, setting
        raise AssertionError("it did not fail")


def fault(action=Action.ANSWER, **more) -> FaultRule:
    return FaultRule(action, route=MESSAGES, **more)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(fault(status=403), AccessDeniedError, id="403"),
        pytest.param(fault(status=404), NotFoundError, id="404"),
        pytest.param(fault(status=400), PermanentError, id="400"),
        pytest.param(fault(status=503), RetryableError, id="503"),
        pytest.param(fault(Action.HTML, status=520), RetryableError, id="a-proxys-page"),
        pytest.param(fault(Action.BAN), BannedError, id="a-ban"),
        pytest.param(fault(Action.BAN_HTML), BannedError, id="a-ban-as-a-page"),
        pytest.param(fault(Action.SHARED, retry_after_s=99.0), RateLimitedError, id="a-long-pause"),
        pytest.param(fault(Action.RESET), RetryableError, id="a-reset"),
        pytest.param(fault(Action.TRUNCATE), RetryableError, id="a-truncated-body"),
        pytest.param(fault(Action.MALFORMED), RetryableError, id="half-a-document"),
        pytest.param(
            fault(Action.CONTENT_TYPE, content_type="text/html"),
            RetryableError,
            id="a-wrong-content-type",
        ),
        pytest.param(fault(status=200, body={"no": "list"}), PayloadError, id="no-list"),
        pytest.param(fault(status=200, body=[{"id": "1"}]), PayloadError, id="no-message"),
    ],
)
async def test_each_failure_has_an_error_of_ours_that_can_leave_the_process(world, rule, expected):
    error, setting = await ask_under(world, rule)
    again = pickle.loads(pickle.dumps(error))

    assert type(error) is expected
    assert (type(again), again.args) == (type(error), error.args)
    assert "token" not in str(error)
    assert setting.limiter.under_way == 0


async def test_a_long_pause_says_how_long(world):
    error, _ = await ask_under(world, fault(Action.SHARED, retry_after_s=99.0))

    assert error.retry_after_s == 99.0


async def test_silence_ends_after_the_time_set(world):
    error, setting = await ask_under(world, fault(Action.HANG, delay_s=5.0), request_timeout_s=0.2)

    assert type(error) is RetryableError
    assert setting.limiter.under_way == 0


async def test_discord_pys_own_repeat_passes_the_gate_too(world):
    rule = fault(Action.SHARED, retry_after_s=0.05, times=1)
    async with before_emulator(world, faults=[rule]) as setting:
        page = await setting.client.fetch_after(setting.channel_of(TEXT).id, 0, 100)

        assert page
        assert setting.limiter.ended[MESSAGES, 429] == 1
        assert setting.limiter.ended[MESSAGES, 200] == 1
        assert setting.limiter.sent == setting.emulator.counters.requests


async def test_a_cancelled_request_leaves_the_gate(world):
    async with before_emulator(world, faults=[fault(Action.HANG, delay_s=5.0)]) as setting:
        asking = asyncio.create_task(
            setting.client.fetch_after(setting.channel_of(TEXT).id, 0, 100)
        )
        async with asyncio.timeout(5):
            while not setting.emulator.faults.taken[0]:
                await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        assert setting.limiter.under_way == 0
        assert setting.limiter.ended[MESSAGES, None] == 1


async def test_half_a_surrogate_pair_does_not_lose_the_page(world):
    (guild,) = world.guilds.values()
    channel = next(each for each in guild.channels.values() if each.log.ids)
    whole = orjson.dumps(
        [world.message(channel, each) | {"content": "odd"} for each in channel.log.ids[:3]]
    )
    body = whole.replace(b'"odd"', rb'"odd \ud83d"').decode()
    rule = fault(status=200, body=body, content_type="application/json")
    async with before_emulator(world, faults=[rule]) as setting:
        page = await setting.client.fetch_after(channel.id, 0, 100)

    assert [each.content for each in page] == ["odd \ufffd"] * 3
