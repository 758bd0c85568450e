"""Threads archived long ago, below where earlier runs have settled their lists."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.emulator import EmulatorThread, GuildSpec, World, generate_guild
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.store.reset import reset_progress
from tests.archive import Archive

TOKEN = "a-token"
PLAIN = SyncWindow(SyncType.INCREMENTAL, lookback_s=86_400.0)
END_MS = int(time.time() * 1000) - 30 * 86_400_000


class Stage:
    """A guild of old threads, all of them archived, and a tenant's archive of it."""

    def __init__(self, engine: AsyncEngine, archive: Archive, world: World) -> None:
        self.engine, self.archive, self.world = engine, archive, world
        (self.guild,) = world.guilds.values()

    async def sync(self) -> None:
        assert (await self.archive.run(PLAIN)).status is JobStatus.COMPLETED

    async def unread(self) -> int:
        """Threads of which nothing is proven."""
        (row,) = await self.archive.query(
            "SELECT count(*) AS threads FROM channels c JOIN sync_progress p ON p.channel_id = c.id"
            " WHERE c.tenant_id = :tenant AND c.type = 11 AND p.coverage = '{}'"
        )
        return int(row.threads)


@pytest.fixture
async def stage(engine: AsyncEngine) -> AsyncIterator[Stage]:
    spec = GuildSpec(
        text_channels=1, text_messages=200, threads=12, archived=1.0, users=5, end_ms=END_MS
    )
    world = World(generate_guild(spec))
    world.add_bot(TOKEN)
    with EmulatorThread(world) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        await archive.add(next(iter(world.guilds)))
        yield Stage(engine, archive, world)


async def test_after_a_reset_a_plain_run_reads_threads_archived_long_ago(stage: Stage) -> None:
    await stage.sync()
    assert await stage.unread() == 0

    assert stage.archive.tenant is not None
    await reset_progress(stage.engine, stage.archive.tenant.id)

    assert await stage.unread() == len(stage.guild.threads) > 5
    await stage.sync()
    assert await stage.unread() == 0
