"""Whatever comes from outside: a value, or an error that is documented; never anything else.

The quick form tries little of each and belongs to every run; `-m slow` tries much, and prints how
much.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import discord
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import ValidationError
from sqlalchemy import make_url

from raysync.cli import params
from raysync.credentials import resolve_token
from raysync.discord_api.address import DISCORD_API_URL
from raysync.discord_api.attachments import AttachmentSource, _begin_of
from raysync.discord_api.cdn import unsigned_url
from raysync.discord_api.convert import channel_from, guild_from, member_from, message_from
from raysync.discord_api.errors import translated
from raysync.discord_api.gate import route_of
from raysync.discord_api.people.pseudonyms import FullIdentity, Pseudonymizer
from raysync.discord_api.proxies import Proxies
from raysync.discord_api.reactors import ReactorLists
from raysync.discord_api.thread_lists import archived_threads, searched_threads
from raysync.emulator import EmulatorThread, GuildSpec, Limits, World, generate_guild
from raysync.errors import (
    ConfigurationError,
    PayloadError,
    RaysyncError,
    RetryableError,
    TokenUnavailableError,
)
from raysync.models.entities import Channel, Message
from raysync.models.extras import MissingFile
from raysync.models.ids import MAX_SNOWFLAKE, ChannelId, GuildId, MessageId, UserId
from raysync.ratelimit.policies import BucketHeaders, RoutePolicies
from raysync.settings import Settings
from raysync.store.archive.page_rows import page_json
from raysync.store.connection.engine import normalize_url, where_is
from tests.property.hostile import (
    ALICE_AVATAR,
    ALICE_ID,
    ALICE_NAME,
    CHANNEL,
    GUILD,
    MESSAGE,
    json_values,
    peopled,
    spoilt,
    texts,
)

QUICK, LONG = 40, 5_000
PSEUDONYMS, FULL = Pseudonymizer(b"0123456789abcdef"), FullIdentity()
_INT4 = range(-(2**31), 2**31)
_TOKEN = "a-bot-token"


@dataclass(frozen=True, slots=True)
class Surface:
    """Something that reads what others wrote."""

    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


def check_message(payload: Any) -> None:
    for identities in (PSEUDONYMS, FULL):
        with suppress(PayloadError):
            made = message_from(payload, identities)
            assert_storable(made)
            page_json([made])


def assert_storable(made: Message) -> None:
    """What PostgreSQL's columns hold: it would refuse the whole page for one value."""
    assert 0 < made.id <= MAX_SNOWFLAKE
    assert made.reply_to_id is None or 0 < made.reply_to_id <= MAX_SNOWFLAKE
    assert type(made.type) is int
    assert made.type in _INT4
    assert isinstance(made.content, str)
    assert isinstance(made.author_ref, str | None)
    assert isinstance(made.created_at, datetime)
    assert isinstance(made.edited_at, datetime | None)
    for each in made.attachments:
        assert 0 < each.id <= MAX_SNOWFLAKE
        assert type(each.size) is int
        assert 0 <= each.size <= MAX_SNOWFLAKE
        assert isinstance(each.filename, str)
        assert isinstance(each.url, str)
        assert isinstance(each.content_type, str | None)
    for reaction in made.reactions:
        assert isinstance(reaction.emoji, str)
        assert type(reaction.count) is int
        assert reaction.count in _INT4
        assert type(reaction.burst_count) is int
        assert reaction.burst_count in _INT4


def check_people(payload: dict[str, Any]) -> None:
    """However they are wrapped, people come out as pseudonyms."""
    with suppress(PayloadError):
        made = message_from(payload, PSEUDONYMS)
        for leak in (ALICE_ID, ALICE_NAME, ALICE_AVATAR):
            assert leak.encode() not in page_json([made]), leak


def check_channel(payload: Any) -> None:
    with suppress(PayloadError):
        made = channel_from(payload, GuildId(1), UserId(4), PSEUDONYMS)
        assert_channel(made)


def assert_channel(made: Channel) -> None:
    assert 0 < made.id <= MAX_SNOWFLAKE
    for each in (made.parent_id, made.last_message_id):
        assert each is None or 0 <= each <= MAX_SNOWFLAKE
    assert type(made.type) is int
    assert made.type in _INT4
    assert isinstance(made.name, str)
    if made.thread is not None:
        at = made.thread.archived_at
        assert at is None or at.utcoffset() is not None


def check_guild(payload: Any) -> None:
    with suppress(PayloadError):
        assert 0 < guild_from(payload).id <= MAX_SNOWFLAKE
    with suppress(PayloadError):
        member_from(payload, UserId(1))


def check_headers(headers: Mapping[str, str]) -> None:
    told = BucketHeaders.read(headers)
    policies = RoutePolicies()
    for route in ("GET /channels/{channel_id}/messages", "GET /new"):
        policies.note_answer(route, told)
        policies.note_answer(route, told)
        policies.note_refusal(route, told)
    for each in policies.learned():
        assert each.limit in range(1, 2**31), "the database keeps it"
        assert 0 < each.window_s < float("inf")


def check_error(given: tuple[int, Any, Mapping[str, str]]) -> None:
    """What discord.py makes of an error's body, inside what translates its errors."""
    status, body, headers = given
    response = SimpleNamespace(status=status, reason="no", headers=CIMultiDict(headers))
    kind = {403: discord.Forbidden, 404: discord.NotFound}.get(status, discord.HTTPException)
    with suppress(RaysyncError), bearable(), translated("GET /x"):
        raise kind(response, body)  # type: ignore[arg-type]


@contextmanager
def bearable() -> Iterator[None]:
    """Whoever is asked to wait is told a time that one can wait."""
    try:
        yield
    except RetryableError as error:
        if not 0 <= (error.retry_after_s or 0) < float("inf"):
            raise AssertionError(f"nobody can wait for {error.retry_after_s} s") from None
        raise


class _Answering:
    """In place of the client: gives one answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def request(self, *_: object, **__: object) -> Any:
        return self._answer


FILE = MissingFile(MessageId(1), 2, "https://cdn/a", 9, "image/png")


def check_lists(answer: Any) -> None:
    asyncio.run(_check_lists(answer))


async def _check_lists(answer: Any) -> None:
    client: Any = _Answering(answer)
    with suppress(RaysyncError):
        lists = ReactorLists(client, PSEUDONYMS)
        await lists.fetch_reactors(ChannelId(1), MessageId(2), "👍", burst=False, after=None)
    source = AttachmentSource(client)
    with suppress(RaysyncError):
        await source.look_up(ChannelId(1), FILE)
    with suppress(RaysyncError):
        for each in (await source.sign_anew(ChannelId(1), [FILE])).values():
            assert isinstance(each, str)


def check_threads(answers: list[dict[str, Any]]) -> None:
    asyncio.run(_check_threads(answers))


async def _check_threads(answers: list[dict[str, Any]]) -> None:
    for lister in (
        lambda ask: archived_threads(ask, private=False),
        lambda ask: archived_threads(ask, private=True, joined_only=True),
        searched_threads,
    ):
        left = iter(answers)

        async def ask(_path: str, _params: dict[str, str]) -> tuple[dict[str, Any], list[Channel]]:
            answer = next(left, {})  # noqa: B023 used up before the next one begins
            threads = answer.get("threads")
            return answer, [
                channel_from(each, GuildId(1), UserId(4), PSEUDONYMS)
                for each in (threads if isinstance(threads, list) else [])
            ]

        with suppress(RaysyncError):
            async for _ in lister(ask):
                pass


def check_cdn(given: tuple[int, Mapping[str, str], int]) -> None:
    status, headers, start = given
    told = CIMultiDict(headers)
    length = told.get("Content-Length")
    response: Any = SimpleNamespace(
        status=status,
        headers=told,
        content_type=told.get("Content-Type", ""),
        content_length=int(length) if length and length.isdecimal() else None,
    )
    with suppress(RaysyncError), bearable():
        assert _begin_of(response, FILE, start) in (0, start)


_OPTIONS: tuple[Callable[[str], object], ...] = (
    params.duration,
    params.size,
    params.folder_or_url,
    params.media_type,
    params.moment,
    params.snowflake,
    params.variable_name,
    params.token_file,
    params.job_id,
)


def check_options(text: str) -> None:
    for parser in _OPTIONS:
        with suppress(typer.BadParameter):
            parser(text)
    params.looks_like_token(text)


def check_addresses(text: str) -> None:
    for each in (text, f"postgresql://{text}", f"postgresql://u:{text}@h/d"):
        with suppress(ConfigurationError):
            make_url(normalize_url(each))
            where_is(each)
    with suppress(ValidationError):
        Settings(
            RAYSYNC_DISCORD_API_URL=text, RAYSYNC_SECRET_KEY=text, SYNC_MAX_CHANNEL_WORKERS=text
        )
    for url in (DISCORD_API_URL, f"http://{text}"):
        for name, value in itertools.product(("HTTPS_PROXY", "all_proxy"), (text, f"u:{text}@h")):
            with suppress(ConfigurationError, ValueError):  # the latter of an address that is none
                proxies = Proxies.of({name: value, "NO_PROXY": text})
                proxies.way_to(url)
                proxies.in_words(url, "it")
    Proxies.of({"https_proxy": "http://proxy", "no_proxy": text}).way_to(DISCORD_API_URL)

    unsigned_url(text)
    unsigned_url(f"https://{text}?ex=1&hm=2")
    route_of("GET", text)


def check_reference(given: tuple[str, bytes | None]) -> None:
    reference, sealed = given
    for each in (reference, f"env:{reference}", f"file:{reference}", "stored"):
        with suppress(TokenUnavailableError):
            resolve_token(each, sealed, b"0123456789abcdef")


_HEADER_NAMES = st.sampled_from(
    [
        "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset-after", "retry-after",
        "x-ratelimit-scope", "content-range", "content-length", "content-type", "Retry-After",
    ]
)  # fmt: skip
_HEADERS = st.dictionaries(
    _HEADER_NAMES,
    texts
    | st.integers(-5, 2**40).map(str)
    | st.floats().map(str)
    | st.sampled_from(["bytes 3-", "bytes 3-8/9", "text/html"]),
    max_size=6,
)
_BODIES = json_values | spoilt(
    {
        "code": 10008,
        "message": "no",
        "retry_after": 1.5,
        "errors": {"a": {"_errors": [{"code": 1}]}},
    }
)
_ANSWERS = (
    json_values
    | st.lists(spoilt({"id": "7"}), max_size=3)
    | spoilt({"attachments": [{"id": "2", "url": "https://cdn/b"}]})
    | spoilt({"refreshed_urls": [{"original": "https://cdn/a", "refreshed": "https://cdn/b"}]})
)
_THREADS = st.lists(
    st.fixed_dictionaries(
        {"threads": st.lists(spoilt(CHANNEL) | st.just(CHANNEL), max_size=3)},
        optional={"has_more": json_values, "code": st.just(110_000), "retry_after": json_values},
    ),
    max_size=3,
)
_STATUSES = st.sampled_from([200, 204, 206, 400, 401, 403, 404, 410, 413, 429, 500, 503])

SURFACES = {
    "messages": Surface(spoilt(MESSAGE), check_message),
    "people": Surface(peopled(), check_people),
    "channels": Surface(spoilt(CHANNEL), check_channel),
    "guilds": Surface(spoilt(GUILD), check_guild),
    "limits": Surface(_HEADERS, check_headers),
    "errors": Surface(st.tuples(_STATUSES, _BODIES, _HEADERS), check_error),
    "lists": Surface(_ANSWERS, check_lists),
    "threads": Surface(_THREADS, check_threads),
    "cdn": Surface(st.tuples(_STATUSES, _HEADERS, st.integers(0, 9)), check_cdn),
    "options": Surface(texts | st.from_regex(r"\A[0-9.]{1,12} ?[a-zA-Z:+-]{0,4}\Z"), check_options),
    "addresses": Surface(texts | st.from_regex(r"\A[a-z0-9:@/%?&=\[\]]{0,24}\Z"), check_addresses),
    "references": Surface(st.tuples(texts, st.none() | st.binary(max_size=60)), check_reference),
}


def try_out(surface: Surface, count: int) -> int:
    """Check so many inputs, or more, and say how many there were."""
    tried = 0

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(surface.inputs)
    def check(value: Any) -> None:
        nonlocal tried
        tried += 1
        surface.check(value)

    check()
    return tried


@pytest.mark.parametrize("name", SURFACES)
def test_what_cannot_be_read_is_told_as_an_error_of_ours(name: str) -> None:
    assert try_out(SURFACES[name], QUICK) >= QUICK


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SURFACES)
def test_the_same_at_length(name: str) -> None:
    print(f"\n{name}: {try_out(SURFACES[name], LONG):,} inputs")


@contextmanager
def emulated() -> Iterator[tuple[str, int, World]]:
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(_TOKEN)
    with EmulatorThread(world, limits=Limits(speed=1e6)) as emulator:
        host, _, port = emulator.origin.removeprefix("http://").partition(":")
        yield host, int(port), world


def requests_to(world: World) -> st.SearchStrategy[tuple[str, str, bytes, dict[str, str]]]:
    """Requests that nearly are some, and others."""
    (guild,) = world.guilds.values()
    channel = next(each for each in guild.channels.values() if each.log.ids)
    ids = st.sampled_from(
        [guild.id, channel.id, channel.log.ids[0], guild.owner_id, 0, -1, 2**63, 2**70]
    ).map(str) | st.from_regex(r"\A[a-z0-9@%.-]{0,8}\Z")
    values = ids | st.sampled_from(["", "true", "1e9", "%00", "%ff", "9" * 40, "NaN", "[]"])
    templates = st.sampled_from(
        [
            "/api/v10/channels/{0}/messages", "/api/v10/channels/{0}/messages/{1}",
            "/api/v10/channels/{0}/messages/{1}/reactions/{2}", "/api/v10/guilds/{0}",
            "/api/v10/channels/{0}/threads/archived/public", "/api/v10/channels/{0}/threads/search",
            "/api/v10/channels/{0}/users/@me/threads/archived/private", "/api/v10/users/{0}",
            "/api/v10/guilds/{0}/members/{1}", "/api/v10/guilds/{0}/threads/active",
            "/api/v10/channels/{0}/messages/pins", "/api/v10/channels/{0}/thread-members",
            "/api/v10/channels/{0}/polls/{1}/answers/{2}", "/api/v10/attachments/refresh-urls",
            "/api/v10/oauth2/applications/@me", "/attachments/{0}/{1}/{2}", "/media/{0}",
            "/_emulator/{0}", "/_emulator/log", "/_emulator/edits", "/_emulator/faults",
            "/_emulator/limits", "/_emulator/truth", "/_emulator/clock", "/_emulator/quirks",
            "/{0}/{1}",
        ]
    )  # fmt: skip
    names = st.sampled_from(
        ["limit", "before", "after", "around", "type", "offset", "ex", "is", "hm", "guild_id",
         "token", "since", "sort_by", "archived", "with_member"]
    )  # fmt: skip
    queries = st.dictionaries(names, values, max_size=4).map(
        lambda given: "&".join(f"{name}={value}" for name, value in given.items())
    )
    bodies = st.one_of(
        st.just(b""),
        st.binary(max_size=20),
        json_values.map(lambda value: repr(value).encode(errors="replace")),
        st.sampled_from(
            [b'{"attachment_urls":["http://[",1,null]}', b'{"attachment_urls":7}', b"[[]]", b"{}",
             b'[{"edit":"edit_message"}]', b'[{"action":"answer","status":"x"}]', b"[1]", b"null"]
        ),
    )  # fmt: skip
    headers = st.fixed_dictionaries(
        {"Authorization": st.sampled_from([f"Bot {_TOKEN}", "Bot x", "", "Bearer \xe9"])},
        optional={
            "Range": st.sampled_from(["bytes=0-", "bytes=x-", "bytes=-5", "bytes=9-1", "x"]),
            "User-Agent": st.sampled_from(["DiscordBot (x, 1)", ""]),
            "X-Audit-Log-Reason": st.just("%"),
            "Content-Type": st.sampled_from(["application/json", "application/json", "text/plain"]),
            "Origin": st.sampled_from(["http://[", "null", "http://evil.example"]),
        },
    )

    @st.composite
    def drawn(draw: st.DrawFn) -> tuple[str, str, bytes, dict[str, str]]:
        path = draw(templates).format(draw(values), draw(values), draw(values))
        query = draw(queries)
        method = draw(st.sampled_from(["GET", "GET", "POST", "DELETE", "PATCH", "PUT", "HEAD"]))
        return method, f"{path}?{query}" if query else path, draw(bodies), draw(headers)

    return drawn()


def try_emulator(count: int) -> int:
    tried = 0
    with emulated() as (host, port, world):
        client = http.client.HTTPConnection(host, port, timeout=20)

        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(requests_to(world))
        def check(asked: tuple[str, str, bytes, dict[str, str]]) -> None:
            nonlocal tried
            tried += 1
            method, target, body, headers = asked
            if "limits" in target and method == "POST":
                return  # it may take the limits away from under the next ones
            try:
                client.request(method, target, body, headers)
                answer = client.getresponse()
                answer.read()
            finally:
                client.close()
            assert answer.status < 500, (asked, answer.status)

        check()
        client.close()
    return tried


def test_the_emulator_answers_whatever_it_is_asked() -> None:
    assert try_emulator(4 * QUICK) >= QUICK


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_emulator_at_length() -> None:
    print(f"\nemulator: {try_emulator(LONG):,} inputs")
