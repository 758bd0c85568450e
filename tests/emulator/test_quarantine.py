"""Records that Discord should never send: each costs itself alone, and is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.emulator import Emulator, GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.world.entities import Channel, Thread
from raysync.emulator.world.snowflakes import made_at_ms
from raysync.models.entities import Privacy
from raysync.models.ids import ChannelId
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.store.archive.quarantine import quarantine_of
from tests.archive import Archive

TOKEN = "a-token"
PLAIN = SyncWindow(SyncType.INCREMENTAL)
FULL = SyncWindow(SyncType.FULL)
VERIFY = SyncWindow(SyncType.VERIFY)
DEEP = "[" * 2_000 + "]" * 2_000


@dataclass
class Stage:
    """A guild, and a tenant's archive of it."""

    archive: Archive
    emulator: Emulator
    engine: AsyncEngine

    @property
    def world(self) -> World:
        return self.emulator.world

    @property
    def guild_id(self) -> int:
        return next(iter(self.world.guilds))

    def texts(self) -> list[Channel]:
        return [each for each in self.world.channels.values() if each.type == 0]

    def long_channel(self) -> Channel:
        """One of three pages."""
        channel = self.texts()[0]
        first_ms = made_at_ms(channel.log.ids[-1])
        for minute in range(1, 231):
            self.emulator.edits.post_message(
                channel.id, f"said at {minute}", at_ms=first_ms + 60_000 * minute
            )
        return channel

    def threads(self) -> list[Thread]:
        return list(self.world.guilds[self.guild_id].threads.values())

    def truth(self) -> dict[tuple[int, int], str]:
        return {
            (channel, int(message["id"])): message["content"]
            for channel, message in self.world.truth(self.guild_id, token=TOKEN)
        }

    async def stored(self) -> dict[tuple[int, int], str]:
        return {key: text for key, (text, there) in (await self.archive.rows()).items() if there}

    async def quarantined(self) -> dict[int, tuple[str, ...]]:
        assert self.archive.tenant is not None
        found = await quarantine_of(self.engine, self.archive.tenant.id, 99)
        assert found.messages == len(found.first)
        return {each.message_id: each.fields for each in found.first}

    async def gaps(self) -> set[int]:
        """The channels of which not everything is proven."""
        return {each.channel_id for each in (await self.archive.run(VERIFY)).gaps}


@pytest.fixture
def world() -> World:
    spec = GuildSpec(
        text_channels=8, text_messages=240, users=5, threads=13, messages_per_thread=2, archived=0.0
    )
    world = World(generate_guild(spec, seed=3))
    world.add_bot(TOKEN)
    return world


@pytest.fixture(params=list(Privacy))
async def stage(
    engine: AsyncEngine, world: World, request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    async with serve(world, limits=Limits.off()) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        await archive.add(next(iter(world.guilds)), request.param)
        yield Stage(archive, emulator, engine)


pseudonymous = pytest.mark.parametrize("stage", [Privacy.PSEUDONYMOUS], indirect=True)

EMOJI = {"id": None, "name": "👍"}
FILE = {"id": "77", "filename": "a.png", "size": 9, "url": "https://cdn/a"}
DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "an-emoji-without-id-and-name": (
        {"patch": {"reactions": [{"emoji": {"id": None, "name": None}, "count": 1}]}},
        "reactions",
    ),
    "a-count-beyond-32-bits": (
        {"patch": {"reactions": [{"emoji": EMOJI, "count": 2**31}]}},
        "reactions",
    ),
    "a-reaction-twice": (
        {"patch": {"reactions": [{"emoji": EMOJI, "count": 1}, {"emoji": EMOJI, "count": 2}]}},
        "reactions",
    ),
    "an-emoji-beyond-an-index-row": (
        {"patch": {"reactions": [{"emoji": {"id": None, "name": "x" * 9_000}, "count": 1}]}},
        "reactions",
    ),
    "a-file-without-a-size": ({"patch": {"attachments": [FILE | {"size": None}]}}, "attachments"),
    "a-file-twice": ({"patch": {"attachments": [FILE, FILE]}}, "attachments"),
    "files-in-no-list": ({"patch": {"attachments": {"0": FILE}}}, "attachments"),
    "no-content": ({"patch": {"content": None}}, "content"),
    "content-is-missing": ({"without": ["content"]}, "content"),
    "content-is-a-list": ({"patch": {"content": ["a"]}}, "content"),
    "an-offset-of-nearly-a-day": (
        {"patch": {"edited_timestamp": "0001-01-01T00:00:00+23:59"}},
        "edited_timestamp",
    ),
    "a-year-beyond-any": (
        {"patch": {"edited_timestamp": "294277-01-01T00:00:00+00:00"}},
        "edited_timestamp",
    ),
    "no-time": ({"patch": {"timestamp": None}}, "timestamp"),
    "no-author": ({"patch": {"author": None}}, "author"),
    "an-author-who-is-a-word": ({"patch": {"author": {"id": "me"}}}, "author"),
    "a-type-that-is-true": ({"patch": {"type": True}}, "type"),
    "flags-in-words": ({"patch": {"flags": "four"}}, "flags"),
    "flags-that-are-no-number": ({"patch": {"flags": float("nan")}}, "flags"),
    "pinned-in-words": ({"patch": {"pinned": "yes"}}, "pinned"),
    "an-answer-to-a-word": (
        {"patch": {"message_reference": {"message_id": "x"}}},
        "message_reference",
    ),
    "a-number-beyond-a-double": ({"patch": {"embeds": [{"color": 10**400}]}}, "embeds"),
    "more-levels-than-a-parser": (
        {"text": '{"id":"%s","type":0,"embeds":%s}'},
        "embeds",
    ),
    "more-digits-than-a-parser": (
        {"text": '{"id":"%s","type":0,"nonce":1' + "0" * 5_000 + "}"},
        "nonce",
    ),
}


def damage(stage: Stage, channel: Channel, message_id: int, **arguments: Any) -> None:
    if "text" in arguments:
        text = arguments["text"].replace("%s", str(message_id), 1)
        arguments = {"text": text.replace("%s", DEEP)}
    stage.emulator.edits.damage_message(channel.id, message_id, **arguments)


async def test_malformed_messages_are_stored_and_marked_and_bar_nothing(stage: Stage) -> None:
    channel = stage.long_channel()
    broken = dict(zip(channel.log.ids[60:], DAMAGED, strict=False))
    for message_id, name in broken.items():
        damage(stage, channel, message_id, **DAMAGED[name][0])
    end = await stage.archive.run(PLAIN)

    assert (end.status, end.troubles) == (JobStatus.COMPLETED, ())
    truth, stored = stage.truth(), await stage.stored()
    assert stored.keys() == truth.keys()
    whole = {key for key in truth if key[1] not in broken}
    assert {key: stored[key] for key in whole} == {key: truth[key] for key in whole}
    quarantined = await stage.quarantined()
    named = {broken[each]: fields for each, fields in quarantined.items()}
    assert named.keys() == DAMAGED.keys()
    assert {name: field for name, (_, field) in DAMAGED.items() if field not in named[name]} == {}
    assert await stage.gaps() == set()

    for message_id in broken:
        stage.emulator.edits.mend_message(channel.id, message_id)
    mended = await stage.archive.run(FULL)
    assert mended.status is JobStatus.COMPLETED
    assert await stage.quarantined() == {}
    assert await stage.stored() == truth
    assert await stage.archive.versions() == 0, "nobody edited anything"


async def test_what_was_read_well_outlives_a_malformed_reading(stage: Stage) -> None:
    channel = stage.long_channel()
    patched = [name for name, (arguments, _) in DAMAGED.items() if "text" not in arguments]
    broken = dict(zip(channel.log.ids[60:], patched, strict=False))
    for message_id in broken:
        fields = {"attachments": [FILE], "reactions": [{"emoji": EMOJI, "count": 3}]}
        stage.emulator.edits.edit_message(channel.id, message_id, silent=True, fields=fields)
    await stage.archive.run(PLAIN)
    parts = (
        "SELECT m.content, m.edited_at, m.anonymized_author_id, m.type, a.filename, a.file_size,"
        " r.emoji, r.count FROM messages m"
        " JOIN message_attachments a USING (channel_id, platform_message_id)"
        " JOIN message_emoji_reactions r USING (channel_id, platform_message_id)"
        " WHERE m.tenant_id = :tenant AND a.platform_attachment_id = 77 AND r.emoji = '👍'"
        " ORDER BY m.platform_message_id"
    )
    before = await stage.archive.query(parts)
    for message_id, name in broken.items():
        damage(stage, channel, message_id, **DAMAGED[name][0])
    await stage.archive.run(FULL)

    assert len(before) == len(broken)
    assert await stage.archive.query(parts) == before
    assert (await stage.quarantined()).keys() == set(broken)
    assert await stage.archive.versions() == 0


NOWHERE: dict[str, str] = {
    "null": "null",
    "a-list": "[]",
    "a-word": '"message"',
    "no-id": '{"type": 0, "content": "x"}',
    "an-id-of-64-bits": '{"id": "18446744073709551615", "type": 0, "content": "x"}',
    "an-id-of-other-digits": '{"id": "١٢٣", "type": 0, "content": "x"}',
    "an-id-to-come": '{"id": "9000000000000000000", "type": 0, "content": "x"}',
    "an-id-long-gone": '{"id": "1", "type": 0, "content": "x"}',
    "no-json": '{"id": }',
}


@pytest.mark.parametrize("at", [0, 150, -1], ids=["first", "middle", "newest"])
@pseudonymous
async def test_a_record_without_a_place_costs_itself_alone_and_proves_nothing(
    stage: Stage, at: int
) -> None:
    channel = stage.long_channel()
    lost, deleted = channel.log.ids[at], channel.log.ids[at + 2 if at >= 0 else at - 2]
    await stage.archive.run(PLAIN)
    whole = stage.truth()
    stage.emulator.edits.delete_message(channel.id, deleted)
    for name, text in NOWHERE.items():
        stage.emulator.edits.damage_message(channel.id, lost, text=text)
        end = await stage.archive.run(replace(FULL, channels=frozenset({ChannelId(channel.id)})))

        assert end.status is JobStatus.PARTIAL, name
        (trouble,) = end.troubles
        assert trouble.channel_id == channel.id
        assert "1 record is not stored" in trouble.message
        assert sum(each.tally.unplaced for each in end.outcomes) == 1, name
        assert (await stage.stored()).keys() == whole.keys(), f"{name}: nothing is missed"

    stage.emulator.edits.mend_message(channel.id, lost)
    assert (await stage.archive.run(FULL)).status is JobStatus.COMPLETED
    assert (await stage.stored()).keys() == whole.keys() - {(channel.id, deleted)}


@pytest.mark.parametrize("at", [0, 150, -1], ids=["first", "middle", "newest"])
@pseudonymous
async def test_a_record_without_a_place_is_looked_for_again_until_it_can_be_read(
    stage: Stage, at: int
) -> None:
    channel = stage.long_channel()
    lost = channel.log.ids[at]
    stage.emulator.edits.damage_message(channel.id, lost, text="null")
    await stage.archive.run(PLAIN)

    assert (await stage.stored()).keys() == stage.truth().keys() - {(channel.id, lost)}
    assert await stage.gaps() == {channel.id}
    stage.emulator.edits.mend_message(channel.id, lost)
    assert (await stage.archive.run(PLAIN)).status is JobStatus.COMPLETED
    assert (await stage.stored()).keys() == stage.truth().keys()
    assert await stage.gaps() == set()


@pseudonymous
async def test_a_channel_whose_only_message_has_no_place_comes_to_its_end(stage: Stage) -> None:
    edits = stage.emulator.edits
    channel_id = edits.create_channel(stage.guild_id, "lonely")
    message_id = edits.post_message(channel_id)
    edits.damage_message(channel_id, message_id, text="null")
    end = await stage.archive.run(PLAIN)

    assert [each.channel_id for each in end.troubles] == [channel_id]
    edits.post_message(channel_id, "another")
    await stage.archive.run(PLAIN)
    assert (await stage.stored()).keys() == stage.truth().keys() - {(channel_id, message_id)}


OVERWRITES = "permission_overwrites"


UNREADABLE: list[tuple[dict[str, Any], str | None]] = [
    ({"text": "null"}, None),
    ({"text": '["a"]'}, None),
    ({"without": ["id"]}, None),
    ({"patch": {"id": "x"}}, None),
    ({"patch": {"type": "text"}}, "its type is not"),
    ({"patch": {OVERWRITES: None}}, "its permission"),
    (
        {"patch": {OVERWRITES: [{"id": "1", "type": 0, "allow": "all", "deny": "0"}]}},
        "its permission",
    ),
]


@pseudonymous
async def test_channels_that_cannot_be_read_are_named_and_cost_no_other(stage: Stage) -> None:
    await stage.archive.run(PLAIN)
    before = stage.truth()
    broken = dict(zip((each.id for each in stage.texts()), UNREADABLE, strict=False))
    for each in stage.texts():
        stage.emulator.edits.post_message(each.id, "news")
    for channel_id, (arguments, _) in broken.items():
        stage.emulator.edits.damage_channel(channel_id, **arguments)
    asked = len(stage.emulator.log.entries)
    end = await stage.archive.run(FULL)

    assert len(broken) == len(UNREADABLE) < len(stage.texts())
    news = {key for key in stage.truth() if key[0] not in broken}
    assert (await stage.stored()).keys() == before.keys() | news
    assert await stage.archive.gone_channels() == set()
    assert [each for each in stage.emulator.log.entries[asked:] if each.status == 403] == []
    reasons = {each.channel_id: each.reason for each in end.skipped}
    for channel_id, (_, reason) in broken.items():
        assert (channel_id in reasons) is (reason is not None)
        assert reasons.get(channel_id, "").startswith(reason or "")
    assert any("4 records have no readable id" in each.message for each in end.troubles)
    assert end.status is JobStatus.PARTIAL

    for channel_id in broken:
        stage.emulator.edits.mend_channel(channel_id)
    assert (await stage.archive.run(PLAIN)).status is JobStatus.COMPLETED
    assert (await stage.stored()).keys() == stage.truth().keys()


MISSING: dict[str, Any] = {"without": ["last_message_id"]}
READABLE: list[dict[str, Any]] = [
    {"name": None},
    {"name": 7},
    {"name": "n" * 100_000},
    {"parent_id": "category"},
    {"last_message_id": "9" * 19},
    {"last_message_id": ["1"]},
    MISSING,
    {"topic": "a\x00b\ud800", "rate_limit_per_user": 10**400, "nsfw": float("nan")},
]


@pseudonymous
async def test_channels_of_which_enough_can_be_read_are_read(stage: Stage) -> None:
    await stage.archive.run(PLAIN)
    broken = {each.id: patch for each, patch in zip(stage.texts(), READABLE, strict=False)}
    for channel_id, patch in broken.items():
        damaged = patch if patch is MISSING else {"patch": patch}
        stage.emulator.edits.damage_channel(channel_id, **damaged)
    for _ in range(2):
        for channel_id in broken:
            stage.emulator.edits.post_message(channel_id, "news")
        end = await stage.archive.run(PLAIN)
        assert (end.status, end.troubles) == (JobStatus.COMPLETED, ())
        assert (await stage.stored()).keys() == stage.truth().keys()
    unknown = {each for each, patch in broken.items() if "last_message_id" in str(patch)}
    assert await stage.gaps() == unknown, "what is newest there is not known"

    for channel_id in broken:
        stage.emulator.edits.mend_channel(channel_id)
    await stage.archive.run(PLAIN)
    assert await stage.gaps() == set()
    rows = await stage.archive.query(
        "SELECT platform_channel_id AS id, name FROM channels WHERE tenant_id = :tenant"
    )
    names = {row.id: row.name for row in rows}
    assert {each.id: names[each.id] for each in stage.texts()} == {
        each.id: each.name for each in stage.texts()
    }


THREADS: list[tuple[dict[str, Any], bool]] = [
    ({"text": "null"}, False),
    ({"without": ["id"]}, False),
    ({"patch": {"parent_id": "x"}}, False),
    ({"patch": {"type": None}}, False),
    ({"patch": {"thread_metadata": 7}}, True),
    ({"patch": {"thread_metadata": {"archive_timestamp": "soon"}}}, True),
    ({"patch": {"thread_metadata": {"archive_timestamp": "0001-01-01T00:00:00Z"}}}, True),
    ({"patch": {"thread_metadata": {"archive_timestamp": "9999-12-31T23:59:59Z"}}}, True),
    ({"patch": {"thread_metadata": {"archive_timestamp": "2080-01-01T00:00:00Z"}}}, True),
    ({"patch": {"message_count": -1}}, True),
    ({"patch": {"last_message_id": "x"}}, True),
    (MISSING, True),
]


@pytest.mark.parametrize("archived", [False, True], ids=["active", "archived"])
@pseudonymous
async def test_threads_that_cannot_be_read_cost_no_other_and_are_read_later(
    stage: Stage, archived: bool
) -> None:
    threads = [each.id for each in stage.threads()]
    for thread_id in threads if archived else ():
        stage.emulator.edits.archive_thread(thread_id)
    broken = dict(zip(threads, THREADS, strict=False))
    for thread_id, (arguments, _) in broken.items():
        stage.emulator.edits.damage_channel(thread_id, **arguments)
    end = await stage.archive.run(PLAIN)

    assert len(broken) == len(THREADS) < len(threads)
    lost = {thread_id for thread_id, (_, is_read) in broken.items() if not is_read}
    assert (await stage.stored()).keys() == {key for key in stage.truth() if key[0] not in lost}
    assert sum(each.channel_id in lost for each in end.skipped) == 2, "they have an id"
    assert end.status is JobStatus.PARTIAL, "and two have none"
    (row,) = await stage.archive.query(
        "SELECT count(*) AS to_come FROM thread_listings"
        " WHERE archived_until > now() AND :tenant > 0"
    )
    assert row.to_come == 0
    for thread_id in broken:
        stage.emulator.edits.mend_channel(thread_id)
    assert (await stage.archive.run(PLAIN)).status is JobStatus.COMPLETED
    assert (await stage.stored()).keys() == stage.truth().keys()


@pseudonymous
async def test_of_a_guild_what_can_be_read_is_enough(stage: Stage) -> None:
    stage.emulator.edits.damage_guild(stage.guild_id, {"name": None, "owner_id": "me", "id": "x"})
    end = await stage.archive.run(PLAIN)

    assert (end.status, end.troubles) == (JobStatus.COMPLETED, ())
    assert await stage.stored() == stage.truth()


@pseudonymous
async def test_a_role_that_cannot_be_read_grants_nothing_and_is_told_if_it_is_the_bots(
    stage: Stage,
) -> None:
    roles = stage.world.guilds[stage.guild_id].roles
    own = next(each for each in roles.values() if each.bot_id is not None)
    told = [{"id": str(each.id), "permissions": str(each.permissions)} for each in roles.values()]
    odd = [{"id": "9", "permissions": None}, {"id": None}, None]
    stage.emulator.edits.damage_guild(stage.guild_id, {"roles": [*told, *odd]})
    assert (await stage.archive.run(PLAIN)).status is JobStatus.COMPLETED

    others = [each for each in told if each["id"] != str(own.id)]
    broken = {"id": str(own.id), "permissions": "read"}
    stage.emulator.edits.damage_guild(stage.guild_id, {"roles": [*others, broken]})
    end = await stage.archive.run(PLAIN)
    assert end.status is JobStatus.PARTIAL
    assert any(str(own.id) in each.message for each in end.troubles)

    stage.emulator.edits.damage_guild(stage.guild_id, {"roles": [7]})
    end = await stage.archive.run(PLAIN)
    assert end.status is JobStatus.FAILED
    assert "roles cannot be read" in end.troubles[0].message
    assert await stage.stored() == stage.truth()


@pseudonymous
async def test_a_list_of_archived_threads_is_not_settled_over_one_that_cannot_be_read(
    stage: Stage,
) -> None:
    threads = [each.id for each in stage.threads()]
    now_ms = stage.world.clock.now_ms()
    for days, thread_id in enumerate(threads, start=1):
        stage.emulator.edits.archive_thread(thread_id, at_ms=now_ms - 86_400_000 * days)
    odd = threads[-1]
    stage.emulator.edits.damage_channel(odd, {"type": None})
    for _ in range(2):
        end = await stage.archive.run(PLAIN)
        assert end.status is JobStatus.COMPLETED
        assert [each.channel_id for each in end.skipped] == [odd]
    stage.emulator.edits.mend_channel(odd)
    await stage.archive.run(PLAIN)

    assert (await stage.stored()).keys() == stage.truth().keys()
