"""A job is one tenant's only one, is seen by all, and its driver's death is noticed at once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ClaimLostError, ConfigurationError, JobRunningError
from raysync.models.entities import Tenant
from raysync.models.events import ApiUsage, ChannelProgress, ChannelRow, JobView
from raysync.models.extras import Extras, FileRules
from raysync.models.ids import ChannelId, JobId, MessageId
from raysync.models.results import ParallelStats, SyncJobResult
from raysync.models.samples import JobSample
from raysync.models.status import ChannelJobStatus, FailureClass, JobStatus, SyncType
from raysync.models.work import ChannelTally, ChannelTask, Failure, Recheck, SyncWindow, VisitSpan
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.dead_letters import DeadLetterStore
from raysync.store.archive.pages import PostgresPages
from raysync.store.jobs.history import job_history
from raysync.store.jobs.lease import is_held
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.jobs.reset import reset_progress
from raysync.store.tenants import TenantStore
from tests.store.rows import NOON, add_channel, add_tenant, channel, message, outcome, page, task

FULL = SyncWindow(SyncType.FULL)
REFUSED = Failure(FailureClass.PERMANENT, "AccessDeniedError", "403 \x00")

_HOLD_A_JOB = """
import asyncio, sys
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from raysync.store.connection.engine import open_engine
from raysync.store.jobs.lease import is_held
from raysync.store.jobs.lifecycle import JobStore

async def main():
    jobs = JobStore(open_engine(sys.argv[1], pool_size=1, application_name="a driver"))
    async with jobs.lease(int(sys.argv[2])):
        print(await jobs.begin(int(sys.argv[2]), SyncWindow(SyncType.FULL)), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def jobs(engine: AsyncEngine) -> JobStore:
    return JobStore(engine)


@pytest.fixture
async def tenant(engine: AsyncEngine) -> Tenant:
    return await add_tenant(engine)


@pytest.fixture
async def work(engine: AsyncEngine, tenant: Tenant, jobs: JobStore) -> ChannelTask:
    """A channel of a job that has begun."""
    stored = await add_channel(engine, tenant.id)
    return task(tenant.id, stored, job_id=await jobs.begin(tenant.id, FULL))


def _view(job_id: JobId) -> JobView:
    return JobView(
        job_id=job_id,
        tenant="takaro",
        status=JobStatus.RUNNING,
        sync_type=SyncType.FULL,
        started_at=NOON,
        heartbeat_at=NOON,
        completed_at=None,
        planning=False,
        channels_total=1,
        channels_completed=0,
        channels_failed=0,
        channels_skipped=2,
        messages=100,
        requests=1,
        rate_limit_encounters=0,
        messages_per_second=10.0,
        requests_per_second=0.1,
        budget_per_second=48.0,
        fraction=0.25,
        eta_s=30.0,
    )


def _failed(work: ChannelTask, attempt: int = 1) -> ChannelRow:
    ended = outcome(replace(work, attempt=attempt), status=ChannelJobStatus.FAILED, failure=REFUSED)
    return ChannelRow(work, ChannelJobStatus.FAILED, attempt, "w1", NOON, None, ended)


async def test_a_held_tenant_refuses_another_driver_by_naming_the_job(
    jobs: JobStore, tenant: Tenant
) -> None:
    async with jobs.lease(tenant.id):
        job_id = await jobs.begin(tenant.id, FULL)
        with pytest.raises(JobRunningError, match=rf"{job_id}.*since.*raysync cancel --job-id"):
            await jobs.lease(tenant.id).__aenter__()


async def test_a_tenant_is_free_as_soon_as_its_driver_lets_go(
    jobs: JobStore, tenant: Tenant
) -> None:
    for _ in range(2):
        async with jobs.lease(tenant.id):
            job_id = await jobs.begin(tenant.id, FULL)
            assert await jobs.finish(job_id, JobStatus.COMPLETED)


async def test_of_two_jobs_begun_at_once_one_runs(jobs: JobStore, tenant: Tenant) -> None:
    begun = await asyncio.gather(
        *(jobs.begin(tenant.id, FULL) for _ in range(5)), return_exceptions=True
    )

    refused = [each for each in begun if not isinstance(each, str)]
    assert [type(each) for each in refused] == [JobRunningError] * 4


async def test_tenants_do_not_wait_for_each_other(engine: AsyncEngine, jobs: JobStore) -> None:
    one, two = await add_tenant(engine, "one", 1), await add_tenant(engine, "two", 2)
    async with jobs.lease(one.id), jobs.lease(two.id):
        assert await jobs.begin(one.id, FULL) != await jobs.begin(two.id, FULL)


async def test_a_killed_driver_is_noticed_at_once_and_its_job_has_failed(
    jobs: JobStore, tenant: Tenant, database_url: str
) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", _HOLD_A_JOB, database_url, str(tenant.id)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with driver:
        assert driver.stdout is not None
        job_id = JobId((await asyncio.to_thread(driver.stdout.readline)).strip())
        with pytest.raises(JobRunningError, match=job_id):
            await jobs.lease(tenant.id).__aenter__()
        driver.send_signal(signal.SIGKILL)
    await _until_free(jobs, tenant)
    record = await jobs.load(job_id)

    assert (record.status, record.error) == (JobStatus.FAILED, "its driver vanished")


async def _until_free(jobs: JobStore, tenant: Tenant) -> None:
    """The server needs a moment to see that a connection is gone."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with jobs.lease(tenant.id):
                    return
            except JobRunningError:
                await asyncio.sleep(0.01)


async def test_workers_of_a_vanished_driver_can_write_no_more(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask
) -> None:
    pages = PostgresPages(engine)
    orphaned = await pages.claim(work, "w1")
    assert orphaned is not None
    async with jobs.lease(work.tenant_id):
        with pytest.raises(ClaimLostError):
            await pages.save_page(orphaned, page(message(10)))
        resumed = await jobs.resume(work.job_id)

        assert resumed.status is JobStatus.RUNNING
        assert await pages.claim(work, "w2") is not None


async def test_a_driver_learns_that_it_lost_its_hold(
    jobs: JobStore, tenant: Tenant, database_url: str
) -> None:
    async with jobs.lease(tenant.id) as lease:
        with psycopg.connect(database_url, autocommit=True) as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'raysync driver'"
            )
        await asyncio.wait_for(lease.lost.wait(), 30)

    assert not lease.cancelled.is_set()


async def test_a_cancellation_reaches_the_driver(jobs: JobStore, tenant: Tenant) -> None:
    async with jobs.lease(tenant.id) as lease:
        earlier = await jobs.begin(tenant.id, FULL, driver=lease.driver)
        await jobs.finish(earlier, JobStatus.COMPLETED)
        job_id = lease.job_id = await jobs.begin(tenant.id, FULL, driver=lease.driver)

        assert not await jobs.cancel(earlier), "that one has ended, and this one is another"
        assert await jobs.cancel(job_id)
        await asyncio.wait_for(lease.cancelled.wait(), 30)
        assert not lease.lost.is_set()


async def test_a_job_without_a_driver_is_cancelled_here(jobs: JobStore, work: ChannelTask) -> None:
    assert await jobs.cancel(work.job_id)
    assert (await jobs.load(work.job_id)).status is JobStatus.CANCELLED
    assert not await jobs.cancel(work.job_id)


async def test_a_job_ends_once(jobs: JobStore, work: ChannelTask) -> None:
    result = SyncJobResult(
        job_id=work.job_id,
        tenant="takaro",
        status="partial",
        channels_processed=1,
        channels_unchanged=0,
        messages_processed=100,
        reactions_processed=0,
        attachments_processed=0,
        errors=[],
        skipped=[],
        started_at=NOON,
        completed_at=NOON + timedelta(seconds=9),
        parallel_stats=ParallelStats(
            max_concurrent_channels=1,
            average_channel_time=1.0,
            total_api_calls=1,
            rate_limit_encounters=0,
            ideal_s=1.0,
            actual_s=1.0,
            efficiency=1.0,
        ),
        channel_results=[],
    )

    assert await jobs.finish(work.job_id, JobStatus.PARTIAL, result)
    assert not await jobs.finish(work.job_id, JobStatus.COMPLETED)
    record = await jobs.load(work.job_id)
    assert (record.status, record.result) == (JobStatus.PARTIAL, result)


async def test_a_window_survives_to_be_resumed(jobs: JobStore, tenant: Tenant) -> None:
    window = SyncWindow(
        SyncType.INCREMENTAL,
        NOON,
        NOON + timedelta(days=1),
        frozenset({ChannelId(7)}),
        3600.0,
        reconcile_requests=50,
        sample=3,
        extras=Extras(reactors=True, files=FileRules("s3://bucket", 10, ("image/*",))),
    )
    job_id = await jobs.begin(tenant.id, window, "raysubmit_1")
    await jobs.finish(job_id, JobStatus.CANCELLED)
    resumed = await jobs.resume(job_id, "raysubmit_2")

    assert (resumed.window, resumed.ray_job_id) == (window, "raysubmit_2")
    assert resumed.status is JobStatus.RUNNING


async def test_a_job_that_has_ended_keeps_its_final_progress(
    jobs: JobStore, work: ChannelTask
) -> None:
    """A tracker that was not closed goes on writing what it knew last."""
    ended = ChannelRow(work, ChannelJobStatus.COMPLETED, 1, "w1", NOON, None, outcome(work))
    await jobs.save_progress(_view(work.job_id), [ended], {})
    await jobs.finish(work.job_id, JobStatus.PARTIAL)
    final = await jobs.load(work.job_id)

    obsolete = replace(_view(work.job_id), messages=7, planning=True)
    pending = ChannelRow(work, ChannelJobStatus.PENDING, 0, None, None, None, None)
    await jobs.save_progress(obsolete, [pending], {"w1": ApiUsage(calls={"GET /x": 9})})

    now = await jobs.load(work.job_id)
    assert replace(now, heartbeat_age_s=final.heartbeat_age_s) == final


async def test_a_job_that_ended_well_is_not_resumed(jobs: JobStore, work: ChannelTask) -> None:
    await jobs.finish(work.job_id, JobStatus.COMPLETED)
    with pytest.raises(ConfigurationError, match="completed: there is nothing to resume"):
        await jobs.resume(work.job_id)


@pytest.mark.parametrize(
    "job_id", ["00000000-0000-4000-8000-00000000dead", "not-a-job"], ids=["unknown", "no-uuid"]
)
async def test_an_unknown_job_is_told_where_to_look(jobs: JobStore, job_id: str) -> None:
    with pytest.raises(ConfigurationError, match="raysync status"):
        await jobs.load(JobId(job_id))


async def test_progress_is_seen_by_whoever_asks(jobs: JobStore, work: ChannelTask) -> None:
    progress = ChannelProgress(
        work.channel_id, 1, "w1", NOON, ChannelTally(messages=50, requests=1), 0.5
    )
    row = ChannelRow(work, ChannelJobStatus.IN_PROGRESS, 1, "w1", NOON, progress)
    await jobs.save_progress(_view(work.job_id), [row], {})
    record = await jobs.load(work.job_id)

    assert record.view is not None
    assert replace(record.view, channels=(), heartbeat_at=NOON) == _view(work.job_id)
    assert 0 <= record.heartbeat_age_s < 60
    (shown,) = record.view.channels
    assert (shown.channel_id, shown.name, shown.status) == (7, "general", row.status)
    assert (shown.worker_id, shown.messages, shown.fraction) == ("w1", 50, 0.5)
    assert shown.eta_s is not None
    latest = await jobs.latest(work.tenant_id)
    assert latest is not None
    assert latest.id == work.job_id
    assert [each.id for each in await jobs.recent()] == [work.job_id]


def _sample(slot_s: int, messages: int) -> JobSample:
    return JobSample(slot_s, NOON + timedelta(seconds=slot_s), messages, messages // 100, 0)


async def test_a_job_is_read_back_with_its_visits_samples_and_letters(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask
) -> None:
    visits = (VisitSpan("w1", 1_000.25, 1_002.5, 3, 2.0), VisitSpan("w2", 1_005.0, 1_006.0, 1, 1.0))
    row = _failed(work)
    assert row.outcome is not None
    row = replace(row, outcome=replace(row.outcome, visits=visits))
    await jobs.save_progress(_view(work.job_id), [row], {"w1": ApiUsage({"GET /x 200": 3})})
    await jobs.save_progress(_view(work.job_id), [], {}, _sample(1, 100))
    history = await job_history(engine, work.job_id)

    (channel,) = history.channels
    assert (channel.channel_id, channel.name, channel.visits) == (7, "general", visits)
    assert channel.failure == Failure(FailureClass.PERMANENT, "AccessDeniedError", "403 \ufffd")
    assert history.samples == (_sample(1, 100),)
    assert history.usage["w1"].calls == {"GET /x 200": 3}
    assert [each.channel_id for each in history.dead_letters] == [7]
    assert history.record.id == work.job_id


async def test_a_row_of_a_version_without_visits_says_so(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask, database_url: str
) -> None:
    await jobs.save_progress(_view(work.job_id), [ChannelRow(work)], {})
    assert [each.visits for each in (await job_history(engine, work.job_id)).channels] == [()]
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE channel_sync_jobs SET visits = NULL")

    assert [each.visits for each in (await job_history(engine, work.job_id)).channels] == [None]


async def test_samples_of_one_stretch_are_one_and_a_late_one_changes_nothing(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask
) -> None:
    newer = replace(_sample(1, 300), taken_at=NOON + timedelta(seconds=1.9))
    for each in (_sample(1, 100), newer, _sample(1, 200)):
        await jobs.save_progress(_view(work.job_id), [], {}, each)

    assert (await job_history(engine, work.job_id)).samples == (newer,)


async def test_samples_are_thinned_out_as_the_run_grows_older(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask
) -> None:
    for slot in (0, 1, 2, 3, 598, 599, 600):
        await jobs.save_progress(_view(work.job_id), [], {}, _sample(slot, slot))
    samples = (await job_history(engine, work.job_id)).samples

    assert [each.slot_s for each in samples] == [0, 2, 598, 600]


async def test_samples_are_of_the_last_run_and_go_with_the_tenant(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask, database_url: str
) -> None:
    await jobs.save_progress(_view(work.job_id), [], {}, _sample(1, 100))
    await jobs.finish(work.job_id, JobStatus.CANCELLED)
    await jobs.resume(work.job_id)
    assert (await job_history(engine, work.job_id)).samples == ()
    await jobs.save_progress(_view(work.job_id), [], {}, _sample(1, 100))
    await jobs.finish(work.job_id, JobStatus.CANCELLED)
    await TenantStore(engine).remove("takaro")

    with psycopg.connect(database_url) as session:
        assert session.execute("SELECT count(*) FROM job_samples").fetchone() == (0,)


async def test_api_counters_are_sums_that_only_grow(jobs: JobStore, work: ChannelTask) -> None:
    early = ApiUsage({"GET /channels 200": 1}, {"user": 1}, permit_wait_s=0.5)
    late = ApiUsage({"GET /channels 200": 5}, {"user": 2}, permit_wait_s=1.5, first_request_at=NOON)
    for usage in ({"w1": early, "w2": early}, {"w1": late}, {"w1": late}):
        await jobs.save_progress(_view(work.job_id), [], usage)

    saved = await jobs.usage(work.job_id)
    assert saved["w1"] == late
    assert saved["w2"].calls == early.calls


async def test_what_a_job_asked_before_it_was_resumed_stays_counted(
    jobs: JobStore, work: ChannelTask, database_url: str
) -> None:
    route = "GET /channels 403"
    runs = ({"w1": 5, "w2": 3}, {"w1": 2}, {"w1": 4})
    for number, calls in enumerate(runs):
        if number:
            await jobs.finish(work.job_id, JobStatus.CANCELLED)
            await jobs.resume(work.job_id)
        usage = {worker: ApiUsage({route: count}, {"user": 1}) for worker, count in calls.items()}
        await jobs.save_progress(_view(work.job_id), [], usage)
        await jobs.save_progress(_view(work.job_id), [], usage)

    last = await jobs.usage(work.job_id)
    assert {worker: each.calls for worker, each in last.items()} == {"w1": {route: 4}}
    with psycopg.connect(database_url) as session:
        counted = session.execute("SELECT route, sum(calls) FROM job_api_calls GROUP BY 1")
        assert dict(counted.fetchall()) == {route: 14, "429 user": 4}


async def test_a_channel_given_up_is_a_dead_letter_until_it_is_read_to_its_end(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask
) -> None:
    letters = DeadLetterStore(engine, work.tenant_id)
    for row in (_failed(work, 1), _failed(work, 1), _failed(work, 3)):
        await jobs.save_progress(_view(work.job_id), [row], {})
    (letter,) = await letters.list()

    assert (letter.channel_id, letter.attempts, letter.job_id) == (7, 3, work.job_id)
    assert (letter.failure_class, letter.error) == (FailureClass.PERMANENT, "AccessDeniedError")
    done = ChannelRow(work, ChannelJobStatus.COMPLETED, 4, "w1", NOON, None, outcome(work))
    await jobs.save_progress(_view(work.job_id), [done], {})
    assert await letters.list() == ()


async def test_a_letter_tells_of_its_channel_what_is_stored(
    engine: AsyncEngine, jobs: JobStore, tenant: Tenant
) -> None:
    catalog = ChannelStore(engine, tenant.id)
    thread = channel(9, "a thread", type=11, parent_id=ChannelId(7), last_message_id=MessageId(30))
    stored = (await catalog.record([thread]))[thread.id]
    work = task(tenant.id, stored, job_id=await jobs.begin(tenant.id, FULL))
    await jobs.save_progress(_view(work.job_id), [_failed(work)], {})

    (letter,) = (await catalog.letters()).values()

    due = Recheck(stored, "a thread", 11, ChannelId(7), MessageId(30), (), 0, is_last=False)
    assert letter.due == due
    assert letter.cools_until is not None


@pytest.mark.parametrize(
    ("status", "cools"), [(JobStatus.FAILED, False), (JobStatus.PARTIAL, True)]
)
async def test_a_refusal_in_a_job_that_failed_as_a_whole_lets_no_channel_rest(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask, status: JobStatus, cools: bool
) -> None:
    await jobs.save_progress(_view(work.job_id), [_failed(work)], {})
    await jobs.finish(work.job_id, status)

    (letter,) = (await ChannelStore(engine, work.tenant_id).letters()).values()

    assert (letter.cools_until is not None) is cools


@pytest.mark.parametrize(
    ("window", "closes"),
    [
        pytest.param(SyncWindow(SyncType.INCREMENTAL), True, id="all that is new"),
        pytest.param(
            SyncWindow(SyncType.INCREMENTAL, channels=frozenset({ChannelId(7)})), True, id="named"
        ),
        pytest.param(SyncWindow(SyncType.VERIFY, sample=1), False, id="random pages"),
        pytest.param(SyncWindow(SyncType.FULL, since=NOON), False, id="since"),
        pytest.param(SyncWindow(SyncType.INCREMENTAL, until=NOON), False, id="until"),
    ],
)
async def test_a_dead_letter_is_closed_only_by_a_job_that_reads_the_channel_to_its_end(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask, window: SyncWindow, closes: bool
) -> None:
    await jobs.save_progress(_view(work.job_id), [_failed(work)], {})
    await jobs.finish(work.job_id, JobStatus.PARTIAL)
    again = replace(work, job_id=await jobs.begin(work.tenant_id, window))
    done = ChannelRow(again, ChannelJobStatus.COMPLETED, 1, "w1", NOON, None, outcome(again))

    await jobs.save_progress(_view(again.job_id), [done], {})

    assert (await DeadLetterStore(engine, work.tenant_id).list() == ()) is closes


async def test_a_dead_letter_grows_over_jobs(
    engine: AsyncEngine, jobs: JobStore, work: ChannelTask
) -> None:
    await jobs.save_progress(_view(work.job_id), [_failed(work, 2)], {})
    await jobs.finish(work.job_id, JobStatus.PARTIAL)
    again = replace(work, job_id=await jobs.begin(work.tenant_id, FULL))
    await jobs.save_progress(_view(again.job_id), [_failed(again, 1)], {})
    (letter,) = await DeadLetterStore(engine, work.tenant_id).list()

    assert (letter.attempts, letter.job_id) == (3, again.job_id)


async def test_a_reset_forgets_progress_and_keeps_messages(
    engine: AsyncEngine, tenant: Tenant, database_url: str
) -> None:
    pages = PostgresPages(engine)
    claim = await pages.claim(task(tenant.id, await add_channel(engine, tenant.id)), "w1")
    assert claim is not None
    await pages.save_page(claim, page(message(10)))

    assert await reset_progress(engine, tenant.id) == 1
    with psycopg.connect(database_url) as session:
        assert session.execute("SELECT count(*) FROM messages").fetchone() == (1,)
        assert session.execute(
            "SELECT coverage::text, last_synced_message_id, resume_after, status FROM sync_progress"
        ).fetchone() == ("{}", None, None, "idle")
    with pytest.raises(ClaimLostError):
        await pages.save_page(claim, page(message(11)))


async def test_progress_is_not_reset_under_a_running_job(
    engine: AsyncEngine, jobs: JobStore, tenant: Tenant
) -> None:
    async with jobs.lease(tenant.id):
        job_id = await jobs.begin(tenant.id, FULL)
        with pytest.raises(JobRunningError, match=job_id):
            await reset_progress(engine, tenant.id)


async def test_a_driver_whose_connection_broke_holds_its_tenant_again(
    engine: AsyncEngine, jobs: JobStore, tenant: Tenant, database_url: str
) -> None:
    async with jobs.lease(tenant.id) as lease:
        lease.job_id = await jobs.begin(tenant.id, FULL, driver=lease.driver)
        with psycopg.connect(database_url, autocommit=True) as session:
            for _ in range(2):
                (broken,) = session.execute(
                    "SELECT backend_pid FROM locks WHERE pg_terminate_backend(backend_pid)"
                ).fetchone()
                async with asyncio.timeout(30):
                    while session.execute(
                        "SELECT 1 FROM locks WHERE backend_pid = %s", (broken,)
                    ).fetchone():
                        await asyncio.sleep(0.01)
                assert await _is_held(engine, tenant)
        with pytest.raises(JobRunningError):
            await jobs.lease(tenant.id).__aenter__()

        assert not lease.lost.is_set()
        assert await jobs.cancel(lease.job_id), "and hears when it is to end"
        await asyncio.wait_for(lease.cancelled.wait(), 30)


async def _is_held(engine: AsyncEngine, tenant: Tenant) -> bool:
    async with engine.begin() as connection:
        return await is_held(connection, tenant.id)


async def test_a_driver_whose_job_was_resumed_elsewhere_has_lost_it(
    engine: AsyncEngine, jobs: JobStore, tenant: Tenant, database_url: str
) -> None:
    async with jobs.lease(tenant.id) as lease:
        lease.job_id = await jobs.begin(tenant.id, FULL, driver=lease.driver)
        with psycopg.connect(database_url, autocommit=True) as session:
            session.execute("UPDATE sync_jobs SET status = 'failed'")
            await jobs.resume(lease.job_id, driver="another")
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'raysync driver'"
            )
        await asyncio.wait_for(lease.lost.wait(), 30)

        assert not await jobs.finish(lease.job_id, JobStatus.CANCELLED, driver=lease.driver)
    assert (await jobs.load(lease.job_id)).status is JobStatus.RUNNING


async def test_a_job_that_was_resumed_is_later_than_one_that_was_begun_meanwhile(
    jobs: JobStore, tenant: Tenant
) -> None:
    first = await jobs.begin(tenant.id, FULL)
    await jobs.finish(first, JobStatus.CANCELLED)
    second = await jobs.begin(tenant.id, SyncWindow(SyncType.VERIFY))
    await jobs.finish(second, JobStatus.COMPLETED)
    assert [each.id for each in await jobs.recent(tenant.id)] == [second, first]

    await jobs.resume(first)
    while_it_runs = await jobs.latest(tenant.id)
    await jobs.finish(first, JobStatus.COMPLETED)
    latest = await jobs.latest(tenant.id)

    assert while_it_runs is not None
    assert latest is not None
    assert (while_it_runs.id, latest.id) == (first, first)
