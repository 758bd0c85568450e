"""Refusals, bans and headers that the emulator makes up when told to."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from json import loads

import aiohttp
import pytest

from raysync.emulator import (
    BanBody,
    FaultRule,
    GuildSpec,
    Limits,
    Refusals,
    World,
    generate_guild,
    serve,
)
from raysync.emulator.limits import RouteLimit
from raysync.emulator.limits.refusals import Scope

MESSAGES = "GET /channels/{channel_id}/messages"
ME = "GET /users/@me"


async def ask(emulator, path="/users/@me", token="token"):
    async with (
        aiohttp.ClientSession() as session,
        session.get(emulator.url + path, headers={"Authorization": f"Bot {token}"}) as response,
    ):
        return response.status, response.headers, await response.read()


async def refused(**rule):
    """One answer to a rule, and what the log says of it."""
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token")
    faults = [FaultRule.from_json({"route": ME} | rule)]
    async with serve(world, limits=Limits.off(), faults=faults) as emulator:
        status, headers, body = await ask(emulator)
        (entry,) = emulator.log.entries
        return status, headers, body, entry


@pytest.mark.parametrize("scope", Scope)
async def test_a_refusal_is_as_discord_documents_it(scope):
    status, headers, body, entry = await refused(action="refuse", scope=scope, retry_after_s=7.25)

    assert status == 429
    assert (headers["via"], headers["content-type"]) == ("1.1 google", "application/json")
    assert (headers["retry-after"], headers["x-ratelimit-scope"]) == ("8", scope)
    assert headers.get("x-ratelimit-global") == ("true" if scope is Scope.GLOBAL else None)
    told = loads(body)
    assert (told["retry_after"], told["global"]) == (7.25, scope is Scope.GLOBAL)
    assert (entry.scope, entry.fault) == (scope, "refuse")
    assert type(entry.scope) is str, "the control endpoint tells it as JSON"


@pytest.mark.parametrize(
    ("shape", "header", "in_body"),
    [
        (Refusals.USUAL, "8", 7.25),
        (Refusals.HEADER_ONLY, "8", None),
        (Refusals.BODY_ONLY, None, 7.25),
        (Refusals.NEGATIVE, "-1", -7.25),
        (Refusals.HUGE, "1000000000", 1e9),
        (Refusals.NO_VIA, "8", 7.25),
    ],
)
async def test_a_refusal_has_the_shape_it_is_told_to_have(shape, header, in_body):
    _, headers, body, _ = await refused(action="refuse", shape=shape, retry_after_s=7.25)

    assert headers.get("retry-after") == header
    assert loads(body).get("retry_after") == in_body
    assert ("via" in headers) == (shape is not Refusals.NO_VIA)


async def test_a_refusal_may_name_a_date_or_no_number():
    _, dated, _, _ = await refused(action="refuse", shape="date", retry_after_s=90)
    _, odd, body, _ = await refused(action="refuse", shape="nan")

    wait = parsedate_to_datetime(dated["retry-after"]) - parsedate_to_datetime(dated["date"])
    assert wait.total_seconds() == pytest.approx(90, abs=1)
    assert odd["retry-after"] == "NaN"
    assert math.isnan(loads(body)["retry_after"])


@pytest.mark.parametrize(
    ("action", "begins", "retry_after"),
    [
        ("ban", b'{"code":0,"message":"You are being blocked', None),
        ("ban-html", b"<!doctype html>", None),
        ("ban-code", b"error code: 1015", "3600"),
    ],
)
async def test_a_ban_has_three_shapes_and_bears_nothing_of_discords(action, begins, retry_after):
    status, headers, body, entry = await refused(action=action)

    assert status == 429
    assert body.startswith(begins)
    assert headers.get("retry-after") == retry_after
    assert "via" not in headers
    assert not [each for each in headers if each.lower().startswith("x-ratelimit")]
    assert entry.scope == "ban"


async def test_headers_take_the_place_of_true_ones_and_the_body_stays():
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token")
    (guild,) = world.guilds.values()
    channel = next(each for each in guild.channels.values() if each.log.ids)
    path = f"/channels/{channel.id}/messages"
    wild = {"X-RateLimit-Limit": "1", "x-ratelimit-reset-after": ["1e9", "5"], "via": None}
    async with serve(world) as emulator:
        _, _, true_body = await ask(emulator, path)
        emulator.faults = type(emulator.faults)(FaultRule(route=MESSAGES, headers=wild, times=1))
        status, headers, body = await ask(emulator, path)
        _, after, _ = await ask(emulator, path)

    assert (status, loads(body)) == (200, loads(true_body))
    assert headers["x-ratelimit-limit"] == "1"
    assert headers.getall("x-ratelimit-reset-after") == ["1e9", "5"]
    assert headers["x-ratelimit-remaining"] == "3"
    assert "via" not in headers
    assert after["x-ratelimit-limit"] == "5"


@pytest.mark.parametrize(
    "headers",
    [["x"], {"x": 5}, {"x": [5]}, {"": "x"}, {"x": "a\r\nb: c"}, {"x\n": "y"}, "x"],
)
def test_headers_that_no_answer_can_have_are_refused(headers):
    with pytest.raises(ValueError, match="headers"):
        FaultRule.from_json({"headers": headers})


@pytest.mark.parametrize("rule", [{"scope": "ban"}, {"shape": "round"}, {"action": "banish"}])
def test_what_is_no_refusal_is_refused(rule):
    with pytest.raises(ValueError, match="is not a valid"):
        FaultRule.from_json(rule)


@pytest.mark.parametrize(
    ("shape", "in_body"), [(Refusals.BODY_ONLY, True), (Refusals.HEADER_ONLY, False)]
)
async def test_true_refusals_may_have_another_shape_too(shape, in_body):
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token")
    limits = Limits(routes={ME: RouteLimit(1, 60.0)}, refusals=shape)
    async with serve(world, limits=limits) as emulator:
        await ask(emulator)
        status, headers, body = await ask(emulator)

    assert status == 429
    assert headers["x-ratelimit-limit"] == "1"
    assert ("retry_after" in loads(body), "retry-after" in headers) == (in_body, not in_body)


@pytest.mark.parametrize("body", BanBody)
async def test_a_ban_may_say_how_long_it_lasts(body):
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token")
    limits = Limits(invalid_limit=2, ban_s=500.0, ban_body=body, ban_retry_after=True)
    async with serve(world, limits=limits) as emulator:
        for _ in range(2):
            await ask(emulator, token="wrong")
        status, headers, text = await ask(emulator)

    assert status == 429
    assert 490 <= int(headers["retry-after"]) <= 500
    assert text.startswith(b"<!doctype" if body is BanBody.HTML else b"error code: 1015")
    assert "via" not in headers
