"""Threads archived long ago, below where earlier runs have settled their lists."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.emulator import EmulatorThread, GuildSpec, World, generate_guild
from raysync.errors import JobRunningError
from raysync.models.ids import snowflake_at
from raysync.models.privacy import Retention
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.privacy import TenantPrivacy
from raysync.store.jobs.lease import hold_tenant
from raysync.store.jobs.reset import reset_progress
from raysync.store.tenants import TenantStore
from tests.archive import Archive

TOKEN = "a-token"
PLAIN = SyncWindow(SyncType.INCREMENTAL, lookback_s=86_400.0)
END_MS = int(time.time() * 1000) - 30 * 86_400_000
OLD = timedelta(days=200)


class Stage:
    """A guild of old threads, all of them archived, and a tenant's archive of it."""

    def __init__(self, engine: AsyncEngine, archive: Archive, world: World) -> None:
        self.engine, self.archive, self.world = engine, archive, world
        (self.guild,) = world.guilds.values()

    @property
    def office(self) -> TenantPrivacy:
        assert self.archive.tenant is not None
        return TenantPrivacy(self.engine, self.archive.tenant, "the tests")

    def messages(self) -> set[tuple[int, int]]:
        return {
            (channel, int(message["id"]))
            for channel, message in self.world.truth(self.guild.id, token=TOKEN)
        }

    async def sync(self) -> None:
        assert (await self.archive.run(PLAIN)).status is JobStatus.COMPLETED

    async def retain(self, retention: Retention) -> None:
        await self.office.retain(retention)
        self.archive.tenant = await TenantStore(self.engine).get(self.office.tenant.slug)

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

    await reset_progress(stage.engine, stage.office.tenant.id)

    assert await stage.unread() == len(stage.guild.threads) > 5
    await stage.sync()
    assert await stage.unread() == 0


async def test_a_longer_retention_brings_what_old_threads_said(stage: Stage) -> None:
    await stage.retain(Retention(max_age=OLD))
    await stage.sync()
    horizon = snowflake_at(datetime.now(UTC) - OLD)
    young = set(await stage.archive.rows())
    threads = set(stage.guild.threads)
    missing = stage.messages() - young
    assert all(message < horizon for _, message in missing)
    assert len({channel for channel, _ in missing} & threads) > 3

    await stage.retain(Retention(max_age=2 * OLD))
    await stage.sync()

    assert set(await stage.archive.rows()) == stage.messages()


@pytest.mark.parametrize("longer", [Retention(), Retention(max_age=2 * OLD)])
async def test_a_retention_becomes_longer_between_runs_and_shorter_at_any_time(
    stage: Stage, longer: Retention
) -> None:
    await stage.retain(Retention(max_age=OLD))
    async with hold_tenant(stage.engine, stage.office.tenant.id):
        with pytest.raises(JobRunningError):
            await stage.retain(longer)
        await stage.retain(Retention(max_age=OLD / 2))

    assert Retention.of(stage.office.tenant.settings) == Retention(max_age=OLD / 2)
