"""A channel belongs to one worker at a time, and to nobody who stopped asking for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ClaimLostError
from raysync.models.status import ChannelJobStatus, FailureClass
from raysync.models.work import ChannelTask, Claim, Failure, PageReceipt
from raysync.store.archive.pages import PostgresPages
from tests.store.rows import add_channel, add_tenant, message, new_job_id, outcome, page, task


@pytest.fixture
def pages(engine: AsyncEngine) -> PostgresPages:
    return PostgresPages(engine)


@pytest.fixture
async def work(engine: AsyncEngine) -> ChannelTask:
    tenant = await add_tenant(engine)
    return task(tenant.id, await add_channel(engine, tenant.id))


async def _claimed(pages: PostgresPages, work: ChannelTask, worker_id: str = "w1") -> Claim:
    claim = await pages.claim(work, worker_id)
    assert claim is not None
    return claim


def _expire_leases(database_url: str) -> None:
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE sync_progress SET lease_expires_at = now() - interval '1 second'")


async def test_of_twenty_racing_workers_one_gets_the_channel(
    pages: PostgresPages, work: ChannelTask
) -> None:
    claims = await asyncio.gather(*(pages.claim(work, f"w{i}") for i in range(20)))

    assert sum(1 for each in claims if each is not None) == 1


async def test_of_twenty_workers_of_twenty_jobs_one_gets_the_channel(
    pages: PostgresPages, work: ChannelTask
) -> None:
    tasks = [replace(work, job_id=new_job_id()) for _ in range(20)]
    claims = await asyncio.gather(*(pages.claim(each, each.job_id) for each in tasks))

    assert sum(1 for each in claims if each is not None) == 1


async def test_a_live_lease_keeps_others_out_until_it_is_released(
    pages: PostgresPages, work: ChannelTask
) -> None:
    claim = await _claimed(pages, work)
    other = replace(work, job_id=new_job_id())

    assert await pages.claim(other, "w2") is None
    await pages.release(claim, outcome(work))
    assert await pages.claim(other, "w2") is not None


async def test_an_expired_lease_is_taken_over(
    pages: PostgresPages, work: ChannelTask, database_url: str
) -> None:
    first = await _claimed(pages, work)
    _expire_leases(database_url)
    second = await _claimed(pages, replace(work, job_id=new_job_id()), "w2")

    assert second.epoch > first.epoch


async def test_a_renewed_lease_is_not_expired(
    pages: PostgresPages, work: ChannelTask, database_url: str
) -> None:
    claim = await _claimed(pages, work)
    _expire_leases(database_url)
    await pages.renew(claim)

    assert await pages.claim(replace(work, job_id=new_job_id()), "w2") is None


async def test_a_page_renews_the_lease(
    pages: PostgresPages, work: ChannelTask, database_url: str
) -> None:
    claim = await _claimed(pages, work)
    _expire_leases(database_url)
    await pages.save_page(claim, page(message(10)))

    assert await pages.claim(replace(work, job_id=new_job_id()), "w2") is None


async def test_a_later_attempt_of_the_same_job_takes_over_at_once(
    pages: PostgresPages, work: ChannelTask
) -> None:
    await _claimed(pages, work)

    assert await pages.claim(replace(work, attempt=1), "w2") is None
    assert await pages.claim(replace(work, attempt=2), "w2") is not None


async def test_a_claim_whose_answer_was_lost_may_be_repeated(
    pages: PostgresPages, work: ChannelTask
) -> None:
    first = await _claimed(pages, work)
    second = await _claimed(pages, work)

    assert second.epoch > first.epoch


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param("w2", id="to-another-worker"),
        pytest.param("w1", id="to-one-of-the-same-name-in-a-later-run"),
    ],
)
async def test_who_lost_the_channel_can_neither_write_nor_renew(
    pages: PostgresPages, work: ChannelTask, database_url: str, holder: str
) -> None:
    lost = await _claimed(pages, work)
    held = await _claimed(pages, replace(work, attempt=2), holder)
    with pytest.raises(ClaimLostError, match="took over channel 7"):
        await pages.save_page(lost, page(message(10, "from the past")))
    with pytest.raises(ClaimLostError):
        await pages.renew(lost)

    assert await pages.save_page(held, page(message(10))) == PageReceipt(1, 0)


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param("w2", id="to-another-worker"),
        pytest.param("w1", id="to-one-of-the-same-name-in-a-later-run"),
    ],
)
async def test_releasing_a_lost_channel_disturbs_nobody(
    pages: PostgresPages, work: ChannelTask, holder: str
) -> None:
    lost = await _claimed(pages, work)
    held = await _claimed(pages, replace(work, attempt=2), holder)
    await pages.release(lost, outcome(work))

    await pages.renew(held)


async def test_an_attempt_goes_on_where_the_last_of_the_same_job_stopped(
    pages: PostgresPages, work: ChannelTask
) -> None:
    claim = await _claimed(pages, work)
    await pages.save_page(claim, page(message(10), message(20)))
    again = await _claimed(pages, replace(work, attempt=2), "w2")

    assert claim.resume_after is None
    assert again.resume_after == 20
    assert [(each.start, each.stop) for each in again.coverage] == [(10, 21)]


async def test_another_job_does_not_go_on_where_the_last_stopped(
    pages: PostgresPages, work: ChannelTask
) -> None:
    claim = await _claimed(pages, work)
    await pages.save_page(claim, page(message(10)))
    await pages.release(claim, outcome(work))
    other = replace(work, job_id=new_job_id())
    by_other = await _claimed(pages, other)
    await pages.release(by_other, outcome(other))
    by_first = await _claimed(pages, replace(work, attempt=2))

    assert by_other.resume_after is None
    assert by_first.resume_after is None


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        pytest.param(ChannelJobStatus.COMPLETED, "completed", id="read-to-its-end"),
        pytest.param(ChannelJobStatus.FAILED, "failed", id="given-up"),
        pytest.param(ChannelJobStatus.PENDING, "idle", id="interrupted"),
    ],
)
async def test_a_release_records_how_the_attempt_ended(
    pages: PostgresPages,
    work: ChannelTask,
    database_url: str,
    ended: ChannelJobStatus,
    expected: str,
) -> None:
    failure = Failure(FailureClass.PERMANENT, "AccessDeniedError", "403")
    failed = failure if ended is ChannelJobStatus.FAILED else None
    claim = await _claimed(pages, work)
    await pages.release(claim, outcome(work, status=ended, failure=failed))
    with psycopg.connect(database_url) as session:
        row = session.execute(
            "SELECT status, worker_id, lease_expires_at, messages_per_second, retry_count,"
            " error_details->>'error' FROM sync_progress"
        ).fetchone()

    assert row == (expected, None, None, 10.0, 2, failed.error if failed else None)


async def test_a_claim_tells_how_long_ago_the_channel_was_read(
    pages: PostgresPages, work: ChannelTask, database_url: str
) -> None:
    first = await _claimed(pages, work)
    await pages.save_page(first, page(message(10)))
    await pages.release(first, outcome(work))
    again = await _claimed(pages, replace(work, job_id=new_job_id()), "w2")

    assert first.paged_ago_s is None
    assert again.paged_ago_s is not None
    assert 0 <= again.paged_ago_s < 60
