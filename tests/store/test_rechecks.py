"""Old pages come up again in the order in which they were last compared."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import ChannelId, TenantId
from raysync.models.work import IdRange, Recheck
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from raysync.store.archive.rechecks import PER_PAGE, rechecked_since
from tests.store.rows import add_tenant, channel, message, page, task

BEFORE = 1_000_000
EVERY = [ChannelId(each) for each in range(1, 5)]
RUN = timedelta(hours=1)
FIRST = datetime(2030, 1, 1, tzinfo=UTC)


async def filled(engine: AsyncEngine, sizes: dict[int, int]) -> tuple[TenantId, ChannelStore]:
    """Channels with so many messages each, ids 10 apart."""
    tenant = await add_tenant(engine)
    store, pages = ChannelStore(engine, tenant.id), PostgresPages(engine)
    stored = await store.record([channel(each) for each in sizes])
    for channel_id, count in sizes.items():
        claim = await pages.claim(task(tenant.id, stored[ChannelId(channel_id)]), "w1")
        assert claim is not None
        await pages.save_page(claim, page(*(message(10 * n) for n in range(1, count + 1))))
    return tenant.id, store


async def run(store: ChannelStore, requests: int, number: int) -> list[Recheck]:
    """One run of that budget, at whose end all was read."""
    due = list(await store.plan_rechecks(requests, BEFORE, EVERY))
    done = {
        each.stored.key: None if each.is_last or not each.ids else each.ids[-1].stop for each in due
    }
    await store.note_rechecks(done, FIRST + number * RUN)
    return due


@pytest.mark.parametrize("requests", [1, 3, 10])
async def test_every_message_comes_up_within_the_predicted_number_of_runs(
    engine: AsyncEngine, requests: int
) -> None:
    sizes = {1: 350, 2: 20, 3: 700, 4: 1}
    tenant_id, store = await filled(engine, sizes)
    wanted = {
        (channel_id, 10 * n) for channel_id, size in sizes.items() for n in range(1, size + 1)
    }
    seen: set[tuple[int, int]] = set()
    runs = 0
    while not wanted <= seen:
        due = await run(store, requests, runs)
        runs += 1
        assert sum(each.pages for each in due) <= requests
        seen |= {
            (each.stored.channel_id, id_)
            for each in due
            for ids in each.ids
            for id_ in range(ids.start - ids.start % 10, min(ids.stop, 7_001), 10)
            if id_ in ids
        }
        assert runs < 50

    least = sum(math.ceil(size / PER_PAGE) for size in sizes.values())
    assert runs <= math.ceil((least + len(sizes)) / requests) + len(sizes)
    since, messages = await rechecked_since(engine, tenant_id)
    assert messages == sum(sizes.values())
    assert since is not None


async def test_what_was_compared_longest_ago_comes_first(engine: AsyncEngine) -> None:
    _, store = await filled(engine, {1: 50, 2: 50, 3: 50})
    first, second, third = [(await run(store, 1, n))[0] for n in range(3)]
    again = (await run(store, 1, 3))[0]

    assert [each.stored.channel_id for each in (first, second, third, again)] == [1, 2, 3, 1]


async def test_what_is_in_the_look_back_is_not_old(engine: AsyncEngine, database_url: str) -> None:
    tenant_id, store = await filled(engine, {1: 50})
    (due,) = await store.plan_rechecks(5, 200, EVERY)
    (none,) = await store.plan_rechecks(5, 5, EVERY)
    await store.mark_deleted([ChannelId(1)])

    assert (due.ids, due.pages) == ((IdRange(0, 200),), 1)
    assert none.ids == ()
    assert await store.plan_rechecks(5, 200, EVERY) == []
    with psycopg.connect(database_url) as session:
        assert session.execute("SELECT recheck_from FROM sync_progress").fetchall() == [(0,)]
    assert await rechecked_since(engine, tenant_id) == (None, 0)


async def test_a_sample_is_of_stored_messages_and_as_large_as_asked_for(
    engine: AsyncEngine,
) -> None:
    _, store = await filled(engine, {1: 350, 2: 20})
    sample = await store.plan_sample(12, EVERY)
    ranges = [each for channel in sample for each in channel.ids]

    assert sum(each.pages for each in sample) == len(ranges) == 12
    assert all(0 < each.start < each.stop <= 3_501 for each in ranges)


async def test_what_cannot_be_read_takes_nothing_from_what_can(engine: AsyncEngine) -> None:
    _, store = await filled(engine, {1: 700, 2: 700, 3: 20})
    readable = [ChannelId(3)]

    (due,) = await store.plan_rechecks(2, BEFORE, readable)
    (sample,) = await store.plan_sample(12, readable)

    assert (due.stored.channel_id, due.pages, due.is_last) == (3, 1, True)
    assert (sample.stored.channel_id, sample.pages) == (3, 12)
    assert list(await store.plan_rechecks(2, BEFORE, [])) == []


async def test_of_nothing_there_is_no_sample(engine: AsyncEngine) -> None:
    _, store = await filled(engine, {})

    assert list(await store.plan_sample(5, EVERY)) == []
