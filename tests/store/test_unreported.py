"""Pages of a worker that died before it could report are counted once, by the next claim."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ClaimLostError
from raysync.models.entities import Reaction
from raysync.models.ids import MessageId
from raysync.models.status import ChannelJobStatus, JobStatus, SyncType
from raysync.models.work import ChannelTally, ChannelTask, Claim, SyncWindow
from raysync.store.archive.pages import PostgresPages
from raysync.store.jobs.lifecycle import JobStore
from raysync.sync.channels.counting import ChannelCount
from tests.store.rows import add_channel, add_tenant, message, new_job_id, outcome, page, task


@pytest.fixture
def pages(engine: AsyncEngine) -> PostgresPages:
    return PostgresPages(engine)


@pytest.fixture
async def work(engine: AsyncEngine) -> ChannelTask:
    tenant = await add_tenant(engine)
    return task(tenant.id, await add_channel(engine, tenant.id))


async def _claimed(pages: PostgresPages, work: ChannelTask, worker_id: str) -> Claim:
    claim = await pages.claim(work, worker_id)
    assert claim is not None
    return claim


def _next(work: ChannelTask, attempt: int = 2) -> ChannelTask:
    return replace(work, attempt=attempt)


async def test_what_a_dead_worker_committed_is_counted(
    pages: PostgresPages, work: ChannelTask
) -> None:
    first = await _claimed(pages, work, "w1")
    liked = message(11, reactions=(Reaction("👍", 3, 0),))
    await pages.save_page(first, page(message(10), liked))
    await pages.save_page(first, page(message(12)))

    second = await _claimed(pages, _next(work), "w2")

    assert second.unreported == ChannelTally(
        pages=1,
        messages=3,
        reactions=1,
        added=3,
        first_message_id=MessageId(10),
        last_message_id=MessageId(12),
    )


async def test_each_page_of_two_dead_workers_is_counted_once(
    pages: PostgresPages, work: ChannelTask
) -> None:
    first = await _claimed(pages, work, "w1")
    await pages.save_page(first, page(message(10), message(11)))
    second = await _claimed(pages, _next(work), "w2")
    await pages.save_page(second, page(message(12)))

    third = await _claimed(pages, _next(work, 3), "w3")

    assert third.unreported.messages == third.unreported.added == 3


async def test_what_an_earlier_visit_reported_is_not_counted_again(
    pages: PostgresPages, work: ChannelTask
) -> None:
    first = await _claimed(pages, work, "w1")
    await pages.save_page(first, page(message(10), message(11)))
    done = ChannelTally(messages=2, last_message_id=MessageId(11))
    await pages.release(first, outcome(work, status=ChannelJobStatus.PENDING, tally=done))
    visited = replace(work, done=done)
    second = await _claimed(pages, visited, "w1")
    await pages.save_page(second, page(message(12)))

    third = await _claimed(pages, _next(visited), "w2")

    assert third.unreported.messages == third.unreported.added == 1
    counted = ChannelCount(done)
    counted.add_unreported(third.unreported)
    counted.add_page([message(12), message(13)])  # the page after the checkpoint overlaps
    assert counted.tally.messages == 4


async def test_unchanged_messages_above_an_earlier_visit_count_as_read(
    pages: PostgresPages, work: ChannelTask
) -> None:
    stored = [message(number) for number in range(10, 15)]
    before = await _claimed(pages, work, "w1")
    await pages.save_page(before, page(*stored))
    await pages.release(before, outcome(work))
    again = replace(
        work, job_id=new_job_id(), done=ChannelTally(messages=2, last_message_id=MessageId(11))
    )
    first = await _claimed(pages, again, "w1")
    await pages.save_page(first, page(*stored[2:4]))

    second = await _claimed(pages, _next(again), "w2")

    assert (second.unreported.messages, second.unreported.added) == (2, 0)


async def test_an_earlier_run_of_a_resumed_job_is_not_counted(
    pages: PostgresPages, work: ChannelTask
) -> None:
    earlier = await _claimed(pages, work, "w1")
    await pages.save_page(earlier, page(message(10), message(11)))
    await pages.release(earlier, outcome(work, status=ChannelJobStatus.PENDING))
    resumed = await _claimed(pages, work, "w1")
    assert resumed.unreported == ChannelTally()
    await pages.save_page(resumed, page(message(12)))

    second = await _claimed(pages, _next(work), "w2")

    assert second.unreported.messages == 1


async def test_an_earlier_run_is_not_counted_where_the_resumed_one_begins_with_a_second_attempt(
    engine: AsyncEngine, pages: PostgresPages, work: ChannelTask
) -> None:
    """The worker of the first attempt may die before it has claimed the channel."""
    jobs = JobStore(engine)
    async with jobs.lease(work.tenant_id):
        job_id = await jobs.begin(work.tenant_id, SyncWindow(SyncType.FULL))
        begun = replace(work, job_id=job_id)
        earlier = await _claimed(pages, begun, "w1")
        await pages.save_page(earlier, page(message(10), message(11)))
        await jobs.finish(job_id, JobStatus.FAILED)
    async with jobs.lease(work.tenant_id):
        await jobs.resume(job_id)

        second = await _claimed(pages, _next(begun), "w2")

        assert second.unreported == ChannelTally()
        assert second.resume_after == 11
        with pytest.raises(ClaimLostError):
            await pages.save_page(earlier, page(message(12)))


async def test_messages_above_the_checkpoint_are_counted_once(
    pages: PostgresPages, work: ChannelTask
) -> None:
    """A page may end in a millisecond with more messages: the next one begins before its end."""
    first = await _claimed(pages, work, "w1")
    written = page(message(10), message(11), message(12))
    await pages.save_page(first, replace(written, checkpoint=MessageId(11)))

    second = await _claimed(pages, _next(work), "w2")
    counted = ChannelCount(work.done)
    counted.add_unreported(second.unreported)
    receipt = await pages.save_page(second, page(message(12), message(13)))
    counted.add_page([message(12), message(13)])
    counted.add_written(receipt)

    assert second.resume_after == 11
    assert counted.tally.messages == counted.tally.added == 4


async def test_a_dead_worker_without_a_page_adds_nothing(
    pages: PostgresPages, work: ChannelTask
) -> None:
    await _claimed(pages, work, "w1")

    assert (await _claimed(pages, _next(work), "w2")).unreported == ChannelTally()
