"""Forgetting, retention and rotation against the emulator's truth, and a dump of all there is."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raysync.credentials import tenant_key
from raysync.discord_api.people.redaction import ERASED
from raysync.emulator import Emulator, GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.generator.spec import DEFAULT_END_MS, Rates
from raysync.emulator.world.cdn import attachment_bytes
from raysync.errors import ConfigurationError, JobRunningError
from raysync.models.entities import Privacy
from raysync.models.extras import Extras, FileRules
from raysync.models.ids import ChannelId, snowflake_at
from raysync.models.privacy import PurgeCounts, Retention
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.privacy import TenantPrivacy
from raysync.settings import Settings
from raysync.store.archive import ranges as archive_ranges
from raysync.store.jobs.lease import hold_tenant
from raysync.store.schema.privacy_tables import SuppressedKind
from raysync.store.tenants import TenantStore
from tests.archive import Archive
from tests.dump import dumped, tables_with

TOKEN = "a-token"
SECRET = "a secret key of the erasure tests alone"
SETTINGS = Settings(RAYSYNC_SECRET_KEY=SECRET)
AGE = timedelta(seconds=time.time() - DEFAULT_END_MS / 1000)
"""Of the guild, which ends on a fixed day: so it is the same, to the byte, in each run."""
PLAIN = SyncWindow(SyncType.INCREMENTAL, lookback_s=(AGE + timedelta(days=30)).total_seconds())
FULL = SyncWindow(SyncType.FULL)
SWEEP = SyncWindow(SyncType.INCREMENTAL, lookback_s=86_400.0, reconcile_requests=99)
VERIFY = SyncWindow(SyncType.VERIFY)
BOTH = pytest.mark.parametrize("privacy", list(Privacy))


class Stage:
    """An emulator, a tenant's archive of it, and whoever is to be forgotten."""

    def __init__(self, archive: Archive, emulator: Emulator, engine: Any, url: str) -> None:
        self.archive, self.emulator, self.engine, self.url = archive, emulator, engine, url
        self.world = emulator.world
        (self.guild,) = self.world.guilds.values()
        written = [int(message["author"]["id"]) for _, message in self.messages()]
        people = [each for each in self.guild.user_ids if each in set(written)]
        self.user_id = max(people, key=written.count)

    def messages(self) -> list[tuple[int, dict[str, Any]]]:
        return list(self.world.truth(self.guild.id, token=TOKEN))

    def theirs(self) -> list[dict[str, Any]]:
        return [each for _, each in self.messages() if self.wrote(each)]

    def wrote(self, message: dict[str, Any]) -> bool:
        return message["author"]["id"] == str(self.user_id)

    @property
    def office(self) -> TenantPrivacy:
        assert self.archive.tenant is not None
        return TenantPrivacy(self.engine, self.archive.tenant, "the tests")

    async def ref(self) -> str:
        return await self.office.ref_of(str(self.user_id), SETTINGS)

    async def assert_the_rest_is_true(self) -> None:
        """Every message of everybody else is there as Discord has it; theirs are not."""
        wanted = {
            (channel, int(message["id"])): (names_aside(message["content"]), True)
            for channel, message in self.messages()
            if not self.wrote(message)
        }
        stored = await self.archive.rows()
        kept = {key: (names_aside(text), there) for key, (text, there) in stored.items()}
        assert kept == wanted
        reactions = {
            (channel, int(message["id"]), emoji(each)): each["count"]
            for channel, message in self.messages()
            if not self.wrote(message)
            for each in message.get("reactions", ())
        }
        rows = await self.archive.query(
            "SELECT platform_channel_id AS channel, platform_message_id AS message, emoji,"
            " r.count AS given FROM message_emoji_reactions r JOIN channels c"
            " ON c.id = r.channel_id WHERE anonymized_user_id = '' AND tenant_id = :tenant"
        )
        assert {(row.channel, row.message, row.emoji): row.given for row in rows} == reactions

    async def assert_forgotten(self) -> None:
        """Nowhere in the database is anything of theirs but their entry on the list."""
        ref = await self.ref()
        user = self.guild.users[self.user_id]
        assert tables_with(self.url, ref) == {"suppressions"}
        if self.office.tenant.privacy is Privacy.PSEUDONYMOUS:
            assert tables_with(self.url, str(self.user_id)) == set()
        text = "".join(dumped(self.url).values())
        assert not re.search(rf"\b{re.escape(user.name)}\b", text)
        others = "".join(own_words(each) for _, each in self.messages() if not self.wrote(each))
        said = {each["content"] for each in self.theirs()}
        own = [each for each in said if is_plain(each) and len(each) > 30 and each not in others]
        assert len(own) > 20
        assert [each for each in own if each in text] == []

    async def assert_proven(self) -> None:
        end = await self.archive.run(replace(VERIFY, sample=20))
        assert end.status is JobStatus.COMPLETED
        assert end.gaps == ()
        tallies = [each.tally for each in end.outcomes]
        assert sum(each.messages for each in tallies) > 0
        assert sum(each.added + each.edited + each.deleted for each in tallies) == 0


def own_words(message: dict[str, Any]) -> str:
    """All that a message says, but for what it copies: others may happen to say the same."""
    copies = ("referenced_message", "message_snapshots")
    return json.dumps({key: value for key, value in message.items() if key not in copies})


def is_plain(content: str) -> bool:
    """Whether COPY writes it as it is."""
    return content.isascii() and not set(content) & set('"<\n\t\\\0')


def names_aside(content: str) -> str:
    text = re.sub("[\0\ud800-\udfff]", "\ufffd", content)
    text = re.sub(r"<@!?[\w]+>", "<@>", re.sub(r"(/avatars/\w+)/\w+\.png", r"\1", text))
    return re.sub(r"\d{17,20}|u_[a-z2-7]{26}|u_erased", "<id>", text)


def emoji(reaction: dict[str, Any]) -> str:
    name, emoji_id = reaction["emoji"]["name"], reaction["emoji"]["id"]
    return f"{name or '_'}:{emoji_id}" if emoji_id else name


def lively(seed: int = 7, **rates: float) -> World:
    wanted = Rates(
        **{
            **dict.fromkeys(("reactions", "replies", "mentions", "attachments"), 0.15),
            **dict.fromkeys(("forwards", "edits", "interactions", "system", "pins"), 0.05),
            "odd_places": 0.08,
            **dict.fromkeys(("embeds", "polls", "components", "webhooks", "unknown"), 0.03),
            **rates,
        }
    )
    spec = GuildSpec(
        text_channels=3, text_messages=360, users=8, threads=4, messages_per_thread=12,
        rates=wanted, custom_emojis=2, odd_text=True, content_bytes=80,
        end_ms=DEFAULT_END_MS, span_days=20.0,
    )  # fmt: skip
    world = World(generate_guild(spec, seed=seed))
    world.add_bot(TOKEN)
    return world


@asynccontextmanager
async def staged(
    engine: Any, url: str, world: World | None = None, privacy: Privacy = Privacy.PSEUDONYMOUS
) -> AsyncIterator[Stage]:
    world = world or lively()
    (guild_id,) = world.guilds
    async with serve(world, limits=Limits.off()) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        archive.key = tenant_key(SECRET.encode(), guild_id)
        await archive.add(guild_id, privacy)
        yield Stage(archive, emulator, engine, url)


@BOTH
async def test_who_is_forgotten_is_gone_and_stays_gone(
    engine, database_url, tmp_path: Path, privacy: Privacy
) -> None:
    async with staged(engine, database_url, privacy=privacy) as stage:
        extras = Extras(reactors=True, files=FileRules(str(tmp_path)))
        await stage.archive.run(replace(PLAIN, extras=extras))
        edited = stage.theirs()[0]
        channel_id = int(edited["channel_id"])
        stage.emulator.edits.edit_message(channel_id, int(edited["id"]), "something else entirely")
        other = next(each for _, each in stage.messages() if not stage.wrote(each))
        where, other_id = int(other["channel_id"]), int(other["id"])
        stage.emulator.edits.edit_message(where, other_id, f"so says <@{stage.user_id}> to all")
        await stage.archive.run(PLAIN)
        stage.emulator.edits.edit_message(where, other_id, "nobody said anything")
        await stage.archive.run(PLAIN)
        await note_places(stage, tmp_path)
        ref = await stage.ref()
        assert {"messages", "message_versions", "message_emoji_reactions"} <= tables_with(
            database_url, ref
        )

        would = await stage.office.count_user(ref)
        erased = await stage.office.forget_user(ref)

        assert erased.messages == would.messages == len(stage.theirs()) > 40
        assert erased.versions == would.versions > 0
        assert erased.reactions == would.reactions > 40
        assert erased.attachments == would.attachments > 0
        assert erased.mentions == would.mentions > 5
        assert erased.files == would.files > 0
        await stage.assert_forgotten()
        await stage.assert_the_rest_is_true()
        assert_only_others_files(tmp_path, stage)

        reply_to = int(stage.theirs()[-1]["id"])
        in_channel = int(stage.theirs()[-1]["channel_id"])
        someone = next(each for each in stage.guild.user_ids if each != stage.user_id)
        edits = stage.emulator.edits
        edits.post_message(in_channel, "I am still here, whatever you say", author_id=stage.user_id)
        edits.post_message(in_channel, "an answer", author_id=someone, reply_to_id=reply_to)
        edits.edit_message(where, other_id, f"but <@{stage.user_id}> did, and <@!{stage.user_id}>!")
        edits.add_reaction(where, other_id, "🐢", stage.user_id)
        for window in (PLAIN, FULL, SWEEP):
            end = await stage.archive.run(replace(window, extras=extras))
            assert end.status is JobStatus.COMPLETED
            await stage.assert_forgotten()
            await stage.assert_the_rest_is_true()
            assert_only_others_files(tmp_path, stage)
        content, _ = (await stage.archive.rows())[where, other_id]
        assert content == f"but <@{ERASED}> did, and <@{'!' * is_full(stage)}{ERASED}>!"
        await stage.assert_proven()
        assert await deleted(stage) == 0


def is_full(stage: Stage) -> bool:
    return stage.office.tenant.privacy is Privacy.FULL


async def note_places(stage: Stage, folder: Path) -> None:
    """As a job of `raysync start --attachments` is written down."""
    assert stage.archive.tenant is not None
    options = f'{{"extras": {{"files": {{"url": "{folder}"}}}}}}'
    await stage.archive.execute(
        "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, options) VALUES"
        f" (gen_random_uuid(), {stage.archive.tenant.id}, 'full', 0, 'completed', '{options}')"
    )


def assert_only_others_files(folder: Path, stage: Stage) -> None:
    """Every file is an attachment's of somebody else, and none of theirs is lacking."""
    digests = {
        hashlib.sha256(attachment_bytes(int(each["id"]), each["size"])).hexdigest()
        for _, message in stage.messages()
        if not stage.wrote(message)
        for each in message["attachments"]
    }
    assert {each.name for each in folder.rglob("*") if each.is_file()} == digests


async def deleted(stage: Stage) -> int:
    rows = await stage.archive.query(
        "SELECT count(*) AS gone FROM messages WHERE deleted_at IS NOT NULL AND tenant_id = :tenant"
    )
    return int(rows[0].gone)


async def test_bytes_that_somebody_else_has_too_stay(engine, database_url, tmp_path: Path) -> None:
    async with staged(engine, database_url) as stage:
        files = Extras(files=FileRules(str(tmp_path)))
        await stage.archive.run(replace(PLAIN, extras=files))
        await note_places(stage, tmp_path)
        ref = await stage.ref()
        await stage.archive.execute(
            "WITH theirs AS (SELECT a.blob_key FROM message_attachments a JOIN messages m"
            f" USING (channel_id, platform_message_id) WHERE anonymized_author_id = '{ref}'"
            " ORDER BY a.platform_attachment_id LIMIT 1), anothers AS ("
            " SELECT platform_attachment_id AS id FROM message_attachments a JOIN messages m"
            f" USING (channel_id, platform_message_id) WHERE anonymized_author_id <> '{ref}'"
            " ORDER BY 1 LIMIT 1)"
            " UPDATE message_attachments SET blob_key = theirs.blob_key FROM theirs, anothers"
            " WHERE platform_attachment_id = anothers.id"
        )

        await stage.office.forget_user(ref)

        keys = await stage.archive.query(
            "SELECT DISTINCT blob_key FROM message_attachments WHERE :tenant > 0"
        )
        files = {str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if each.is_file()}
        assert files == {row.blob_key for row in keys}


async def test_a_lifted_suppression_brings_all_back_with_a_full_run(engine, database_url) -> None:
    async with staged(engine, database_url) as stage:
        await stage.archive.run(PLAIN)
        ref = await stage.ref()
        await stage.office.forget_user(ref)

        assert await stage.office.undo(SuppressedKind.USER, ref)

        assert not await stage.office.undo(SuppressedKind.USER, ref)
        await stage.archive.run(FULL)
        assert len(await stage.archive.rows()) == len(stage.messages())
        assert "messages" in tables_with(database_url, ref)


async def test_a_forgotten_channel_is_gone_with_its_threads_and_is_told_as_left_out(
    engine, database_url
) -> None:
    async with staged(engine, database_url) as stage:
        await stage.archive.run(PLAIN)
        thread = next(each for each in stage.guild.threads.values() if each.log.ids)
        parent = stage.guild.channels[thread.parent_id]
        lost = {parent.id} | {
            each.id for each in stage.guild.threads.values() if each.parent_id == parent.id
        }
        kept = {key: row for key, row in (await stage.archive.rows()).items() if key[0] not in lost}

        would = await stage.office.count_channel(ChannelId(parent.id))
        erased = await stage.office.forget_channel(ChannelId(parent.id))

        assert erased == would
        assert erased.messages == sum(channel in lost for channel, _ in stage.messages())
        for window in (PLAIN, FULL, replace(PLAIN, channels=frozenset({ChannelId(parent.id)}))):
            end = await stage.archive.run(window)
            assert await stage.archive.rows() == kept
            named = [each for each in end.skipped if each.channel_id == parent.id]
            assert ["forgotten" in each.reason for each in named] == [True]
            assert parent.name not in {each.name for each in end.skipped}
        assert (await stage.archive.run(VERIFY)).gaps == ()
        text = dumped(database_url)
        assert f"\t{parent.name}\t" not in text["channels"]
        assert all(str(each) not in text["channels"] for each in lost)

        await stage.office.undo(SuppressedKind.CHANNEL, str(parent.id))
        await stage.archive.run(FULL)
        assert len(await stage.archive.rows()) == len(stage.messages())


async def test_nothing_is_left_of_a_tenant_that_is_forgotten(
    engine, database_url, tmp_path: Path
) -> None:
    async with staged(engine, database_url) as stage:
        await stage.archive.run(replace(PLAIN, extras=Extras(files=FileRules(str(tmp_path)))))
        await note_places(stage, tmp_path)

        would = await stage.office.count_all()
        erased = await stage.office.forget_all()

        assert erased == would
        assert erased.messages == len(stage.messages())
        assert erased.files > 20
        assert [each for each in tmp_path.rglob("*") if each.is_file()] == []
        left = {table for table, rows in dumped(database_url).items() if rows}
        assert left <= {"alembic_version", "audit_log", "server_life", "rate_limits"}


class CutError(Exception):
    """Ends the work after some transactions, as a kill would."""


def cutting(office: TenantPrivacy, after: int) -> TenantPrivacy:
    left = iter(range(after))

    def progress(_: int) -> None:
        if next(left, None) is None:
            raise CutError

    return replace(office, progress=progress)


@pytest.mark.parametrize("after", [0, 3, 9])
async def test_an_erasure_that_was_cut_short_is_done_by_doing_it_again(
    engine, database_url, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(archive_ranges, "AT_ONCE", 30)
    async with staged(engine, database_url) as stage:
        await stage.archive.run(PLAIN)
        ref = await stage.ref()
        with pytest.raises(CutError):
            await cutting(stage.office, after).forget_user(ref)
        assert "messages" in tables_with(database_url, ref)
        (entry,) = await stage.office.suppressions()
        assert entry.erased_at is None
        await stage.archive.run(FULL)  # in between, nothing new of theirs comes in

        await stage.office.forget_user(ref)

        await stage.assert_forgotten()
        await stage.assert_the_rest_is_true()
        (entry,) = await stage.office.suppressions()
        assert entry.erased_at is not None


async def test_nothing_is_erased_while_a_sync_runs(engine, database_url) -> None:
    async with staged(engine, database_url) as stage:
        await stage.archive.run(PLAIN)
        before = dumped(database_url)
        ref = await stage.ref()
        async with hold_tenant(engine, stage.office.tenant.id):
            for attempt in (
                stage.office.forget_user(ref),
                stage.office.forget_channel(ChannelId(1)),
                stage.office.forget_all(),
                stage.office.rotate(SETTINGS),
                stage.office.purge(),
            ):
                with pytest.raises(JobRunningError):
                    await attempt
        assert dumped(database_url) == before


async def retain(stage: Stage, **lengths: timedelta) -> None:
    await stage.office.retain(Retention(**lengths))
    stage.archive.tenant = await TenantStore(stage.engine).get(stage.office.tenant.slug)


async def test_what_is_older_than_the_retention_goes_and_is_not_read_again(
    engine, database_url, tmp_path: Path
) -> None:
    async with staged(engine, database_url) as stage:
        extras = Extras(reactors=True, files=FileRules(str(tmp_path)))
        await stage.archive.run(replace(PLAIN, extras=extras))
        await note_places(stage, tmp_path)
        await retain(stage, max_age=AGE + timedelta(days=8))

        would = await stage.office.count_purge()
        done = await stage.office.purge()
        assert done == would

        horizon = snowflake_at(datetime.now(UTC) - AGE - timedelta(days=8))
        young = {
            (channel, int(message["id"]))
            for channel, message in stage.messages()
            if int(message["id"]) >= horizon
        }
        assert 0 < len(young) < len(stage.messages())
        assert done.erased == len(stage.messages()) - len(young)
        assert done.files > 0
        for window in (PLAIN, FULL, SWEEP):
            end = await stage.archive.run(replace(window, extras=extras))
            assert end.status is JobStatus.COMPLETED
            assert set(await stage.archive.rows()) == young
            assert_no_old_content(stage, database_url, horizon)
        assert (await stage.office.purge()).erased <= 2, "next to nothing is due"
        await stage.assert_proven()
        assert await deleted(stage) == 0
        files = {each.name for each in tmp_path.rglob("*") if each.is_file()}
        assert len(files) == len(await stage.archive.query(
            "SELECT DISTINCT blob_key FROM message_attachments WHERE :tenant > 0"
        ))  # fmt: skip

        with pytest.raises(ConfigurationError, match="retention"):
            await stage.archive.run(
                replace(FULL, until=datetime.now(UTC) - AGE - timedelta(days=9))
            )


def assert_no_old_content(stage: Stage, url: str, horizon: int) -> None:
    """What old messages say is nowhere, not even in answers; but for what forwards copied."""
    old = [each for _, each in stage.messages() if int(each["id"]) < horizon]
    young = [each for _, each in stage.messages() if int(each["id"]) >= horizon]
    copied = [each["message"] for one in young for each in one.get("message_snapshots", ())]
    copied += [
        each["message"]
        for one in young
        for each in (one.get("referenced_message") or {}).get("message_snapshots", ())
    ]
    others = "".join(each["content"] for each in (*young, *copied))
    said = {each["content"] for each in old}
    own = [each for each in said if is_plain(each) and len(each) > 30 and each not in others]
    text = "".join(dumped(url).values())
    assert len(own) > 50
    assert [each for each in own if each in text] == []


async def test_deleted_messages_are_emptied_after_a_while(engine, database_url) -> None:
    async with staged(engine, database_url) as stage:
        await stage.archive.run(PLAIN)
        answered = {
            int(message["message_reference"]["message_id"])
            for _, message in stage.messages()
            if message.get("referenced_message")
        }
        gone = next(
            each
            for _, each in stage.messages()
            if int(each["id"]) in answered and "thread" not in each  # whose id a thread shares
        )
        channel_id, message_id = int(gone["channel_id"]), int(gone["id"])
        stage.emulator.edits.edit_message(channel_id, message_id, "what was said and is regretted")
        await stage.archive.run(PLAIN)
        stage.emulator.edits.delete_message(channel_id, message_id)
        only = replace(PLAIN, lookback_s=0.0)
        await stage.archive.execute(
            "UPDATE messages SET deleted_at = now() - interval '5 days'"
            f" WHERE platform_message_id = {message_id}"
        )
        await retain(stage, purge_deleted_after=timedelta(days=6))
        assert await stage.office.purge() == PurgeCounts()
        assert "messages" in tables_with(database_url, "said and is regretted")

        await retain(stage, purge_deleted_after=timedelta(days=4))
        assert (await stage.office.count_purge()).emptied == 1
        assert (await stage.office.purge()).emptied == 1

        assert tables_with(database_url, "said and is regretted") == set()
        assert (await stage.archive.rows())[channel_id, message_id] == ("", False)
        assert await stage.office.purge() == PurgeCounts()
        await stage.archive.run(only)
        assert await deleted(stage) == 1


async def test_after_a_rotation_everybody_has_one_new_pseudonym_and_keeps_it(
    engine, database_url
) -> None:
    async with staged(engine, database_url) as stage:
        reactors = replace(PLAIN, extras=Extras(reactors=True))
        await stage.archive.run(reactors)
        other = next(each for _, each in stage.messages() if not stage.wrote(each))
        stage.emulator.edits.edit_message(
            int(other["channel_id"]), int(other["id"]), f"hello <@{stage.user_id}>"
        )
        for window in (PLAIN, FULL):  # what a busy machine left to the next run, too
            await stage.archive.run(replace(window, extras=Extras(reactors=True)))
        old = pseudonyms(database_url)
        before = await authors(stage)
        forgotten = await stage.office.ref_of(str(stage.guild.user_ids[-1]), SETTINGS)
        await stage.office.forget_user(forgotten)
        kept = await authors(stage)

        assert await stage.office.rotate(SETTINGS) == 1

        new = pseudonyms(database_url)
        assert len(new) == len(old)
        assert new & old == set()
        assert {name: await ref_in(stage, name) for name in kept} == await authors(stage)
        rows = dumped(database_url)["messages"]
        stage.emulator.edits.post_message(
            int(other["channel_id"]), "after the rotation", author_id=stage.user_id
        )
        await stage.archive.run(replace(FULL, extras=Extras(reactors=True)))
        assert pseudonyms(database_url) == new
        assert set(rows.splitlines()) <= set(dumped(database_url)["messages"].splitlines())
        assert len(await authors(stage)) == len(kept)
        assert await stage.office.rotate(SETTINGS) == 2
        third = pseudonyms(database_url)
        assert third & (old | new) == set()
        await stage.archive.run(FULL)
        assert pseudonyms(database_url) == third
        assert len(before) >= len(kept)


async def authors(stage: Stage) -> dict[str, str]:
    """By Discord's id, the only pseudonym of each author who is stored."""
    theirs = {
        (channel, int(each["id"])): each["author"]["id"] for channel, each in stage.messages()
    }
    found: dict[str, set[str]] = {}
    for row in await stage.archive.query(
        "SELECT platform_channel_id AS channel, platform_message_id AS id,"
        " anonymized_author_id AS ref FROM messages m JOIN channels c ON c.id = m.channel_id"
        " WHERE m.tenant_id = :tenant"
    ):
        found.setdefault(theirs[row.channel, row.id], set()).add(row.ref)
    assert all(len(refs) == 1 for refs in found.values())
    return {user_id: refs.pop() for user_id, refs in found.items()}


async def ref_in(stage: Stage, user_id: str) -> str:
    return await stage.office.ref_of(user_id, SETTINGS)


def pseudonyms(url: str) -> set[str]:
    return set(re.findall("u_[a-z2-7]{26}", "".join(dumped(url).values())))


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_a_rotation_that_was_cut_short_goes_on_and_renames_nothing_twice(
    engine, database_url, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(archive_ranges, "AT_ONCE", 30)
    async with staged(engine, database_url) as stage:
        for window in (PLAIN, FULL):  # what a busy machine left to the next run, too
            await stage.archive.run(replace(window, extras=Extras(reactors=True)))
        old = pseudonyms(database_url)
        for _ in range(2):
            with pytest.raises(CutError):
                await cutting(stage.office, after).rotate(SETTINGS)
        assert (await stage.office.generations()).is_unfinished
        with pytest.raises(ConfigurationError, match="rotation of the pseudonyms of"):
            await stage.archive.run(PLAIN)
        with pytest.raises(ConfigurationError, match="rotation of the pseudonyms of"):
            await stage.office.forget_user(min(old))

        assert await stage.office.rotate(SETTINGS) == 1

        new = pseudonyms(database_url)
        assert (len(new), new & old) == (len(old), set())
        await stage.archive.run(replace(FULL, extras=Extras(reactors=True)))
        assert pseudonyms(database_url) == new


async def test_tenants_that_rotate_stay_strangers(engine, database_url) -> None:
    async with (
        staged(engine, database_url, lively(seed=1)) as one,
        staged(engine, database_url, lively(seed=2)) as two,
    ):
        await one.archive.run(PLAIN)
        await two.archive.run(PLAIN)
        await one.office.rotate(SETTINGS)
        left = await authors(two)
        await two.office.rotate(SETTINGS)

        assert set((await authors(one)).values()) & set((await authors(two)).values()) == set()
        assert set(left.values()) & set((await authors(two)).values()) == set()
        somebody = str(one.user_id)
        assert await ref_in(one, somebody) != await ref_in(two, somebody)
