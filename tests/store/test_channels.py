"""Channels are recorded as Discord lists them, and what is known of them is never unlearned."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import ChannelId, MessageId
from raysync.models.work import ArchiveKey, ArchiveRecord, IdRange
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from tests.hostile import plain_session
from tests.store.rows import add_tenant, channel, message, page, task


async def test_a_new_channel_has_a_key_and_nothing_stored(engine: AsyncEngine) -> None:
    tenant = await add_tenant(engine)
    stored = (await ChannelStore(engine, tenant.id).record([channel(7)]))[ChannelId(7)]

    assert (stored.channel_id, stored.coverage, stored.message_count) == (7, (), 0)


async def test_what_pages_proved_is_told(engine: AsyncEngine) -> None:
    tenant = await add_tenant(engine)
    channels, pages = ChannelStore(engine, tenant.id), PostgresPages(engine)
    before = (await channels.record([channel(7)]))[ChannelId(7)]
    claim = await pages.claim(task(tenant.id, before), "w1")
    assert claim is not None
    await pages.save_page(claim, page(message(10), message(12), covered=IdRange(0, 13)))
    await pages.save_page(claim, page(message(20)))
    after = (await channels.record([channel(7)]))[ChannelId(7)]

    assert after.key == before.key
    assert after.coverage == (IdRange(0, 13), IdRange(20, 21))
    assert after.message_count == 3


async def test_the_last_message_is_never_forgotten(engine: AsyncEngine, database_url: str) -> None:
    channels = ChannelStore(engine, (await add_tenant(engine)).id)
    for last in (MessageId(50), None, MessageId(40)):
        await channels.record([channel(7, last_message_id=last)])
        with psycopg.connect(database_url) as session:
            found = session.execute("SELECT last_message_id FROM channels").fetchone()

        assert found == (50,)


async def test_a_renamed_channel_is_the_same_channel(
    engine: AsyncEngine, database_url: str
) -> None:
    channels = ChannelStore(engine, (await add_tenant(engine)).id)
    await channels.record([channel(7, "old")])
    renamed = channel(
        7, "new \x00", type=5, parent_id=ChannelId(3), metadata={"topic": "a\x00b", "nsfw": True}
    )
    await channels.record([renamed, renamed])
    with plain_session(database_url) as session:
        rows = session.execute(
            "SELECT name, type, parent_channel_id, metadata FROM channels"
        ).fetchall()

    assert rows == [("new \ufffd", 5, 3, {"topic": "a\ufffdb", "nsfw": True})]


async def test_recording_nothing_new_writes_nothing(engine: AsyncEngine, database_url: str) -> None:
    channels = ChannelStore(engine, (await add_tenant(engine)).id)
    versions = []
    for _ in range(2):
        await channels.record([channel(7, metadata={"topic": "x"}, last_message_id=MessageId(5))])
        with psycopg.connect(database_url) as session:
            versions.append(session.execute("SELECT ctid::text FROM channels").fetchall())

    assert versions[0] == versions[1]


async def test_ten_thousand_channels_are_recorded_in_seconds(engine: AsyncEngine) -> None:
    channels = ChannelStore(engine, (await add_tenant(engine)).id)
    many = [channel(i, f"channel-{i}", metadata={"topic": "t" * 200}) for i in range(1, 10_001)]
    started_s = time.monotonic()
    stored = await channels.record(many)
    elapsed_s = time.monotonic() - started_s

    assert len(stored) == 10_000
    assert elapsed_s < 20, "a second or two on an idle machine"


async def test_where_lists_of_threads_are_settled_only_moves_on(
    engine: AsyncEngine,
) -> None:
    store = ChannelStore(engine, (await add_tenant(engine)).id)
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    await store.record([channel(1), channel(2)])
    public, private = ArchiveKey(ChannelId(1), False), ArchiveKey(ChannelId(1), True)
    compared = ArchiveRecord(late, late, MessageId(5), "public", frozenset({ChannelId(7)}))
    joined = ArchiveRecord(early, None, None, "joined")
    await store.note_listings({public: compared, private: joined})
    earlier = replace(compared, archived_until=early)
    await store.note_listings({public: earlier, ArchiveKey(ChannelId(9), False): earlier})

    assert await store.listings() == {public: compared, private: joined}
    await store.note_listings({public: ArchiveRecord(None)})
    assert await store.listings() == {public: ArchiveRecord(None, late), private: joined}


async def test_threads_that_a_list_last_named_as_active_are_known_as_active(
    engine: AsyncEngine,
) -> None:
    store = ChannelStore(engine, (await add_tenant(engine)).id)
    states: dict[int, Any] = {10: False, 11: True, 12: "odd"}
    threads = [
        replace(channel(i, metadata={"thread_metadata": {"archived": archived}}), type=11)
        for i, archived in states.items()
    ]
    withheld = replace(channel(13, metadata={}), type=11)
    await store.record([channel(1), *threads, withheld])

    assert {known.id for known in await store.known() if known.is_active} == {10}


async def test_a_channel_marked_as_deleted_is_known_no_more_until_it_is_listed(
    engine: AsyncEngine,
) -> None:
    store = ChannelStore(engine, (await add_tenant(engine)).id)
    await store.record([channel(1), channel(2)])
    await store.mark_deleted([ChannelId(1)])
    known = await store.known()
    await store.record([channel(1)])

    assert [each.id for each in known] == [2]
    assert [each.id for each in await store.known()] == [1, 2]
