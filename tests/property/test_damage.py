"""True payloads, damaged anywhere: none bars its page, none is lost, and no other is touched.

The quick form tries little of each and belongs to every run; `-m slow` tries much.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.discord_api.careful import read_message
from raysync.discord_api.convert import message_from
from raysync.discord_api.guilds import guild_from, read_channel
from raysync.discord_api.lenient_json import parse
from raysync.discord_api.people.pseudonyms import FullIdentity, Pseudonymizer
from raysync.emulator import GuildSpec, World, generate_guild
from raysync.emulator.world.payloads import channel_payload, guild_payload
from raysync.errors import PayloadError
from raysync.models.entities import Message
from raysync.models.ids import MAX_SNOWFLAKE, NO_CHANNEL, NOWHERE, GuildId, UserId
from raysync.models.privacy import PeopleRules
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.page_rows import page_json
from raysync.store.archive.pages import PostgresPages
from raysync.store.connection.engine import open_engine
from tests.property.hostile import json_values, texts
from tests.property.test_fuzz import assert_channel, assert_storable
from tests.store.rows import add_channel, add_tenant, page, task

QUICK, LONG = 300, 10_000
QUICK_PAGES, LONG_PAGES = 40, 1_000
PAGE = 10
FORGOTTEN = Pseudonymizer(b"k" * 32).author_ref("5")
PEOPLE = (
    Pseudonymizer(b"k" * 32),
    FullIdentity(),
    Pseudonymizer(b"k" * 32, PeopleRules(users=frozenset({FORGOTTEN}), before=1 << 60)),
)


def world() -> World:
    return World(generate_guild(GuildSpec.lively(600), seed=11))


WORLD = world()
(GUILD_ID,) = WORLD.guilds
MESSAGES = [message for _, message in WORLD.truth(GUILD_ID)]
CHANNELS = [channel_payload(each) for each in WORLD.channels.values()]

odd_values = json_values | st.sampled_from(
    [
        10**400, -(10**400), 2**31, 2**63, 2**64, -1, 0, 1.0, True, False, None, "",
        " 5 ", "٣", "0x5", "1_000", "+5", "-5", "5.0", "\x00", "\ud800", "9" * 400, [], {}, [[]],
        "2023-05-02T13:02:11+23:59", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59",
        "294277-01-01T00:00:00Z", float("nan"), float("inf"), "x" * 100_000, "<@5>", {"": ""},
    ]
)  # fmt: skip


def deep(levels: int) -> Any:
    value: Any = {"user": {"id": "5", "username": "x"}}
    for level in range(levels):
        value = [value] if level % 2 else {"deeper": value}
    return value


@st.composite
def damaged(draw: st.DrawFn, whole: dict[str, Any]) -> Any:
    """*whole* with up to three parts taken out, replaced, doubled or added, anywhere in it."""
    made = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        inside: Any = made
        while True:
            keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(inside[key], dict | list) and inside[key] and draw(st.booleans()):
                inside = inside[key]
                continue
            _damage(draw, inside, key)
            break
    if draw(st.integers(0, 20)) == 0:
        return draw(odd_values)
    return made


def _damage(draw: st.DrawFn, inside: Any, key: Any) -> None:
    match draw(st.integers(0, 5)):
        case 0:
            del inside[key]
        case 1 if isinstance(inside, list):
            inside.append(copy.deepcopy(inside[key]))
        case 1:
            inside[draw(texts)] = inside[key]
        case 2:
            inside[key] = deep(draw(st.sampled_from([3, 60, 130, 260, 900])))
        case 3:
            inside[key] = [inside[key], inside[key]]
        case _:
            inside[key] = copy.deepcopy(draw(odd_values))


def readable_id(payload: Any) -> int | None:
    """The id of a record, if it has one that a row can have."""
    found = payload.get("id") if isinstance(payload, dict) else None
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= 20:
        found = int(found)
    is_id = type(found) is int and 0 < found <= MAX_SNOWFLAKE
    return found if is_id else None


def over_the_wire(payloads: list[Any]) -> list[Any]:
    """As the client parses them; by itself, where what was drawn cannot be written as JSON."""
    try:
        document = json.dumps(payloads)
    except (RecursionError, ValueError):
        return payloads
    try:
        found: list[Any] = orjson.loads(document)
    except ValueError:
        found = parse(document)
    assert len(found) == len(payloads)
    return found


def try_out(count: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> int:
    tried = 0

    @settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def run(value: Any) -> None:
        nonlocal tried
        tried += 1
        check(value)

    run()
    return tried


def check_message(payload: Any) -> None:
    (payload,) = over_the_wire([payload])
    for people in PEOPLE:
        made = read_message(payload, people)
        assert made.id == (readable_id(payload) or NOWHERE)
        if made.id == NOWHERE:
            continue
        assert_storable(made)
        assert_whole(made)
        rows = orjson.loads(page_json([made]))
        assert [each["id"] for each in rows] == ([] if made.is_suppressed else [made.id])
        try:
            assert made == message_from(payload, people)
        except PayloadError:
            assert made.quarantine or made.is_suppressed


def assert_whole(made: Message) -> None:
    """What is kept beside columns is JSON, and flags are what SQL takes them for."""
    raw, metadata = orjson.loads(made.raw), orjson.loads(made.metadata)
    assert isinstance(raw, dict)
    if not made.is_suppressed:
        assert type(metadata["flags"]) is int
        assert type(metadata["pinned"]) is bool
    assert len({each.emoji for each in made.reactions}) == len(made.reactions)
    assert len({each.id for each in made.attachments}) == len(made.attachments)
    assert all(each.count >= 0 and each.emoji.strip(".") for each in made.reactions)


def check_channel(payload: Any) -> None:
    (payload,) = over_the_wire([payload])
    for people in PEOPLE:
        made = read_channel(payload, GuildId(1), UserId(4), people)
        assert made.id == (readable_id(payload) or NO_CHANNEL)
        if made.id != NO_CHANNEL and "type" not in made.unreadable:
            assert_channel(made)
        orjson.dumps(dict(made.metadata))


def check_guild(payload: Any) -> None:
    roles = payload.get("roles") if isinstance(payload, dict) else None
    try:
        made = guild_from(payload, GuildId(1))
    except PayloadError:
        whole = [each for each in roles if _is_role(each)] if isinstance(roles, list) else []
        assert whole == []
        return
    assert made.id == 1
    assert all(each.permissions >= 0 for each in made.roles)


def _is_role(role: Any) -> bool:
    return (
        isinstance(role, dict) and readable_id(role) is not None and role.get("permissions") == "0"
    )


messages = st.integers(0, len(MESSAGES) - 1).flatmap(lambda at: damaged(MESSAGES[at]))
channels = st.integers(0, len(CHANNELS) - 1).flatmap(lambda at: damaged(CHANNELS[at]))
guilds = st.just(guild_payload(WORLD.guilds[GUILD_ID])).flatmap(damaged)
SURFACES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "messages": (messages, check_message),
    "channels": (channels, check_channel),
    "guilds": (guilds, check_guild),
}


@pytest.mark.parametrize("name", SURFACES)
def test_whatever_a_record_is_it_is_read(name: str) -> None:
    assert try_out(QUICK, *SURFACES[name]) >= QUICK


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SURFACES)
def test_whatever_a_record_is_it_is_read_at_length(name: str) -> None:
    print(f"\n{name}: {try_out(LONG, *SURFACES[name]):,} records")


@st.composite
def pages(draw: st.DrawFn) -> tuple[list[Any], set[int]]:
    """A page of true messages, some of them damaged: its records, and which are whole."""
    start = draw(st.integers(0, len(MESSAGES) - PAGE))
    whole = MESSAGES[start : start + PAGE]
    odd = draw(st.sets(st.integers(0, PAGE - 1), min_size=1, max_size=4))
    records = [draw(damaged(each)) if at in odd else each for at, each in enumerate(whole)]
    return records, {int(each["id"]) for at, each in enumerate(whole) if at not in odd}


class Stage:
    """A database, and the loop in which it is used."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self._runner = runner
        self._url = url
        self._session = psycopg.connect(url, autocommit=True)
        self._engine = open_engine(url, pool_size=2, application_name="damage")
        self._tenant = runner.run(add_tenant(self._engine))
        self._channels = iter(range(1, 1 << 30))

    def close(self) -> None:
        self._runner.run(self._engine.dispose())
        self._session.close()

    def check(self, given: tuple[list[Any], set[int]]) -> None:
        records, whole = given
        records = over_the_wire(records)
        people = PEOPLE[0]
        read = [read_message(each, people) for each in records]
        placed = [each for each in read if each.id != NOWHERE]
        clean = {each.id: each for each in read if each.id in whole}
        self._runner.run(self._save(self._engine, placed))
        stored = self._session.execute(
            "SELECT platform_message_id, content, raw, quarantine FROM messages"
        ).fetchall()
        self._session.execute("TRUNCATE messages, message_attachments, message_emoji_reactions")

        rows = {row[0]: row[1:] for row in stored}
        assert rows.keys() == {each.id for each in placed}
        twice = {each.id for each in placed if [one.id for one in placed].count(each.id) > 1}
        for message_id in whole - twice:
            content, raw, quarantine = rows[message_id]
            assert (content, quarantine) == (clean[message_id].content, None)
            assert raw == orjson.loads(clean[message_id].raw)
        for each in placed:
            if each.id not in twice:
                assert rows[each.id][2] == (list(each.quarantine) or None)

    async def _save(self, engine: AsyncEngine, placed: list[Message]) -> None:
        stored = await add_channel(engine, self._tenant.id, next(self._channels))
        store = PostgresPages(engine)
        claim = await store.claim(task(self._tenant.id, stored), "w")
        assert claim is not None
        await store.save_page(claim, page(*placed))
        await store.save_page(claim, page(*placed))

    def check_channels(self, payloads: list[Any]) -> None:
        read = [read_channel(each, GuildId(1), UserId(4), PEOPLE[0]) for each in payloads]
        found = {each.id: each for each in read if each.id != NO_CHANNEL and each.type >= 0}
        store = ChannelStore(self._engine, self._tenant.id)
        recorded = self._runner.run(store.record(list(found.values())))
        assert recorded.keys() == found.keys()
        withheld = self._session.execute(
            "SELECT count(*) FROM channels WHERE metadata ? 'withheld_by_raysync'"
        ).fetchone()
        refused = [each for each in found.values() if "payload" in each.unreadable]
        assert withheld == (len(refused),), "what was read, the database takes"
        self._session.execute("TRUNCATE channels CASCADE")


@contextmanager
def staged(url: str) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        stage = Stage(runner, url)
        try:
            yield stage
        finally:
            stage.close()


def test_damaged_messages_bar_no_page_in_postgresql(database_url: str) -> None:
    with staged(database_url) as stage:
        assert try_out(QUICK_PAGES, pages(), stage.check) >= QUICK_PAGES


def test_damaged_channels_bar_no_other_in_postgresql(database_url: str) -> None:
    some = st.lists(channels, min_size=1, max_size=8)
    with staged(database_url) as stage:
        assert try_out(QUICK_PAGES, some, stage.check_channels) >= QUICK_PAGES


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_damaged_messages_bar_no_page_in_postgresql_at_length(database_url: str) -> None:
    with staged(database_url) as stage:
        print(f"\n{try_out(LONG_PAGES, pages(), stage.check) * PAGE:,} records in pages")
