"""What a client says when Discord, or the way there, fails."""

import asyncio
import json
import pickle

import orjson
import pytest

from raysync.emulator import Action, FaultRule, GuildSpec, World, generate_guild
from raysync.emulator.faults import FaultScript
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
            await setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)
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
    ],
)
async def test_each_failure_has_an_error_of_ours_that_can_leave_the_process(world, rule, expected):
    error, setting = await ask_under(world, rule)
    again = pickle.loads(pickle.dumps(error))

    assert type(error) is expected
    assert (type(again), again.args) == (type(error), error.args)
    assert "token" not in str(error)
    assert setting.limiter.under_way == 0


async def test_records_that_are_no_messages_cost_no_other(world):
    body = [{"id": "1"}, None, {"id": "x"}, [[]], {"id": "2", "content": "hi"}]
    async with before_emulator(world, faults=[fault(status=200, body=body)]) as setting:
        page = await setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)

    assert [each.id for each in page] == [1, 0, 0, 0, 2]
    assert page[4].content == "hi"
    assert all(each.quarantine for each in page)


@pytest.mark.parametrize("members", [7, None, [None, 5, [], {"user_id": []}, {"id": {}}]])
async def test_odd_memberships_cost_no_thread(world, members):
    thread = {"id": "70", "type": 12, "name": "t", "parent_id": "5", "thread_metadata": {}}
    async with before_emulator(world) as setting:
        bot = (await setting.client.guilds.identify()).user_id
        joined = [{"id": "71", "user_id": str(bot)}] if isinstance(members, list) else []
        told = [*members, *joined] if isinstance(members, list) else members
        body = {"threads": [thread, None, thread | {"id": "71"}], "members": told}
        route = "GET /guilds/{guild_id}/threads/active"
        rule = FaultRule(
            Action.ANSWER, route=route, status=200, body=body, content_type="application/json"
        )
        setting.emulator.faults = FaultScript(rule)
        found = await setting.client.guilds.list_active_threads(setting.guild.id)

    assert [each.id for each in found] == [70, 0, 71]
    assert [each.thread and each.thread.bot_is_member for each in found] == [
        False, None, bool(joined),
    ]  # fmt: skip


@pytest.mark.parametrize("flags", ["x", [], -1, 1.5, True, 2**64 - 1])
async def test_flags_that_cannot_be_read_switch_no_intent_off(world, flags):
    rule = FaultRule(
        Action.ANSWER, route="GET /oauth2/applications/@me", status=200,
        body={"flags": flags}, content_type="application/json", nth=(1,),
    )  # fmt: skip
    async with before_emulator(world) as setting:
        setting.emulator.faults = FaultScript(rule)
        with pytest.raises(PayloadError):
            await setting.client.history.has_content_intent(anew=True)

        assert await setting.client.history.has_content_intent(), "and it is asked for again"


async def test_bytes_that_are_no_text_are_kept_as_what_cannot_be_kept(world):
    async with before_emulator(world) as setting:
        channel = setting.channel_of(TEXT)
        message_id = channel.log.ids[0]
        text = json.dumps(world.message(channel, message_id) | {"content": "a\ud8ffb"})
        broken = text.replace("\\ud8ff", "\ud8ff")  # written out as bytes that are no UTF-8
        setting.emulator.edits.damage_message(channel.id, message_id, text=broken)
        page = await setting.client.history.fetch_after(channel.id, 0, 100)

    (found,) = (each for each in page if each.id == message_id)
    assert found.content == "a\ufffd\ufffd\ufffdb"
    assert json.loads(found.metadata)["replaced_text"] is True
    assert [each.id for each in page if each.quarantine] == []


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
        page = await setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)

        assert page
        assert setting.limiter.ended[MESSAGES, 429] == 1
        assert setting.limiter.ended[MESSAGES, 200] == 1
        assert setting.limiter.sent == setting.emulator.counters.requests


async def test_a_cancelled_request_leaves_the_gate(world):
    async with before_emulator(world, faults=[fault(Action.HANG, delay_s=5.0)]) as setting:
        asking = asyncio.create_task(
            setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)
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
        page = await setting.client.history.fetch_after(channel.id, 0, 100)

    assert [each.content for each in page] == ["odd \ufffd"] * 3
