"""Who may control an emulator, and that nothing that is sent there hangs or breaks it."""

from __future__ import annotations

import io
import json
import random
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from raysync.emulator import FaultRule, GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.api.requests import Incoming
from raysync.emulator.faults import FaultScript
from raysync.emulator.faults.patterns import MAX_SEARCHED, Pattern
from raysync.emulator.serving.control import MAX_BYTES, MAX_EDITS

SEARCH = "GET /channels/{channel_id}/threads/search"
RULES = '[{"action": "answer", "status": 503}]'
JSON = "application/json"


class Site:
    """An emulator, and what any program or page may send to it."""

    def __init__(self, emulator, session: aiohttp.ClientSession) -> None:
        self.emulator, self.session = emulator, session
        self.port = int(emulator.origin.rpartition(":")[2])

    async def send(
        self, method: str, path: str, body: str | bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        named = {name.replace("_", "-"): each for name, each in headers.items()}
        url = f"{self.emulator.origin}/_emulator/{path}"
        skipped = [] if "Content-Type" in named else ["Content-Type"]
        async with self.session.request(
            method, url, data=body, headers=named, skip_auto_headers=skipped
        ) as response:
            return response.status, json.loads(await response.read())

    async def post(self, path: str, value: Any) -> tuple[int, Any]:
        return await self.send("POST", path, json.dumps(value), Content_Type=JSON)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    world = World(generate_guild(GuildSpec.tiny(60)))
    world.add_bot("token")
    async with (
        serve(world, limits=Limits.off()) as emulator,
        aiohttp.ClientSession() as session,
    ):
        yield Site(emulator, session)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
async def test_a_program_of_this_machine_may(site: Site, name: str) -> None:
    here = f"{name}:{site.port}"

    assert (await site.send("GET", "state", Host=here))[0] == 200
    status, _ = await site.send(
        "POST", "faults", RULES, Host=here, Content_Type=f"{JSON}; charset=utf-8"
    )
    assert status == 200
    own = {"Origin": f"http://{here}", "Sec_Fetch_Site": "same-origin"}
    assert (await site.send("GET", "state", Host=here, **own))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:PORT",
        "127.0.0.1.evil.example:PORT",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1:PORT@evil.example:PORT",
        "localhost.:PORT",
        "0.0.0.0:PORT",
        "",
        ":PORT",
        "[::1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_another_name_may_not(site: Site, host: str, method: str) -> None:
    path = {"GET": "truth", "POST": "faults", "DELETE": "log"}[method]
    body = {"body": RULES, "Content_Type": JSON} if method == "POST" else {}

    status, answer = await site.send(
        method, path, Host=host.replace("PORT", str(site.port)), **body
    )

    assert status in (400, 403)
    assert "error" in answer
    assert site.emulator.faults.rules == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:PORT"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1:PORT.evil.example"},
        {"Origin": "http://evil.example#127.0.0.1:PORT"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_a_page_may_not(site: Site, headers: dict[str, str], method: str) -> None:
    path = {"GET": "truth", "POST": "faults"}.get(method, "log")
    told = {name: each.replace("PORT", str(site.port)) for name, each in headers.items()}
    body = {"body": RULES, "Content_Type": JSON} if method == "POST" else {}

    status, _ = await site.send(method, path, **told, **body)

    assert status == 403
    assert site.emulator.faults.rules == ()


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "text/json", ""]
)
async def test_what_a_form_can_send_is_not_taken(site: Site, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content_Type": content_type}

    for path in ("faults", "edits", "limits", "clock", "quirks"):
        status, answer = await site.send("POST", path, RULES, **headers)
        assert (status, answer["error"]) == (415, "the content-type must be application/json")
    assert site.emulator.faults.rules == ()


async def test_what_is_sent_is_bounded(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    url = f"{site.emulator.origin}/_emulator/edits"
    async with site.session.post(url, data=endless(), headers={"Content-Type": JSON}) as response:
        assert response.status == 413
    large = io.BytesIO(b'"' + b"x" * MAX_BYTES + b'"')
    async with site.session.post(url, data=large, headers={"Content-Type": JSON}) as response:
        assert response.status == 413
    assert (await site.post("edits", [0] * (MAX_EDITS + 1)))[0] == 400
    assert (await site.post("faults", [{}] * 501))[0] == 400
    assert (await site.post("faults", [{"nth": list(range(1_001))}]))[0] == 400
    assert (await site.send("GET", "state"))[0] == 200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("limits", {"speed": 0}),
        ("limits", {"global_window_s": -1}),
        ("limits", {"global_limit": 1e300}),
        ("limits", {"enabled": "yes"}),
        ("limits", {"ban_s": True}),
        ("limits", {"global_limit": "many"}),
        ("clock", {"offset_ms": 1e300}),
        ("clock", {"frozen_ms": "now"}),
        ("clock", {"advance_ms": [1]}),
        ("quirks", {"colour": 1}),
        ("quirks", {"missing_routes": ["GET /no/such/route"]}),
        ("quirks", {"missing_routes": "GET /users/@me"}),
        ("quirks", {"missing_form": "loud"}),
        ("quirks", {"late_ms": -1}),
        ("quirks", {"gzip": 1}),
    ],
)
async def test_what_would_break_it_is_said_and_changes_nothing(
    site: Site, path: str, value: dict[str, Any]
) -> None:
    before = await site.send("GET", "state")

    status, answer = await site.post(path, value)

    assert status == 400
    assert answer["error"]
    after = await site.send("GET", "state")
    assert after[1] | {"now_ms": 0} == before[1] | {"now_ms": 0}


async def test_routes_come_and_go_while_it_runs(site: Site) -> None:
    (guild,) = site.emulator.world.guilds.values()
    url = f"{site.emulator.url}/guilds/{guild.id}/threads/active"
    bot = {"Authorization": "Bot token"}
    route = "GET /guilds/{guild_id}/threads/active"

    async def asked() -> tuple[int, bytes]:
        async with site.session.get(url, headers=bot) as response:
            assert not any(name.lower().startswith("x-ratelimit") for name in response.headers)
            return response.status, await response.read()

    assert (await asked())[0] == 200
    await site.post("quirks", {"missing_routes": [route]})
    assert await asked() == (404, b'{"message":"404: Not Found","code":0}')
    await site.post("quirks", {"missing_form": "no-bots"})
    assert await asked() == (403, b'{"message":"Bots cannot use this endpoint","code":20001}')
    assert site.emulator.log.entries[-1].route == route
    async with site.session.get(url) as response:
        assert response.status == 401, "that comes before anything else"
    assert (await site.send("GET", "state"))[1]["quirks"]["missing_routes"] == [route]
    await site.post("quirks", {"missing_routes": []})
    assert (await asked())[0] == 200


# Patterns

HANGING = [
    r"(a+)+$",
    r"(a|a)*$",
    r"(a|aa)+$",
    r"(\w*)*\w*\w*\w*\w*x",
    r"(.*)*(.*)*(.*)*=",
    r"(x+x+)+y",
    r"((a{0,3}){0,3}){0,3}$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
]


@pytest.mark.parametrize("pattern", HANGING)
def test_no_pattern_takes_long(pattern: str) -> None:
    began_s = time.process_time()

    for character in "ax=":
        Pattern(pattern).search(character * 10 * MAX_SEARCHED + "!")

    assert time.process_time() - began_s < 5


async def test_a_hostile_script_leaves_the_server_answering(site: Site) -> None:
    rules = [{"path": each, "action": "answer"} for each in HANGING]

    assert (await site.post("faults", rules))[0] == 200
    url = f"{site.emulator.url}/{'a' * 4_000}!"
    async with site.session.get(url, headers={"Authorization": "Bot token"}) as response:
        assert response.status in (404, 500)


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        r"(a)\1",
        "(?=a)b",
        "(?<!a)b",
        "(?i)a",
        "(?i:a)",
        "a{1000}",
        "((a{1,99}){1,99}){1,99}",
        "(" * 100 + ")" * 100 + "a" * 10,
        "x" * 201,
        "[",
        "a*+",
    ],
)
async def test_what_cannot_be_matched_so_is_said(site: Site, pattern: str) -> None:
    status, answer = await site.post("faults", [{"path": pattern}])

    assert status == 400
    assert "path cannot be used" in answer["error"]
    with pytest.raises(ValueError, match="path cannot be used"):
        FaultRule(path=pattern)


def test_a_script_is_bounded_as_a_whole() -> None:
    rule = FaultRule(path="a{150}")

    with pytest.raises(ValueError, match="its paths at most 2000 steps in total"):
        FaultScript(*[rule] * 20)


@pytest.mark.parametrize("pattern", ["(?:){60000}", "(?:(?:){60000}){60000}", "(?:(?:)*)*a"])
def test_nothing_repeated_is_nothing(pattern: str) -> None:
    assert Pattern(pattern).search("a")


ATOMS = ["a", "b", "/", ".", r"\d", r"\w", r"\s", r"\D", "[ab]", "[^a/]", "[0-9x-z]", r"\.", "é"]
PLACES = ["^", "$", r"\b", r"\B", r"\A", r"\Z"]
REPEATS = ["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{1,3}?"]


def some_pattern(chance: random.Random, depth: int = 2) -> str:
    parts = []
    for _ in range(chance.randrange(1, 4)):
        kind = chance.random()
        if depth and kind < 0.25:
            inner = some_pattern(chance, depth - 1)
            parts.append(f"({chance.choice(['', '?:'])}{inner}){chance.choice(REPEATS)}")
        elif depth and kind < 0.4:
            branches = [some_pattern(chance, depth - 1) for _ in range(2)]
            parts.append(f"(?:{'|'.join(branches)})")
        elif kind < 0.5:
            parts.append(chance.choice(PLACES))
        else:
            parts.append(chance.choice(ATOMS) + chance.choice(REPEATS))
    return "".join(parts)


def test_it_fits_what_pythons_own_engine_fits() -> None:
    chance = random.Random(7)
    tried = 0
    for _ in range(3_000):
        pattern = some_pattern(chance)
        try:
            made = Pattern(pattern)
        except ValueError:  # too many steps
            continue
        for _ in range(4):
            text = "".join(chance.choice("ab/0x. é\n") for _ in range(chance.randrange(1, 9)))
            assert made.search(text) == bool(re.search(pattern, text)), (pattern, text)
            tried += 1
    assert tried > 8_000


def test_a_rule_takes_the_paths_that_it_names() -> None:
    rule = FaultRule(path=r"^/channels/\d+/(messages|threads)")

    def fits(path: str) -> bool:
        return rule.matches(Incoming("GET", path, "", "", None, ""), None, None)

    assert fits("/channels/12/messages")
    assert fits("/channels/12/threads/search")
    assert not fits("/channels/x/messages")
    assert not fits("/guilds/1/channels/12/messages")
