"""An archive that was kept under earlier rules becomes what a run would keep that reads it anew."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from raysync.credentials import tenant_key
from raysync.emulator import Emulator, GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.generator.spec import Rates
from raysync.errors import ConfigurationError, JobRunningError
from raysync.models.entities import Privacy
from raysync.models.extras import Extras
from raysync.models.privacy import RescrubCounts
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from raysync.privacy import TenantPrivacy
from raysync.settings import Settings
from raysync.store.archive import ranges as archive_ranges
from raysync.store.jobs.lease import hold_tenant
from tests.archive import Archive
from tests.dump import dumped

TOKEN, SECRET = "a-token", "a secret key of these tests alone"
FULL = SyncWindow(SyncType.FULL, extras=Extras(reactors=True))
TABLES = ("messages", "message_versions", "message_attachments", "message_emoji_reactions")
_WRITTEN = re.compile(r"\t\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[^\t\n]*")


class Stage:
    """An archive of an emulated guild, and how to make an older one of it."""

    def __init__(self, archive: Archive, emulator: Emulator, engine: Any, url: str) -> None:
        self.archive, self.emulator, self.engine, self.url = archive, emulator, engine, url
        self.settings = Settings(RAYSYNC_SECRET_KEY=SECRET, RAYSYNC_DISCORD_API_URL=emulator.url)

    def office(self, progress: Callable[[int], None] = lambda _: None) -> TenantPrivacy:
        assert self.archive.tenant is not None
        return TenantPrivacy(self.engine, self.archive.tenant, "the tests", progress)

    def kept(self) -> dict[str, list[str]]:
        """What the archive holds, but for when it was written."""
        tables = dumped(self.url)
        return {
            name: sorted(_WRITTEN.sub("\t", tables[name]).splitlines())
            for name in (*TABLES, "channels")
        }

    async def make_older(self) -> int:
        """Put ids back where earlier rules left them: anywhere but in mentions and authors."""
        people = await self.archive.people()
        (guild,) = self.emulator.world.guilds.values()
        ids = {people.author_ref(str(each)): str(each) for each in guild.users}
        pseudonym = re.compile(r"(?<!<@)(?:" + "|".join(ids) + ")")

        def older(text: str) -> str:
            return pseudonym.sub(lambda found: ids[found[0]], text)

        changed = 0
        with psycopg.connect(self.url) as session:
            rows = session.execute("SELECT ctid::text, content, raw FROM messages").fetchall()
            for row, content, raw in rows:
                known = {key: raw[key] for key in _KNOWN if key in raw}
                rest = {key: each for key, each in raw.items() if key not in known}
                odd = json.loads(older(json.dumps(rest))) | known
                session.execute(
                    "UPDATE messages SET content = %s, raw = %s WHERE ctid::text = %s",
                    (older(content), json.dumps(odd), row),
                )
                changed += (odd, older(content)) != (raw, content)
            files = session.execute("SELECT ctid::text, filename, url FROM message_attachments")
            for row, *texts in files.fetchall():
                session.execute(
                    "UPDATE message_attachments SET filename = %s, url = %s WHERE ctid::text = %s",
                    (*map(older, texts), row),
                )
            session.execute("DELETE FROM scrubbings")
        return changed


_KNOWN = ("author", "mentions", "interaction_metadata", "referenced_message", "thread")


@asynccontextmanager
async def staged(
    engine: Any, url: str, privacy: Privacy = Privacy.PSEUDONYMOUS
) -> AsyncIterator[Stage]:
    rates = replace(Rates.lively(), odd_places=0.3, attachments=0.1)
    spec = GuildSpec(
        text_channels=3, text_messages=300, users=9, threads=3, rates=rates, odd_text=True
    )
    world = World(generate_guild(spec, seed=5))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    async with serve(world, limits=Limits.off()) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        archive.key = tenant_key(SECRET.encode(), guild_id)
        await archive.add(guild_id, privacy)
        await archive.run(FULL)
        yield Stage(archive, emulator, engine, url)


async def test_what_was_kept_before_becomes_what_a_run_would_keep(
    engine: Any, database_url: str
) -> None:
    async with staged(engine, database_url) as stage:
        await stage.office().rotate(stage.settings)
        wanted = stage.kept()
        assert await stage.make_older() > 50
        assert stage.kept() != wanted
        assert (await stage.office().scrubbing()).is_due

        done = await stage.office().rescrub(stage.settings)

        assert stage.kept() == wanted
        assert done.messages > 50
        assert done.attachments > 5
        assert done.looked_at == await stage.office().count_rescrub()
        assert not (await stage.office().scrubbing()).is_due
        again = await stage.office().rescrub(stage.settings)
        assert again == RescrubCounts(looked_at=done.looked_at)
        end = await stage.archive.run(FULL)
        assert stage.kept() == wanted, "a page that is read again compares equal"
        assert await stage.archive.versions() == 0
        assert sum(each.tally.edited for each in end.outcomes) == 0


class CutError(Exception):
    """Ends the work after some transactions, as a kill would."""


@pytest.mark.parametrize("after", [0, 1, 4])
async def test_what_was_cut_short_goes_on_where_it_was(
    engine: Any, database_url: str, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(archive_ranges, "AT_ONCE", 40)
    async with staged(engine, database_url) as stage:
        wanted = stage.kept()
        await stage.make_older()
        told: list[int] = []

        def cutting(messages: int) -> None:
            told.append(messages)
            if len(told) > after:
                raise CutError

        with pytest.raises(CutError):
            await stage.office(cutting).rescrub(stage.settings)
        assert (await stage.office().scrubbing()).is_unfinished
        messages = await stage.office().count_rescrub()

        done = await stage.office().rescrub(stage.settings)

        assert stage.kept() == wanted
        assert done.looked_at == messages - sum(told)


async def test_it_waits_for_no_run_and_a_rotation_comes_first(
    engine: Any, database_url: str
) -> None:
    async with staged(engine, database_url) as stage:
        await stage.make_older()
        before = dumped(database_url)
        async with hold_tenant(engine, stage.office().tenant.id):
            with pytest.raises(JobRunningError):
                await stage.office().rescrub(stage.settings)
        assert dumped(database_url) == before

        def cutting(_: int) -> None:
            raise CutError

        with pytest.raises(CutError):
            await stage.office(cutting).rotate(stage.settings)
        with pytest.raises(ConfigurationError, match="rotation of the pseudonyms of"):
            await stage.office().rescrub(stage.settings)


async def test_a_full_tenant_stays_as_it_is(engine: Any, database_url: str) -> None:
    async with staged(engine, database_url, Privacy.FULL) as stage:
        before = stage.kept()
        await stage.archive.execute("DELETE FROM scrubbings")

        done = await stage.office().rescrub(stage.settings)

        assert done == RescrubCounts(looked_at=done.looked_at)
        assert stage.kept() == before
        assert not (await stage.office().scrubbing()).is_due
