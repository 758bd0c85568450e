"""Whatever a role, a database or the environment presets: what is stored is what was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.emulator import EmulatorThread, GuildSpec, World, generate_guild
from raysync.errors import JobRunningError
from raysync.models.entities import Privacy
from raysync.models.extras import Extras
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.store.archive.export import export_lines
from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import open_engine
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.server import migrate
from tests.archive import Archive
from tests.hostile import ENVIRONMENT, hostile_database
from tests.truth import assert_same_archive, expected_rows, exported_rows

TOKEN = "a-token"
ODD = "naïve Čapek – Ω 日本語 👩‍🚀 \\' {NULL} \\x41"


@pytest.fixture
async def hostile(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[AsyncEngine, str]]:
    with hostile_database(postgres_url) as url:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        await asyncio.to_thread(migrate.upgrade, url)
        engine = open_engine(url, pool_size=10, application_name="raysync tests")
        try:
            yield engine, url
        finally:
            await engine.dispose()


async def test_an_archive_is_true_whatever_is_preset(
    hostile: tuple[AsyncEngine, str],
) -> None:
    engine, _ = hostile
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(TOKEN)
    (guild,) = world.guilds.values()
    with EmulatorThread(world) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        await archive.add(guild.id, Privacy.FULL)
        assert archive.tenant is not None
        window = SyncWindow(SyncType.FULL, extras=Extras(reactors=True))
        assert (await archive.run(window)).status is JobStatus.COMPLETED
        edited = next(each for each in world.readable_channels(TOKEN, guild.id) if each.log.ids)
        newest = edited.log.ids[-1]
        emulator.edits.edit_message(edited.id, newest, ODD)
        emulator.edits.add_reaction(edited.id, newest, "🥨", guild.owner_id)
        assert (await archive.run(window)).status is JobStatus.COMPLETED
        async with aclosing(export_lines(engine, archive.tenant.id)) as blocks:
            lines = [line async for block in blocks for line in block.decode().splitlines()]

        assert_same_archive(
            expected_rows(world.truth(guild.id, token=TOKEN)), list(exported_rows(lines))
        )
        assert (await archive.rows())[edited.id, newest] == (ODD, True)


async def test_jobs_locks_and_the_log_are_what_they_are_elsewhere(
    hostile: tuple[AsyncEngine, str],
) -> None:
    engine, _ = hostile
    archive = Archive(engine, "", TOKEN, 100)
    await archive.add(7)
    assert archive.tenant is not None
    jobs, tenant = JobStore(engine), archive.tenant
    async with jobs.lease(tenant.id) as lease:
        job_id = lease.job_id = await jobs.begin(tenant.id, SyncWindow(SyncType.FULL))
        with pytest.raises(JobRunningError, match=job_id):
            await jobs.require_free(tenant.id)
        assert await jobs.cancel(job_id)
        await asyncio.wait_for(lease.cancelled.wait(), 30)
    await AuditLog(engine).record(ODD, "looked", tenant.slug, {"what": ODD})
    (entry,) = await AuditLog(engine).recent()

    assert (entry.actor, entry.details, entry.at.utcoffset()) == (
        ODD,
        {"what": ODD},
        tenant.created_at.utcoffset(),
    )
    async with engine.connect() as connection:
        decoys = await connection.exec_driver_sql("SELECT count(*) FROM decoy.audit_log")
        assert decoys.scalar_one() == 0
        with pytest.raises(ProgrammingError, match="append-only"):  # triggers are on
            await connection.exec_driver_sql("DELETE FROM audit_log")
