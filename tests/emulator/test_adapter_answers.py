"""What is made of an answer: its status first, then as much of its body as is bounded."""

from __future__ import annotations

import asyncio
import base64
import gc
import itertools
import json
import sys
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest

from raysync.discord_api.answers import MAX_BYTES
from raysync.emulator import Action, FaultRule, GuildSpec, World, generate_guild, serve
from raysync.emulator.faults import FaultScript
from raysync.emulator.limits import Limits
from raysync.errors import (
    AccessDeniedError,
    BannedError,
    NotFoundError,
    PayloadError,
    PermanentError,
    RateLimitedError,
    RaysyncError,
    RetryableError,
    TokenRejectedError,
    UnknownEmojiError,
    UnknownMessageError,
)
from raysync.models.channel_types import TEXT
from tests.emulator.adapter import before_emulator

PAGES = "GET /channels/{channel_id}/messages"
MESSAGE = "GET /channels/{channel_id}/messages/{message_id}"
JSON = "application/json"
UNKNOWN_MESSAGE = {"message": "Unknown Message", "code": 10008}


@pytest.fixture
def world():
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token", permissions=8)
    return world


def answer(status: int, body: object, content_type: str | None = JSON, **more) -> FaultRule:
    """Any answer to any request for messages."""
    if isinstance(body, bytes):
        more["body_base64"] = base64.b64encode(body).decode()
    else:
        more["body"] = body
    return FaultRule(
        Action.ANSWER, path="/messages", status=status, content_type=content_type, **more
    )


async def failure(world, rule: FaultRule, **options) -> RaysyncError:
    async with before_emulator(world, faults=[rule], **options) as setting:
        with pytest.raises(RaysyncError) as caught:
            await setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)
        assert setting.limiter.under_way == 0
    return caught.value


ODD_BODIES = {
    "half-a-pair": r'{"message": "\ud83d", "code": 0}',
    "not-json": '{"message": ',
    "no-number": '{"code": NaN}',
    "empty": "",
    "blank": "  ",
    "web-page": "<html><body>nginx</body></html>",
    "deep": "[" * 5_000 + "]" * 5_000,
    "very-deep": "[" * 200_000,
    "huge-number": '{"code": ' + "9" * 5_000 + "}",
    "a-list": "[1, 2]",
    "a-text": '"Unknown"',
    "a-number": "10008",
    "null": "null",
    "code-of-text": '{"code": "hush, I am a message"}',
    "code-of-null": '{"code": null}',
    "code-of-list": '{"code": [10008]}',
    "code-too-big": '{"code": 18446744073709551615}',
    "code-below-nothing": '{"code": -10008}',
    "code-of-truth": '{"code": true}',
    "odd-errors": '{"code": 0, "message": 7, "errors": [{"a": [1]}, 7]}',
    "odd-message": '{"code": 0, "message": {"a": 1}}',
    "bytes": b'{"message": "\xff\xfe", "code": 0}',
    "other-charset": '{"message": "hé", "code": 0}'.encode("utf-16"),
}
EXPECTED = {
    400: PermanentError,
    401: TokenRejectedError,
    403: AccessDeniedError,
    404: NotFoundError,
    405: PermanentError,
    408: RetryableError,
    418: PermanentError,
    503: RetryableError,
    520: RetryableError,
    599: RetryableError,
}


@pytest.mark.parametrize("status", EXPECTED)
async def test_the_status_decides_whatever_the_body(world, status):
    rules = [
        answer(status, body, content_type, nth=(1,))
        for body, content_type in itertools.product(
            ODD_BODIES.values(), [JSON, "application/json; charset=utf-8", "text/html"]
        )
    ]
    rules += [
        answer(status, {}, nth=(1,), headers={"content-encoding": "gzip"}),
        answer(status, {}, nth=(1,), headers={"content-encoding": "gzip, deflate"}),
        answer(status, {}, nth=(1,), pad_bytes=2 * MAX_BYTES, encodings=("gzip",)),
    ]
    async with before_emulator(world, faults=rules) as setting:
        channel_id = setting.channel_of(TEXT).id
        for rule in rules:
            with pytest.raises(RaysyncError) as caught:
                await setting.client.history.fetch_after(channel_id, 0, 100)
            assert type(caught.value) is EXPECTED[status], rule
            assert "hush" not in str(caught.value)

        assert setting.emulator.faults.taken == [1] * len(rules)
        assert setting.limiter.under_way == 0
        assert await setting.client.history.fetch_after(channel_id, 0, 100), (
            "and the next answer is read"
        )


async def test_the_status_decides_though_the_body_is_cut_short(world):
    cut = FaultRule(Action.TRUNCATE, path="/messages/", keep_bytes=9)
    async with before_emulator(world, faults=[cut]) as setting:
        with pytest.raises(NotFoundError) as caught:
            await setting.client.history.has_message(setting.channel_of(TEXT).id, 1 << 40)

        assert type(caught.value) is NotFoundError, "of which message nothing was heard"
        assert setting.emulator.faults.taken == [1]


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES.keys())
async def test_a_refusal_stays_one_whatever_its_body(world, body):
    rule = answer(429, body, headers={"retry-after": "90"})

    assert isinstance(await failure(world, rule), RateLimitedError | BannedError)


# an empty list, to Discord, and a page of two records that cannot be read
@pytest.mark.parametrize("name", ODD_BODIES.keys() - {"null", "a-list"})
async def test_a_success_is_what_its_body_says_or_an_error(world, name):
    error = await failure(world, answer(200, ODD_BODIES[name]))

    assert isinstance(error, RetryableError | PayloadError)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, 10008, UnknownMessageError),
        (404, 10014, UnknownEmojiError),
        (400, 10014, UnknownEmojiError),
        (404, 10003, NotFoundError),
        (403, 10008, AccessDeniedError),
        (503, 10008, RetryableError),
    ],
)
@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "application/json; charset=utf-8",
        "Application/JSON;Charset=UTF-8",
        "application/json;",
        " application/json ; charset=latin-1",
        "application/problem+json",
        "application/vnd.api+json; version=2",
    ],
)
@pytest.mark.parametrize("message", ['"Unknown"', r'"half \ud83d"', "NaN", '"' + "x" * 9_000 + '"'])
async def test_discords_code_is_read_under_every_name_of_json(
    world, status, code, expected, content_type, message
):
    body = f'{{"message": {message}, "code": {code}}}'
    error = await failure(world, answer(status, body, content_type))

    assert type(error) is expected


async def test_a_message_is_unknown_only_where_discord_says_so_itself(world):
    rules = [
        answer(404, r'{"message": "\ud83d", "code": 10008}', nth=(1,)),
        answer(404, UNKNOWN_MESSAGE, "application/json; charset=utf-8", nth=(1,)),
        answer(404, json.dumps(UNKNOWN_MESSAGE)[:-1], nth=(1,)),
        answer(404, UNKNOWN_MESSAGE, "text/html", nth=(1,)),
        answer(404, UNKNOWN_MESSAGE, nth=(1,), pad_bytes=2 * MAX_BYTES, encodings=("gzip",)),
    ]
    async with before_emulator(world, faults=rules) as setting:
        channel = setting.channel_of(TEXT)

        async def is_there() -> bool:
            return await setting.client.history.has_message(channel.id, channel.log.ids[0])

        assert not await is_there()
        assert not await is_there()
        for _ in rules[2:]:
            with pytest.raises(NotFoundError):
                await is_there()
        assert await is_there()


async def test_a_channel_is_unknown_only_where_discord_says_so_itself(world):
    def of_channel(body: object, content_type: str = JSON) -> FaultRule:
        return FaultRule(
            Action.ANSWER, path=r"/channels/\d+$", status=404, body=body, nth=(1,),
            content_type=content_type,
        )  # fmt: skip

    says, odd = (
        [10003, 10004, 10008],
        ["", "<html>", "[", "null", {}, {"code": 0}, {"code": "10003"}],
    )
    rules = [of_channel({"message": "Unknown", "code": code}) for code in says]
    rules += [of_channel(body) for body in [*odd, {"code": 10014}]]
    rules += [of_channel({"code": 10003}, "text/html")]
    async with before_emulator(world, faults=rules) as setting:
        channel_id = setting.channel_of(TEXT).id
        for _ in says:
            assert not await setting.client.guilds.has_channel(channel_id)
        for _ in rules[len(says) :]:
            with pytest.raises((NotFoundError, PayloadError)):
                await setting.client.guilds.has_channel(channel_id)

        assert setting.emulator.faults.taken == [1] * len(rules)
        assert await setting.client.guilds.has_channel(channel_id)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/hal+json"]
)
async def test_all_is_read_under_every_name_of_json(world, content_type):
    named = FaultRule(Action.CONTENT_TYPE, content_type=content_type)
    async with before_emulator(world, faults=[named]) as setting:
        channel = setting.channel_of(TEXT)
        page = await setting.client.history.fetch_after(channel.id, 0, 100)

        assert len(page) == min(100, len(channel.log.ids))
        assert await setting.client.guilds.list_channels(setting.guild.id)
        assert await setting.client.history.has_content_intent(anew=True)


@pytest.mark.parametrize("body", [{"threads": 7}, {"threads": {}}, [], 7, "7"])
async def test_a_list_of_threads_that_is_none_is_told(world, body):
    rule = FaultRule(Action.ANSWER, path="/threads/active", status=200, body=json.dumps(body))
    async with before_emulator(world, faults=[replace(rule, content_type=JSON)]) as setting:
        with pytest.raises(PayloadError):
            await setting.client.guilds.list_active_threads(setting.guild.id)


@pytest.mark.parametrize(
    "flags", ["a", [1], {"a": 1}, "9" * 5_000, [], -1, 1.5, True, (1 << 64) - 1]
)
async def test_intents_that_are_no_number_are_told(world, flags):
    odd = FaultRule(Action.ANSWER, path="/applications/@me", status=200, body={"flags": flags})
    async with before_emulator(world) as setting:
        setting.emulator.faults = FaultScript(odd)
        with pytest.raises(PayloadError):
            await setting.client.history.has_content_intent(anew=True)


async def test_a_byte_order_mark_says_nothing(world):
    mark = "\ufeff".encode()
    async with before_emulator(world) as setting:
        channel = setting.channel_of(TEXT)
        (message, *_) = await setting.client.history.fetch_after(channel.id, 0, 1)
        for odd in (b"a", b"\xff"):
            body = b'%b [{"id": "%d", "content": "%b"}]' % (mark, message.id, odd)
            setting.emulator.faults = FaultScript(answer(200, body))
            (found,) = await setting.client.history.fetch_after(channel.id, 0, 1)
            assert found.id == message.id
        setting.emulator.faults = FaultScript(
            answer(404, mark + json.dumps(UNKNOWN_MESSAGE).encode())
        )
        assert not await setting.client.history.has_message(channel.id, message.id)


async def test_text_in_json_is_not_taken_for_json(world):
    error = await failure(world, answer(200, json.dumps("[]")))

    assert type(error) is PayloadError


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/jsonp"])
async def test_what_is_no_json_is_told_as_that(world, content_type):
    error = await failure(world, answer(200, "[]", content_type))

    assert str(error) == f"{PAGES}: the answer is not Discord's JSON."


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 400])
async def test_half_a_pair_is_no_way_for_other_things_that_are_no_json(world, number):
    """Python's parser, which reads what orjson does not, takes more than JSON."""
    error = await failure(world, answer(200, rf'["\ud83d", {number}]'))

    assert type(error) is RetryableError


class TestLogin:
    @pytest.mark.parametrize("path", ["/users/@me", "/oauth2/applications/@me"])
    @pytest.mark.parametrize(
        ("status", "expected"), [(401, TokenRejectedError), (403, AccessDeniedError)]
    )
    @pytest.mark.parametrize("body", [r'{"message": "\ud83d"}', "[", "7", "NaN"])
    async def test_the_status_decides(self, world, path, status, expected, body):
        rule = FaultRule(
            Action.ANSWER, path=f"{path}$", status=status, body=body, content_type=JSON
        )
        with pytest.raises(expected):
            async with before_emulator(world, faults=[rule]):
                pass

    @pytest.mark.parametrize("body", ["7", "[]", "null", '{"id": 7}', '{"id": null, "bot": true}'])
    async def test_a_success_that_is_none_can_be_asked_for_again(self, world, body):
        rule = FaultRule(
            Action.ANSWER, path="/users/@me$", status=200, body=body, content_type=JSON
        )
        with pytest.raises((RetryableError, TokenRejectedError)):
            async with before_emulator(world, faults=[rule]):
                pass

    async def test_it_is_bounded_too(self, world):
        rule = FaultRule(path="/users/@me$", pad_bytes=MAX_BYTES + 1, encodings=("gzip",))
        with pytest.raises(PayloadError, match="longer than 16 MB"):
            async with before_emulator(world, faults=[rule]):
                pass


@pytest.mark.parametrize("encodings", [(), ("gzip",), ("deflate",)])
async def test_an_answer_is_read_up_to_a_size(world, encodings):
    padded = [
        FaultRule(path="/messages$", nth=(1,), pad_bytes=MAX_BYTES, encodings=encodings),
        FaultRule(path="/messages$", nth=(1,), pad_bytes=MAX_BYTES + 1, encodings=encodings),
    ]
    async with before_emulator(world, faults=padded) as setting:
        channel_id = setting.channel_of(TEXT).id
        page = await setting.client.history.fetch_after(channel_id, 0, 100)
        with pytest.raises(PayloadError, match="longer than 16 MB"):
            await setting.client.history.fetch_after(channel_id, 0, 100)

        assert await setting.client.history.fetch_after(channel_id, 0, 100) == page
        assert setting.limiter.under_way == 0


async def test_encodings_upon_each_other_are_not_undone(world):
    rule = FaultRule(path="/messages", pad_bytes=1 << 20, encodings=("gzip", "gzip"))

    assert type(await failure(world, rule)) is RetryableError


@pytest.mark.parametrize("encoding", ["br", "zstd"])
async def test_an_encoding_that_was_not_asked_for_is_no_answer(world, encoding):
    error = await failure(world, answer(200, [], headers={"content-encoding": encoding}))

    assert str(error) == f"{PAGES}: the answer could not be read."


_ASK = """
import asyncio, resource, sys
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.errors import RaysyncError
from tests.emulator.adapter import KEY, OpenLimiter

async def main():
    people = Pseudonymizer(KEY)
    async with DiscordClient("token", sys.argv[1], OpenLimiter(), people) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for channel_id in sys.argv[2:]:
            try:
                await client.history.fetch_after(int(channel_id), 0, 100)
            except RaysyncError as error:
                print(type(error).__name__)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main())
"""


async def test_what_inflates_without_end_takes_no_memory(world):
    """1 GB of blanks in 5 MB, under a success and under an error."""
    bomb = {"pad_bytes": 1 << 30, "encodings": ("gzip",)}
    rules = [
        FaultRule(path="/messages", nth=(1,), **bomb),
        answer(404, {}, nth=(1,), **bomb),
        answer(503, {}, nth=(1,), **bomb),
    ]
    channel_id = next(c.id for g in world.guilds.values() for c in g.channels.values())
    channels = [str(channel_id)] * len(rules)
    async with serve(world, limits=Limits.off(), faults=rules) as emulator:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _ASK, emulator.url, *channels, stdout=asyncio.subprocess.PIPE
        )
        asked, _ = await program.communicate()

    *errors, grown_kb = asked.decode().split()
    assert errors == ["PayloadError", "NotFoundError", "RetryableError"]
    assert int(grown_kb) < 150_000


@pytest.mark.parametrize("body", ["null", "{}", '{"threads": null, "has_more": false}'])
async def test_a_list_that_is_not_there_is_not_taken_for_an_empty_one(world, body):
    rule = FaultRule(Action.ANSWER, path="/threads", status=200, body=body)
    async with before_emulator(world, faults=[replace(rule, content_type=JSON)]) as setting:
        client, guild_id = setting.client, setting.guild.id
        parent = next(each for each in setting.guild.channels.values() if each.type == TEXT)
        with pytest.raises(PayloadError):
            await client.guilds.list_active_threads(guild_id)
        for threads in (
            client.guilds.list_archived_threads(parent, private=False),
            client.guilds.search_archived_threads(parent),
        ):
            with pytest.raises(PayloadError):
                await anext(threads)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def answers_in_memory() -> list[aiohttp.ClientResponse]:
    return [one for one in gc.get_objects() if isinstance(one, aiohttp.ClientResponse)]


@pytest.mark.parametrize("status", [200, 403])
async def test_an_answer_is_freed_without_the_collector(world, no_collector, status) -> None:
    """A worker collects rarely, so that bodies of 150 kB a page must not wait for it."""
    faults = [] if status == 200 else [answer(status, {"code": 50001, "message": "no"})]
    async with before_emulator(world, faults=faults) as setting:
        earlier = set(map(id, answers_in_memory()))  # of other tests, or of the login
        with suppress(AccessDeniedError):
            await setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)
        assert setting.limiter.ended[PAGES, status] == 1

        assert set(map(id, answers_in_memory())) <= earlier
