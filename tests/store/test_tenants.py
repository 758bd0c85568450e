"""Tenants are unique by slug and by guild, and leave nothing behind."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import (
    ConfigurationError,
    JobRunningError,
    TenantTakenError,
    UnknownTenantError,
)
from raysync.models.entities import Privacy, Reaction, TenantStatus
from raysync.models.ids import GuildId
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.run.requests import Room, SyncRequest, chosen_tenants, room_within
from raysync.store.archive.pages import PostgresPages
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.schema.tables import metadata
from raysync.store.tenants import TenantStore
from tests.store.rows import GUILD, add_channel, add_tenant, message, page, task


async def test_a_tenant_is_found_as_it_was_added(engine: AsyncEngine) -> None:
    store = TenantStore(engine)
    added = await store.add("takaro", GUILD, "Takaro", "stored", Privacy.FULL, b"sealed")

    assert (added.status, added.privacy, added.guild_id) == (
        TenantStatus.ACTIVE,
        Privacy.FULL,
        GUILD,
    )
    assert await store.get("takaro") == added
    assert await store.list() == (added,)
    assert await store.sealed_token("takaro") == b"sealed"


async def test_a_taken_slug_is_named(engine: AsyncEngine) -> None:
    await add_tenant(engine, "takaro", 1)
    with pytest.raises(TenantTakenError, match="slug takaro"):
        await add_tenant(engine, "takaro", 2)


async def test_a_taken_guild_is_named(engine: AsyncEngine) -> None:
    await add_tenant(engine, "takaro", 1)
    with pytest.raises(TenantTakenError, match="guild 1"):
        await add_tenant(engine, "other", 1)


@pytest.mark.parametrize("slug", ["", "Takaro", "-a", "a-", "a b", "a/b", "x" * 64, "ä"])
async def test_what_is_no_slug_is_refused(engine: AsyncEngine, slug: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a valid slug"):
        await add_tenant(engine, slug)


async def test_an_unknown_tenant_is_told_where_to_look(engine: AsyncEngine) -> None:
    store = TenantStore(engine)
    for asked in (
        store.get("nobody"),
        store.remove("nobody"),
        store.sealed_token("nobody"),
        store.set_status("nobody", TenantStatus.CANCELLED),
    ):
        with pytest.raises(UnknownTenantError, match=r"nobody.*tenant list"):
            await asked


async def test_a_status_is_kept(engine: AsyncEngine) -> None:
    await add_tenant(engine)
    await TenantStore(engine).set_status("takaro", TenantStatus.MAINTENANCE)

    assert (await TenantStore(engine).get("takaro")).status is TenantStatus.MAINTENANCE


async def test_a_tenant_in_maintenance_is_synced_only_when_it_is_named(engine: AsyncEngine) -> None:
    await add_tenant(engine, "takaro", GuildId(1))
    await add_tenant(engine, "beacon", GuildId(2))
    await TenantStore(engine).set_status("takaro", TenantStatus.MAINTENANCE)

    unnamed = await chosen_tenants(engine, SyncRequest())
    named = await chosen_tenants(engine, SyncRequest(tenants=("takaro",)))

    assert [each.slug for each in unnamed] == ["beacon"]
    assert [each.slug for each in named] == ["takaro"]


async def _fill(engine: AsyncEngine, slug: str, guild: int) -> None:
    tenant = await add_tenant(engine, slug, GuildId(guild))
    pages = PostgresPages(engine)
    claim = await pages.claim(task(tenant.id, await add_channel(engine, tenant.id)), "w1")
    assert claim is not None
    await pages.save_page(claim, page(message(10, "a", reactions=(Reaction("👍", 1, 0),))))
    await pages.save_page(claim, page(message(10, "b", reactions=(Reaction("👍", 1, 0),))))
    async with JobStore(engine).lease(tenant.id):
        await JobStore(engine).begin(tenant.id, SyncWindow(SyncType.FULL))


def _counts(database_url: str) -> dict[str, int]:
    with psycopg.connect(database_url) as session:
        return {
            name: session.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # type: ignore[index]
            for name in metadata.tables
        }


async def test_a_removed_tenant_leaves_nothing_and_takes_nothing_of_others(
    engine: AsyncEngine, database_url: str
) -> None:
    await _fill(engine, "kept", 1)
    before = _counts(database_url)
    await _fill(engine, "gone", 2)
    await TenantStore(engine).remove("gone")

    assert _counts(database_url) == before


async def test_a_tenant_that_is_being_synced_is_not_removed(engine: AsyncEngine) -> None:
    tenant = await add_tenant(engine)
    jobs = JobStore(engine)
    async with jobs.lease(tenant.id):
        job_id = await jobs.begin(tenant.id, SyncWindow(SyncType.FULL))
        with pytest.raises(JobRunningError, match=job_id):
            await TenantStore(engine).remove("takaro")
    assert await TenantStore(engine).get("takaro") == tenant


async def test_whose_turn_it_is_those_synced_longest_ago_first_and_never_synced_last(
    engine: AsyncEngine,
) -> None:
    ends = {"a-late": 3, "b-never": None, "c-early": 1, "d-failed": None, "e-middle": 2}
    jobs = JobStore(engine)
    for number, (slug, hour) in enumerate(ends.items()):
        tenant = await add_tenant(engine, slug, number + 1)
        job_id = await jobs.begin(tenant.id, SyncWindow(SyncType.INCREMENTAL))
        if hour is None:
            await jobs.finish(job_id, JobStatus.FAILED, error="no")
            continue
        await jobs.finish(job_id, JobStatus.COMPLETED)
        check = await jobs.begin(tenant.id, SyncWindow(SyncType.VERIFY))  # reads nothing
        await jobs.finish(check, JobStatus.COMPLETED)
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE sync_jobs SET completed_at = '2026-01-01'::timestamptz"
                    " + make_interval(hours => :hour) WHERE id = :job"
                ),
                {"hour": hour, "job": job_id},
            )

    turns = await TenantStore(engine).in_turn()

    assert [each.slug for each in turns] == ["c-early", "e-middle", "a-late", "b-never", "d-failed"]


@pytest.mark.parametrize(
    ("connections", "asked", "tenants", "room"),
    [
        (1000, 10, 3, Room(10, 3)),  # no more than there are
        (1000, 10, 500, Room(10, 100)),  # ten for each worker
        (61, 10, 500, Room(10, 100)),  # tenants take no connections
        (40, 10, 500, Room(5, 50)),
        (16, 10, 500, Room(1, 10)),
    ],
)
def test_a_run_has_room_for_as_many_as_there_are_connections(
    connections: int, asked: int, tenants: int, room: Room
) -> None:
    assert room_within(connections, asked, 5, tenants) == room


def test_a_run_without_connections_for_a_worker_has_no_room() -> None:
    assert room_within(15, 10, 5, 1).workers == 0
