"""Locks are rows: taken by those who may write them, free when their holder is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import JobRunningError, UnknownTenantError
from raysync.models.entities import Tenant
from raysync.models.ids import JobId, TenantId
from raysync.models.records import LockRecord, ShareClaim
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.store.connection import locks
from raysync.store.connection.engine import open_engine
from raysync.store.connection.locks import LEGACY_CLASS
from raysync.store.jobs.lease import TenantHolder, hold_tenant, holder, refuse_while_running
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.jobs.reset import reset_progress
from raysync.store.jobs.schedules import ScheduleStore
from raysync.store.limits.token_shares import TokenShares
from raysync.store.server.health import abandoned_jobs, running_jobs
from raysync.store.server.roles import RoleStore
from raysync.store.tenants import TenantStore
from tests.hostile import plain_session
from tests.store.rows import add_tenant

FULL = SyncWindow(SyncType.FULL)
DRIVERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'raysync driver'"
_DRIVER = """
import asyncio, sys
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from raysync.store.connection.engine import open_engine
from raysync.store.jobs.lifecycle import JobStore

async def main():
    jobs = JobStore(open_engine(sys.argv[1], pool_size=1, application_name="a driver"))
    async with jobs.lease(int(sys.argv[2])) as lease:
        job_id = await jobs.begin(int(sys.argv[2]), SyncWindow(SyncType.FULL), None, lease.driver)
        print(job_id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holders look at their rows at once, and renew them as often."""
    monkeypatch.setattr(locks, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(locks, "RENEW_EVERY_S", 0.05)
    monkeypatch.setattr(locks, "RETAKE_EVERY_S", 0.02)


@pytest.fixture
async def tenant(engine: AsyncEngine) -> Tenant:
    return await add_tenant(engine)


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with plain_session(database_url) as session:
        yield session


@pytest.fixture
async def analyst(
    engine: AsyncEngine, tenant: Tenant, database_url: str
) -> AsyncIterator[psycopg.Connection[tuple[object, ...]]]:
    role = f"role_analyst_{uuid.uuid4().hex[:12]}"
    await RoleStore(engine).grant_analyst(role, tenant)
    url = make_url(database_url).set(username=role).render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as session:
        yield session


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)


async def found(engine: AsyncEngine, tenant: Tenant) -> LockRecord | None:
    async with engine.connect() as connection:
        return await holder(connection, tenant.id)


async def test_a_role_that_only_reads_keeps_nobody_from_syncing_and_ends_no_run(
    engine: AsyncEngine, tenant: Tenant, analyst: psycopg.Connection[tuple[object, ...]]
) -> None:
    """By no number and no notification that any version used."""
    jobs, schedule = JobStore(engine), ScheduleStore(engine, "start")
    for statement, values in (
        ("SELECT pg_advisory_lock(%s, %s)", (LEGACY_CLASS, tenant.id)),
        ("SELECT pg_advisory_lock(%s, hashtext('start'))", (0x7279_7363,)),
        ("SELECT pg_advisory_lock(hashtextextended('raysync/' || %s, 0))", ("token",)),
    ):
        analyst.execute(statement, values)
    async with jobs.lease(tenant.id) as lease, schedule.hold() as is_held:
        assert is_held
        job_id = lease.job_id = await jobs.begin(tenant.id, FULL, driver=lease.driver)
        analyst.execute("SELECT pg_notify('raysync_cancel', %s)", (job_id,))
        async with asyncio.timeout(10):
            await TokenShares(engine).renew("token", "g", 3.0, lambda *_: ShareClaim(1, 1))
        for touch in (
            "UPDATE locks SET holder = NULL",
            "DELETE FROM locks",
            "SELECT name FROM locks FOR UPDATE",
            "SELECT tenant_id FROM locks FOR SHARE",
            "BEGIN; LOCK TABLE locks IN ROW SHARE MODE",
            "INSERT INTO locks (name) VALUES ('tenant/99')",
            "UPDATE locks SET cancel_job_id = gen_random_uuid()",
            "SELECT holder FROM locks",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(touch)
            analyst.execute("ROLLBACK")
        seen = analyst.execute("SELECT tenant_id FROM locks").fetchall()
        before = await found(engine, tenant)
        async with asyncio.timeout(30):  # until it has looked again
            while before == await found(engine, tenant):
                await asyncio.sleep(0.01)

        assert seen == [(tenant.id,)]
        assert not lease.cancelled.is_set()
        assert not lease.lost.is_set()


async def test_one_connection_holds_all_tenants_of_a_process(
    engine: AsyncEngine, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    many = [await add_tenant(engine, f"t{number}", number) for number in range(1, 31)]
    tenants = TenantHolder(engine)
    enough, free = asyncio.Event(), asyncio.Event()
    held: set[TenantId] = set()

    async def hold(tenant: Tenant) -> None:
        async with tenants.hold(tenant.id):
            held.add(tenant.id)
            if len(held) == len(many):
                enough.set()
            await free.wait()

    working = [asyncio.create_task(hold(each)) for each in many]
    await asyncio.wait_for(enough.wait(), 30)
    assert len(owner.execute(DRIVERS).fetchall()) == 1
    before = owner.execute("SELECT max(renewed_at) FROM locks").fetchone()
    assert before is not None
    await until(
        lambda: (
            owner.execute("SELECT min(renewed_at) > %s FROM locks", before).fetchone() == (True,)
        )
    )
    for each in many:
        with pytest.raises(JobRunningError):
            await hold_tenant(engine, each.id).__aenter__()
    free.set()
    await asyncio.gather(*working)

    free = "SELECT count(*) FROM locks WHERE num_nulls(VARIADIC ARRAY[holder, host]) = 2"
    assert owner.execute(free).fetchone() == (30,)
    await until(lambda: owner.execute(DRIVERS).fetchall() == [])


async def test_a_server_process_that_hangs_is_noted_and_left(
    engine: AsyncEngine,
    tenant: Tenant,
    owner: psycopg.Connection[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "LOOK_TIMEOUT_S", 0.3)
    reasons: list[str | None] = []
    async with TenantHolder(engine, reasons.append).hold(tenant.id):
        ((pid,),) = owner.execute("SELECT backend_pid FROM locks WHERE holder IS NOT NULL")
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: any(reasons))
            await until(lambda: reasons[-1] is None)
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_a_tenant_is_held_once_also_within_a_process(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    tenants = TenantHolder(engine)
    async with tenants.hold(tenant.id) as lease:
        with pytest.raises(JobRunningError):
            await tenants.hold(tenant.id).__aenter__()
        record = await found(engine, tenant)

        assert record is not None
        assert record.is_held
        assert not lease.lost.is_set()


async def test_it_is_known_who_holds_a_tenant_and_when_that_was_seen(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    assert await found(engine, tenant) is None
    async with hold_tenant(engine, tenant.id):
        record = await found(engine, tenant)
        assert record is not None
        assert record.is_held
        assert record.taken_at <= record.renewed_at
        assert 0 <= record.seen_ago_s < 30
        assert record.host
    assert await found(engine, tenant) is None


async def test_a_killed_driver_leaves_a_free_tenant_and_a_job_that_is_abandoned(
    engine: AsyncEngine, tenant: Tenant, database_url: str
) -> None:
    """Long before its lease is over."""
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, database_url, str(tenant.id)],
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        job_id = JobId((await asyncio.to_thread(driver.stdout.readline)).strip())
        assert await running_jobs(engine) == [(tenant.id, job_id)]
        assert await abandoned_jobs(engine) == []
        driver.send_signal(signal.SIGKILL)
    async with asyncio.timeout(locks.LEASE_S / 2):
        while await running_jobs(engine):
            await asyncio.sleep(0.01)
    record = await found(engine, tenant)

    assert record is not None
    assert not record.is_held
    assert await abandoned_jobs(engine) == [(tenant.id, job_id)]
    async with hold_tenant(engine, tenant.id):
        assert (await JobStore(engine).load(job_id)).status is JobStatus.FAILED


async def test_a_lease_ends_though_the_servers_process_for_it_lives(
    engine: AsyncEngine,
    tenant: Tenant,
    owner: psycopg.Connection[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a machine vanished, or a pooler keeps the connection: the lease is what counts."""
    monkeypatch.setattr(locks, "LOOK_EVERY_S", 3600.0)
    async with hold_tenant(engine, tenant.id) as first:
        owner.execute("UPDATE locks SET expires_at = now()")
        async with hold_tenant(engine, tenant.id):
            assert len(owner.execute(DRIVERS).fetchall()) == 2
        assert not first.lost.is_set()  # it has not looked since
    assert await found(engine, tenant) is None


async def test_who_was_taken_over_hears_of_it_and_gives_nothing_back(
    engine: AsyncEngine, tenant: Tenant, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    async with hold_tenant(engine, tenant.id) as first:
        owner.execute("UPDATE locks SET holder = 'another'")
        await asyncio.wait_for(first.lost.wait(), 30)
        assert not first.cancelled.is_set()
    assert owner.execute("SELECT holder FROM locks").fetchone() == ("another",)


async def test_a_number_that_came_again_is_another_process(
    engine: AsyncEngine, tenant: Tenant, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    owner.execute(
        "UPDATE locks SET holder = 'gone', backend_pid = pg_backend_pid(), taken_at = now(),"
        " backend_start = now() - interval '1 day', renewed_at = now(),"
        " expires_at = now() + interval '1 day'"
    )
    async with hold_tenant(engine, tenant.id):
        record = await found(engine, tenant)
        assert record is not None
        assert record.is_held


async def test_of_many_who_want_a_tenant_at_once_one_has_it(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    """Also where what they find is a holder that has gone."""
    for _ in range(5):
        entered = [hold_tenant(engine, tenant.id) for _ in range(8)]
        came = await asyncio.gather(
            *(each.__aenter__() for each in entered), return_exceptions=True
        )
        refused = [each for each in came if isinstance(each, JobRunningError)]
        assert len(refused) == 7, came
        for manager, each in zip(entered, came, strict=True):
            if not isinstance(each, BaseException):
                await manager.__aexit__(None, None, None)


async def test_what_changes_a_tenant_keeps_runs_from_beginning_meanwhile(
    engine: AsyncEngine, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.begin() as connection:
        await refuse_while_running(connection, tenant.id)
        with pytest.raises(JobRunningError, match="Another command is working"):
            await hold_tenant(engine, tenant.id).__aenter__()
    async with hold_tenant(engine, tenant.id):
        pass


async def test_a_held_tenant_is_neither_reset_nor_removed(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    async with hold_tenant(engine, tenant.id):
        with pytest.raises(JobRunningError):
            await reset_progress(engine, tenant.id)
        with pytest.raises(JobRunningError):
            await TenantStore(engine).remove(tenant.slug)
        with pytest.raises(JobRunningError):
            await JobStore(engine).require_free(tenant.id)
    await TenantStore(engine).remove(tenant.slug)


async def test_a_tenant_that_was_removed_a_moment_ago_is_told_as_that(
    engine: AsyncEngine, tenant: Tenant, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    await TenantStore(engine).remove(tenant.slug)
    with pytest.raises(UnknownTenantError, match="was removed"):
        await hold_tenant(engine, tenant.id).__aenter__()

    assert owner.execute("SELECT count(*) FROM locks").fetchone() == (0,)
    await until(lambda: owner.execute(DRIVERS).fetchall() == [])


async def test_a_tenant_is_removed_by_who_holds_it(engine: AsyncEngine, tenant: Tenant) -> None:
    async with hold_tenant(engine, tenant.id):
        await TenantStore(engine).remove(tenant.slug, is_held=True)
    assert await TenantStore(engine).list() == ()


async def test_what_was_not_given_back_while_the_database_was_away_is_given_back_later(
    engine: AsyncEngine, tenant: Tenant, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    other = await add_tenant(engine, "other", 2)
    tenants, jobs = TenantHolder(engine), JobStore(engine)
    async with tenants.hold(other.id) as kept:
        kept.job_id = await jobs.begin(other.id, FULL, driver=kept.driver)
        async with tenants.hold(tenant.id):
            for (pid,) in owner.execute(DRIVERS).fetchall():
                owner.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        await until(
            lambda: (
                owner.execute("SELECT name FROM locks WHERE holder IS NOT NULL").fetchall()
                == [(f"tenant/{other.id}",)]
            )
        )
        await until(lambda: len(owner.execute(DRIVERS).fetchall()) == 1)

        assert not kept.lost.is_set()
        assert await running_jobs(engine) == [(other.id, kept.job_id)]


async def test_a_cancellation_before_the_driver_knows_its_job_is_not_lost(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    jobs = JobStore(engine)
    async with jobs.lease(tenant.id) as lease:
        job_id = await jobs.begin(tenant.id, FULL, driver=lease.driver)
        assert await jobs.cancel(job_id)
        lease.job_id = job_id
        await asyncio.wait_for(lease.cancelled.wait(), 30)


async def test_the_next_holder_is_not_asked_to_end_what_the_last_one_did(
    engine: AsyncEngine, tenant: Tenant, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    jobs = JobStore(engine)
    async with jobs.lease(tenant.id) as lease:
        job_id = lease.job_id = await jobs.begin(tenant.id, FULL, driver=lease.driver)
        assert await jobs.cancel(job_id)
        await asyncio.wait_for(lease.cancelled.wait(), 30)
        await jobs.finish(job_id, JobStatus.CANCELLED)
    async with jobs.lease(tenant.id) as lease:
        lease.job_id = (await jobs.resume(job_id, driver=lease.driver)).id
        assert owner.execute("SELECT cancel_job_id FROM locks").fetchone() == (None,)


async def test_who_holds_a_schedule_does_so_until_the_process_ends(
    engine: AsyncEngine, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    schedule, long = ScheduleStore(engine, "start"), ScheduleStore(engine, "start " + "x" * 9000)
    async with schedule.hold() as first, long.hold() as second:
        assert (first, second) == (True, True)
        owner.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'raysync schedule'"
        )
        await until(
            lambda: (
                owner.execute(
                    "SELECT count(*) FROM locks l JOIN pg_stat_activity a ON a.pid = l.backend_pid"
                    " AND a.backend_start = l.backend_start"
                ).fetchone()
                == (2,)
            )
        )
        async with ScheduleStore(engine, "start").hold() as another:
            assert not another


async def test_a_worker_of_another_name_is_seen_by_its_process_alone(
    engine: AsyncEngine, tenant: Tenant, database_url: str
) -> None:
    """The server tells a role little of others' processes: enough to know that they are there."""
    roles = [f"role_worker_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    engines = []
    for role in roles:
        await RoleStore(engine).grant_worker(role)
        url = make_url(database_url).set(username=role).render_as_string(hide_password=False)
        engines.append(open_engine(url, pool_size=2, application_name="tests"))
    first, second = engines
    async with hold_tenant(first, tenant.id):
        with pytest.raises(JobRunningError):
            await hold_tenant(second, tenant.id).__aenter__()
    with psycopg.connect(database_url, autocommit=True) as session:
        holding = hold_tenant(first, tenant.id)
        lease = await holding.__aenter__()
        for (pid,) in session.execute(DRIVERS).fetchall():
            session.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        taken = False
        async with asyncio.timeout(30):
            while not taken and not lease.lost.is_set():
                try:
                    async with hold_tenant(second, tenant.id):
                        taken = True
                except JobRunningError:
                    await asyncio.sleep(0.01)
        await holding.__aexit__(None, None, None)
    for each in engines:
        await each.dispose()
