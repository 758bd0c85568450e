"""The emulator over HTTP: wire rules, faults, the CDN, the control endpoint."""

import asyncio
import urllib.request
import zlib
from contextlib import AsyncExitStack
from typing import NamedTuple

import aiohttp
import orjson
import pytest
from multidict import CIMultiDictProxy

from raysync.emulator import (
    Action,
    EmulatorThread,
    FaultRule,
    GuildSpec,
    Latency,
    Limits,
    Quirks,
    World,
    generate_guild,
    serve,
)

pytestmark = pytest.mark.emulator

MESSAGES = "GET /channels/{channel_id}/messages"


class Answer(NamedTuple):
    """A response, read."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Site:
    """A served lively guild with a client of its own."""

    def __init__(self, emulator, session):
        self.emulator, self.session, self.world = emulator, session, emulator.world
        (self.guild,) = self.world.guilds.values()
        self.text = next(each for each in self.guild.channels.values() if each.type == 0)
        self.path = f"/channels/{self.text.id}/messages"

    async def get(self, path, **headers):
        """Return the answer, read."""
        async with self.session.get(self.emulator.url + path, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    async def control(self, method, path, value=None):
        """Speak to the control endpoint; return status and answer."""
        url = f"{self.emulator.origin}/_emulator/{path}"
        async with self.session.request(method, url, json=value) as response:
            return response.status, orjson.loads(await response.read())


@pytest.fixture
async def open_site():
    """Return a function that opens a site."""
    headers = {"Authorization": "Bot token"}
    async with AsyncExitStack() as stack, aiohttp.ClientSession(headers=headers) as session:

        async def open_one(spec=None, **options):
            world = World(generate_guild(spec or GuildSpec.lively(1_500), 4))
            world.add_bot("token", permissions=8)
            served = serve(world, **({"limits": Limits.off()} | options))
            return Site(await stack.enter_async_context(served), session)

        yield open_one


async def test_answers_bear_discords_headers(open_site):
    site = await open_site(limits=Limits())
    reader, writer = await asyncio.open_connection(*site.emulator.origin[7:].split(":"))
    head = f"GET /api/v10{site.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bot token\r\n\r\n"
    writer.write(head.encode())
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[1:]
    writer.close()
    headers = dict(line.split(": ", 1) for line in lines if line)

    assert headers["content-type"] == "application/json"
    assert headers["via"] == "1.1 google"
    assert {"x-ratelimit-limit", "x-ratelimit-reset-after", "x-ratelimit-bucket"} <= set(headers)
    assert "content-encoding" not in headers


async def test_a_ban_bears_neither_via_nor_retry_after(open_site):
    site = await open_site(limits=Limits(invalid_limit=3))
    for _ in range(3):
        await site.get("/users/@me", Authorization="Bot wrong")
    response = await site.get("/users/@me")

    assert response.status == 429
    assert not {"via", "retry-after"} & {name.lower() for name in response.headers}


async def test_answers_are_gzipped_where_that_is_switched_on(open_site):
    site = await open_site(quirks=Quirks(gzip=True))
    response = await site.get(site.path)

    assert response.headers["content-encoding"] == "gzip"
    assert len(orjson.loads(response.body)) == 50


async def test_a_wrong_user_agent_is_blocked_where_that_is_switched_on(open_site):
    site = await open_site(quirks=Quirks(require_user_agent=True))
    statuses = [
        (await site.get("/users/@me", **{"User-Agent": name})).status
        for name in ("curl/8", "DiscordBot (https://example.org, 1)")
    ]

    assert statuses == [403, 200]


@pytest.mark.parametrize(
    ("rule", "status", "body"),
    [
        pytest.param({"action": "answer", "status": 503}, 503, b'{"message":"503', id="status"),
        pytest.param({"action": "html", "status": 502}, 502, b"<html>", id="html"),
        pytest.param({"action": "ban"}, 429, b'{"code":0', id="ban"),
        pytest.param({"action": "shared"}, 429, b'{"message":"The resource', id="shared"),
        pytest.param({"action": "null"}, 200, b"null", id="null"),
        pytest.param({"action": "empty"}, 200, b"[]", id="empty"),
        pytest.param({"action": "malformed"}, 200, b'[{"type":', id="malformed"),
        pytest.param({"action": "content-type"}, 200, b'[{"type":', id="content-type"),
        pytest.param({"action": "answer", "body_base64": "//4="}, 500, b"\xff\xfe", id="bytes"),
        pytest.param({"action": "answer", "pad_bytes": 3, "body": "x"}, 500, b"  x", id="padded"),
        pytest.param(
            {"action": "drip", "keep_bytes": 30_000}, 200, b'[{"type":', id="drop-by-drop"
        ),
    ],
)
async def test_a_fault_answers_once_as_its_rule_says(open_site, rule, status, body):
    rule = FaultRule.from_json(rule | {"route": MESSAGES, "nth": [2]})
    site = await open_site(faults=[rule])
    first, second, third = [await site.get(site.path) for _ in range(3)]

    assert (first.status, second.status, third.status) == (200, status, 200)
    assert second.body.startswith(body)
    assert site.emulator.faults.taken == [1]
    assert [entry.fault for entry in site.emulator.log.entries] == [None, rule.action, None]


async def test_an_answer_is_under_any_type_and_has_any_header(open_site):
    told = {"content_type": "Application/JSON; a=b", "headers": {"X-Odd": "1"}}
    rules = [
        FaultRule.from_json(each | told | {"nth": [1], "status": 404, "body": "{}"})
        for each in ({"action": "answer"}, {"action": "content-type"})
    ]
    site = await open_site(faults=rules)
    for status in (404, 200):
        answer = await site.get(site.path)
        assert answer.status == status
        assert answer.headers["content-type"] == told["content_type"]
        assert answer.headers["x-odd"] == "1"


@pytest.mark.parametrize(("given", "status"), [({}, 302), ({"status": 308}, 308)])
async def test_a_redirect_leads_where_its_rule_says(open_site, given, status):
    rule = {"action": "redirect", "location": "http://h.invalid/x"}
    site = await open_site(faults=[FaultRule.from_json(rule | given)])
    url = site.emulator.url + site.path
    async with site.session.get(url, allow_redirects=False) as response:
        assert (response.status, response.headers["location"]) == (status, "http://h.invalid/x")


@pytest.mark.parametrize("encodings", [["gzip"], ["deflate"], ["gzip", "deflate"]])
async def test_a_padded_body_is_encoded_and_says_the_same(open_site, encodings):
    rule = FaultRule.from_json({"pad_bytes": 1_000_000, "encodings": encodings, "nth": [2]})
    site = await open_site(faults=[rule])
    plain = await site.get(site.path)
    async with site.session.get(site.emulator.url + site.path, auto_decompress=False) as response:
        body = await response.read()
        assert response.headers["content-encoding"] == ", ".join(encodings)
        assert len(body) < 100_000
    for encoding in reversed(encodings):
        body = zlib.decompress(body, {"gzip": 31, "deflate": 15}[encoding])
    assert len(body) == 1_000_000
    assert orjson.loads(body) == orjson.loads(plain.body)


@pytest.mark.parametrize(
    "rule",
    [
        {"encodings": ["br"]},
        {"headers": {"a": "b\r\nc: d"}},
        {"headers": ["a"]},
        {"body_base64": "?"},
        {"pad_bytes": -1},
        {"location": 7},
    ],
)
def test_a_rule_that_cannot_be_served_is_refused(rule):
    with pytest.raises(ValueError, match="invalid fields of a fault rule"):
        FaultRule.from_json({"action": "answer"} | rule)


@pytest.mark.parametrize(
    ("action", "error"),
    [
        pytest.param(Action.RESET, aiohttp.ClientConnectionError, id="reset"),
        pytest.param(Action.TRUNCATE, aiohttp.ClientPayloadError, id="truncated"),
        pytest.param(Action.HANG, aiohttp.ClientConnectionError, id="hung-up"),
    ],
)
async def test_a_fault_breaks_the_connection(open_site, action, error):
    rule = FaultRule(action=action, route="GET /guilds/{guild_id}/channels", delay_s=0.01)
    site = await open_site(faults=[rule])

    with pytest.raises(error):
        await site.get(f"/guilds/{site.guild.id}/channels")
    assert (await site.get(site.path)).status == 200


async def test_a_hung_request_is_never_answered_and_does_not_hold_up_the_end(open_site):
    site = await open_site(faults=[FaultRule(action=Action.HANG)])
    asked = asyncio.create_task(site.get(site.path))
    while not site.emulator.faults.taken[0]:
        await asyncio.sleep(0)

    assert not asked.done()
    asked.cancel()


async def test_media_in_components_can_be_downloaded(open_site):
    site = await open_site()
    layouts = (each for each in site.world.truth(site.guild.id) if each[1]["flags"] & 1 << 15)
    channel_id, message = next(layouts)
    answer = await site.get(f"/channels/{channel_id}/messages/{message['id']}")
    section, gallery, _ = orjson.loads(answer.body)["components"][0]["components"]
    urls = [section["accessory"]["media"]["url"], gallery["items"][0]["media"]["proxy_url"]]
    for url in urls:
        async with site.session.get(url) as response:
            assert (response.status, response.headers["content-type"]) == (200, "image/png")


async def test_a_fault_takes_one_channel_at_a_rate(open_site):
    site = await open_site()
    await site.control(
        "POST",
        "faults",
        [{"action": "answer", "channel_id": str(site.text.id), "probability": 0.5, "seed": 1}],
    )
    statuses = [(await site.get(site.path)).status for _ in range(40)]
    other = next(each for each in site.guild.channels.values() if each.type == 5)

    assert 8 < statuses.count(500) < 32
    assert (await site.get(f"/channels/{other.id}/messages")).status == 200


async def test_a_fault_may_change_the_world_between_two_answers(open_site):
    site = await open_site()
    thread = next(each for each in site.guild.threads.values() if not each.archived)
    edit = {"op": "archive_thread", "thread_id": str(thread.id)}
    active = f"/guilds/{site.guild.id}/threads/active"
    rule = {"route": "GET /guilds/{guild_id}/threads/active", "times": 1, "after": [edit]}
    await site.control("POST", "faults", [rule])
    lists = [orjson.loads((await site.get(active)).body) for _ in range(2)]
    seen = [str(thread.id) in {each["id"] for each in found["threads"]} for found in lists]

    assert seen == [True, False]


async def test_latency_delays_every_answer(open_site):
    site = await open_site(latency=Latency(0.02, 0.01, seed=3))
    started_s = asyncio.get_running_loop().time()
    await site.get(site.path)

    assert asyncio.get_running_loop().time() - started_s >= 0.01


async def test_attachments_download_until_their_address_expires(open_site):
    site = await open_site()
    page = []
    for channel_id, message in site.world.truth(site.guild.id):
        if message["attachments"]:
            response = await site.get(f"/channels/{channel_id}/messages/{message['id']}")
            page = orjson.loads(response.body)["attachments"]
            break
    async with site.session.get(page[0]["url"]) as response:
        content = await response.read()
        assert response.headers["content-type"] == page[0]["content_type"]
    _, _ = await site.control("POST", "clock", {"advance_ms": 86_400_001})
    async with site.session.get(page[0]["url"]) as response:
        expired = await response.text()
        assert response.status == 404

    assert len(content) == page[0]["size"]
    assert expired == "This content is no longer available."


async def test_the_rest_of_an_attachment_can_be_asked_for(open_site):
    site = await open_site()
    urls = (
        each["url"] for _, message in site.world.truth(site.guild.id)
        for each in message["attachments"]
    )  # fmt: skip
    path = next(urls).partition("/attachments/")[2].partition("?")[0]
    now_s = site.world.clock.now_ms() // 1000
    url = site.world.cdn.sign(f"attachments/{path}", now_s)
    async with site.session.get(url) as response:
        whole = await response.read()
    async with site.session.get(url, headers={"Range": "bytes=100-"}) as response:
        rest = await response.read()
        told = response.headers["content-range"]
        assert response.status == 206
    async with site.session.get(url, headers={"Range": f"bytes={len(whole)}-"}) as response:
        assert response.status == 416

    assert whole[100:] == rest
    assert told == f"bytes 100-{len(whole) - 1}/{len(whole)}"


async def test_a_fault_of_the_cdn_leaves_the_api_alone_and_the_other_way_round(open_site):
    site = await open_site(faults=[FaultRule(cdn=True, action=Action.ANSWER, status=503)])
    url = site.world.cdn.sign("attachments/1/2/a.png", site.world.clock.now_ms() // 1000)
    async with site.session.get(url) as response:
        assert response.status == 503
    answer = await site.get(site.path)

    assert answer.status == 200
    _, log = await site.control("GET", "log")
    assert [(each["route"], each["status"]) for each in log] == [("GET CDN", 503), (MESSAGES, 200)]


async def test_an_address_that_was_tampered_with_is_refused(open_site):
    site = await open_site()
    url = site.world.cdn.sign("attachments/1/2/a.png", site.world.clock.now_ms() // 1000)
    async with site.session.get(url.replace("a.png", "b.png")) as response:
        assert response.status == 404


async def test_control_tells_and_changes_what_runs(open_site):
    site = await open_site(limits=Limits())
    await site.get(site.path)
    await site.get("/channels/1/messages")
    _, state = await site.control("GET", "state")
    _, counters = await site.control("GET", "counters")
    _, unknown = await site.control("GET", "log?status=404")
    _, changed = await site.control("POST", "limits", {"headers": "masked", "global_limit": 1})
    masked = await site.get(site.path)
    posted = {"op": "post_message", "channel_id": str(site.text.id), "content": "from outside"}
    _, made = await site.control("POST", "edits", [posted])

    assert state["guilds"][0]["messages"] == len(list(site.world.truth(site.guild.id))) - 1
    assert state["limits"]["headers"] == "honest"
    assert counters["by_status"] == {"200": 1, "404": 1}
    assert [each["route"] for each in unknown] == [MESSAGES]
    assert changed == {"changed": ["global_limit", "headers"]}
    assert masked.headers["x-ratelimit-limit"] == "1000"
    assert int(made["results"][0]) == site.text.log.ids[-1]
    assert (await site.get(site.path)).status == 429
    await site.control("DELETE", "log")
    assert site.emulator.log.entries == []


@pytest.mark.parametrize(
    ("method", "path", "value"),
    [
        pytest.param("POST", "edits", [{"op": "explode"}], id="unknown-edit"),
        pytest.param("POST", "edits", [{"op": "delete_channel", "channel_id": "1"}], id="no-id"),
        pytest.param("POST", "limits", {"colour": 1}, id="unknown-limit"),
        pytest.param("POST", "limits", {"headers": "loud"}, id="unknown-mode"),
        pytest.param("POST", "faults", [{"colour": 1}], id="unknown-condition"),
        pytest.param("POST", "clock", {"colour": 1}, id="unknown-clock"),
    ],
)
async def test_control_says_what_it_does_not_understand(open_site, method, path, value):
    site = await open_site(GuildSpec.tiny())
    status, answer = await site.control(method, path, value)

    assert status == 400
    assert answer["error"]


async def test_control_gives_the_truth_as_lines(open_site):
    site = await open_site()
    url = f"{site.emulator.origin}/_emulator/truth"
    async with site.session.get(url) as response:
        lines = (await response.read()).splitlines()
    expected = [message["id"] for _, message in site.world.truth(site.guild.id)]

    assert [orjson.loads(line)["message"]["id"] for line in lines] == expected


def test_a_thread_serves_other_threads_and_ends():
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token")
    with EmulatorThread(world) as emulator:
        request = urllib.request.Request(emulator.url + "/users/@me")
        request.add_header("Authorization", "Bot token")
        with urllib.request.urlopen(request) as response:
            assert orjson.loads(response.read())["bot"]
        port = int(emulator.origin.rpartition(":")[2])
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            EmulatorThread(world, port=port).__enter__()

    assert emulator.counters.by_status == {200: 1}
