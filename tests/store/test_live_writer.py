"""Events and pages that meet: what is newer stays, and nothing is written twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import RulesChangedError, SessionTakenError, TailRunningError
from raysync.models.entities import Attachment, Message, Reaction, Tenant
from raysync.models.ids import ChannelId, MessageId
from raysync.models.live import (
    Doubt,
    LiveBatch,
    MessageSeen,
    Position,
    ReactionChange,
    ReactionsCleared,
    SessionLease,
    TenantBatch,
)
from raysync.models.work import Claim, IdRange, PageWrite
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from raysync.store.live.listening import ListeningStore
from raysync.store.live.sessions import SessionStore
from raysync.store.live.writer import LiveWriter
from raysync.store.privacy.suppressions import SuppressionStore
from raysync.store.schema.privacy_tables import SuppressedKind
from raysync.store.tenants import TenantStore
from tests.store.rows import FIRST, NOON, add_tenant, channel, message, task

pytestmark = pytest.mark.store

HERE = ChannelId(77)
POSITION = Position("session", "wss://resume", 10)


@dataclass(slots=True)
class Archive:
    """One channel, written by events and by pages."""

    engine: AsyncEngine
    tenant: Tenant
    claim: Claim
    lease: SessionLease
    epoch: int = 0

    async def hear(self, **parts: Any) -> None:
        batch = TenantBatch(self.tenant.id, self.epoch, LiveBatch(events=1, **parts))
        await LiveWriter(self.engine).write(self.lease, POSITION, [batch])

    async def see(self, *messages: Message, has_reactions: bool = False) -> None:
        await self.hear(messages=tuple(MessageSeen(HERE, one, has_reactions) for one in messages))

    async def delete(self, *ids: int) -> None:
        await self.hear(deleted=tuple((HERE, MessageId(one)) for one in ids))

    async def react(self, change: int, emoji: str = "x", id_: int = FIRST) -> None:
        await self.hear(reactions=(ReactionChange(HERE, MessageId(id_), emoji, change, 0),))

    async def read(self, *messages: Message, requested_s: float | None = None) -> None:
        """Write a page of *messages* that was requested then; None: now."""
        ids = [one.id for one in messages]
        whole = IdRange(FIRST, max(ids, default=FIRST) + 1)
        page = PageWrite(messages, whole, None, gone=whole, requested_s=requested_s)
        await PostgresPages(self.engine).save_page(self.claim, page)

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(statement))]

    async def contents(self) -> list[tuple[Any, ...]]:
        return await self.rows(
            "SELECT content, deleted_at IS NOT NULL FROM messages ORDER BY platform_message_id"
        )

    async def versions(self) -> list[str]:
        rows = await self.rows("SELECT content FROM message_versions ORDER BY seen_at")
        return [row[0] for row in rows]

    async def reactions(self) -> dict[str, int]:
        rows = await self.rows("SELECT emoji, count FROM message_emoji_reactions")
        return {row[0]: row[1] for row in rows}

    async def doubts(self) -> list[int]:
        rows = await self.rows("SELECT platform_message_id FROM gateway_doubts ORDER BY 1")
        return [row[0] for row in rows]


@pytest.fixture
async def archive(engine) -> AsyncIterator[Archive]:
    tenant = await add_tenant(engine)
    stored = (await ChannelStore(engine, tenant.id).record([channel(HERE)]))[HERE]
    epoch, _ = await ListeningStore(engine).open(tenant, "f", NOON)
    sessions = SessionStore(engine)
    lock, lease, _ = await sessions.take("f")
    claim = await PostgresPages(engine).claim(task(tenant.id, stored), "worker")
    assert claim is not None
    yield Archive(engine, tenant, claim, lease, epoch)
    await sessions.release(lock)


def ago(seconds: float) -> float:
    return time.monotonic() - seconds


def edited(content: str, seconds: float, **more: Any) -> Message:
    return message(FIRST, content, edited_at=NOON + timedelta(seconds=seconds), **more)


async def test_an_event_that_comes_twice_is_stored_once(archive) -> None:
    await archive.see(message(FIRST))
    await archive.see(message(FIRST))

    assert await archive.contents() == [("hello", False)]
    assert await archive.rows("SELECT message_count, live_batches FROM sync_progress") == [(1, 2)]
    assert await archive.rows("SELECT events, last_event_at IS NOT NULL FROM tenant_listening") == [
        (2, True)
    ]
    assert await archive.rows("SELECT session_id, sequence FROM gateway_sessions") == [
        ("session", 10)
    ]


async def test_each_version_is_kept(archive) -> None:
    await archive.see(message(FIRST, "a"))
    await archive.see(edited("b", 1))
    await archive.see(edited("c", 2))

    assert await archive.contents() == [("c", False)]
    assert await archive.rows("SELECT content FROM message_versions ORDER BY seen_at") == [
        ("a",),
        ("b",),
    ]


async def test_two_versions_in_one_transaction_are_both_kept(archive) -> None:
    batches = [
        TenantBatch(archive.tenant.id, archive.epoch, LiveBatch(1, (MessageSeen(HERE, one),)))
        for one in (message(FIRST, "a"), edited("b", 1), edited("c", 2))
    ]
    await LiveWriter(archive.engine).write(archive.lease, POSITION, batches)

    assert await archive.rows("SELECT content FROM message_versions ORDER BY seen_at") == [
        ("a",),
        ("b",),
    ]


async def test_an_event_older_than_the_row_changes_nothing(archive) -> None:
    await archive.read(edited("new", 5))
    await archive.see(message(FIRST, "old"))
    await archive.see(edited("older", 4))

    assert await archive.contents() == [("new", False)]
    assert await archive.versions() == []


async def test_a_deleted_message_does_not_come_back(archive) -> None:
    await archive.see(message(FIRST))
    await archive.delete(FIRST)
    await archive.see(edited("back", 9))

    assert await archive.contents() == [("hello", True)]
    assert await archive.versions() == []


async def test_an_event_of_a_message_that_was_deleted_before_stores_it_as_deleted(archive) -> None:
    await archive.delete(FIRST)
    await archive.see(message(FIRST))

    assert await archive.contents() == [("hello", True)]


async def test_a_page_in_flight_does_not_bring_a_deleted_message_back(archive) -> None:
    await archive.see(message(FIRST))
    await archive.delete(FIRST, FIRST + 1)
    await archive.read(message(FIRST), message(FIRST + 1, "never stored"), requested_s=ago(5))

    assert await archive.contents() == [("hello", True), ("never stored", True)]


async def test_a_page_requested_before_an_edit_does_not_undo_it(archive) -> None:
    await archive.see(edited("new", 5))
    await archive.read(message(FIRST, "old"), requested_s=ago(5))

    assert await archive.contents() == [("new", False)]
    assert await archive.versions() == []
    assert await archive.doubts() == [FIRST], "what came before the event is unknown"


async def test_a_page_with_a_later_edit_counts_whenever_it_was_requested(archive) -> None:
    await archive.see(edited("first", 1))
    await archive.read(edited("second", 5), requested_s=ago(5))

    assert await archive.contents() == [("second", False)]


async def test_a_page_requested_before_a_silent_change_does_not_undo_it(archive) -> None:
    file = Attachment(1, "f.txt", 3, None, "https://cdn/f.txt")
    await archive.see(message(FIRST, attachments=(file,)))
    await archive.react(1)
    await archive.read(message(FIRST, reactions=(Reaction("y", 4, 0),)), requested_s=ago(5))

    assert await archive.reactions() == {"x": 1}
    assert await archive.rows("SELECT filename FROM message_attachments") == [("f.txt",)]


async def test_a_page_requested_before_a_message_came_does_not_take_it_for_deleted(archive) -> None:
    await archive.see(message(FIRST))
    await archive.read(message(FIRST + 1), requested_s=ago(5))

    assert await archive.contents() == [("hello", False), ("hello", False)]


async def test_a_page_requested_after_the_events_decides(archive) -> None:
    await archive.see(message(FIRST, "a"), message(FIRST + 1))
    await archive.react(1)
    await set_back(archive, "messages SET live_at")
    await archive.read(edited("b", 9, reactions=(Reaction("y", 4, 0),)), message(FIRST + 2))

    assert await archive.contents() == [("b", False), ("hello", True), ("hello", False)]
    assert await archive.reactions() == {"y": 4}


async def set_back(archive: Archive, what: str) -> None:
    """Set a time back by an hour."""
    column = what.rpartition(" ")[2]
    async with archive.engine.begin() as connection:
        await connection.execute(text(f"UPDATE {what} = {column} - interval '1 hour'"))


async def test_a_page_that_waits_for_events_sees_what_they_wrote(archive) -> None:
    await archive.read(message(FIRST, reactions=(Reaction("x", 3, 0),)))
    blocked = text("SELECT live_batches FROM sync_progress FOR UPDATE")
    async with archive.engine.begin() as connection:
        await connection.execute(blocked)
        late = message(FIRST, reactions=(Reaction("x", 3, 0),))
        reading = asyncio.create_task(archive.read(late, requested_s=ago(5)))
        await until_waiting(archive)
        await connection.execute(text("UPDATE sync_progress SET live_batches = live_batches + 1"))
        await connection.execute(text("UPDATE messages SET live_at = now()"))
        await connection.execute(text("UPDATE message_emoji_reactions SET count = 4"))
    await reading

    assert await archive.reactions() == {"x": 4}


async def until_waiting(archive: Archive) -> None:
    waiting = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    waiting += " WHERE NOT l.granted AND a.datname = current_database()"
    async with asyncio.timeout(10):
        while not (await archive.rows(waiting))[0][0]:
            await asyncio.sleep(0.01)


async def test_reactions_add_up_and_vanish_at_zero(archive) -> None:
    await archive.see(message(FIRST))
    await archive.react(2)
    await archive.react(1, "y")
    await archive.react(-1)
    assert await archive.reactions() == {"x": 1, "y": 1}

    await archive.react(-1)
    assert await archive.reactions() == {"y": 1}

    await archive.hear(cleared=(ReactionsCleared(HERE, MessageId(FIRST), None),))
    assert await archive.reactions() == {}


async def test_one_emoji_is_cleared_alone(archive) -> None:
    await archive.see(message(FIRST))
    await archive.react(2)
    await archive.react(1, "y")
    await archive.hear(cleared=(ReactionsCleared(HERE, MessageId(FIRST), "x"),))

    assert await archive.reactions() == {"y": 1}


async def test_a_change_with_all_reactions_replaces_them_and_one_without_leaves_them(
    archive,
) -> None:
    await archive.see(message(FIRST))
    await archive.react(2)
    await archive.see(edited("b", 1))
    assert await archive.reactions() == {"x": 2}

    await archive.see(edited("c", 2, reactions=(Reaction("y", 1, 0),)), has_reactions=True)
    assert await archive.reactions() == {"y": 1}


async def test_a_reaction_beside_a_page_is_in_doubt_until_a_page_has_read_it(archive) -> None:
    await archive.read(message(FIRST))
    await archive.react(1)
    assert await archive.doubts() == [FIRST]

    await set_back(archive, "gateway_doubts SET at")
    await set_back(archive, "messages SET live_at")
    await archive.read(message(FIRST, reactions=(Reaction("x", 1, 0),)))
    assert await archive.doubts() == []
    assert await archive.reactions() == {"x": 1}


async def test_a_reaction_far_from_any_page_is_sure(archive) -> None:
    await archive.see(message(FIRST))
    async with archive.engine.begin() as connection:
        await connection.execute(
            text("UPDATE sync_progress SET lease_expires_at = NULL, last_synced_at = NULL")
        )
    await archive.react(1)

    assert await archive.doubts() == []


async def test_what_cannot_be_read_is_in_doubt_and_a_deletion_settles_it(archive) -> None:
    await archive.hear(doubts=(Doubt(HERE, MessageId(FIRST)),))
    assert await archive.doubts() == [FIRST]

    await archive.delete(FIRST)
    assert await archive.doubts() == []


async def test_content_that_is_withheld_does_not_empty_the_row(archive) -> None:
    await archive.see(message(FIRST, "content"))
    await archive.see(message(FIRST, ""))

    assert await archive.contents() == [("content", False)]


async def test_suppressed_people_stay_out_from_the_moment_of_the_suppression(archive) -> None:
    await SuppressionStore(archive.engine, archive.tenant.id).add(SuppressedKind.USER, "p:9f2c")

    with pytest.raises(RulesChangedError):
        await archive.see(message(FIRST))
    assert await archive.contents() == []

    archive.epoch, rules = await ListeningStore(archive.engine).open(archive.tenant, "f", NOON)
    assert rules.users == {"p:9f2c"}
    await archive.see(message(FIRST, is_suppressed=True), message(FIRST + 1, author_ref="other"))
    assert await archive.rows("SELECT anonymized_author_id FROM messages") == [("other",)]
    assert await archive.rows("SELECT platform_message_id FROM erased_messages") == [(FIRST,)]


async def test_every_change_of_the_rules_raises_the_epoch(archive) -> None:
    store = SuppressionStore(archive.engine, archive.tenant.id)
    seen = {archive.epoch}

    async def epoch() -> int:
        return int((await archive.rows("SELECT rules_epoch FROM tenant_listening"))[0][0])

    await store.add(SuppressedKind.CHANNEL, "77")
    seen.add(await epoch())
    await store.lift(SuppressedKind.CHANNEL, "77")
    seen.add(await epoch())
    await TenantStore(archive.engine).change_settings(archive.tenant.slug, {"max_age_s": 60})
    seen.add(await epoch())

    assert len(seen) == 4


async def test_an_earlier_holder_writes_nothing(archive) -> None:
    stale = replace(archive.lease, epoch=archive.lease.epoch - 1)
    batch = TenantBatch(
        archive.tenant.id, archive.epoch, LiveBatch(1, (MessageSeen(HERE, message(FIRST)),))
    )

    with pytest.raises(SessionTakenError):
        await LiveWriter(archive.engine).write(stale, POSITION, [batch])
    assert await archive.contents() == []


async def test_a_session_is_held_once_and_continued_by_the_next(archive) -> None:
    other = SessionStore(archive.engine)
    with pytest.raises(TailRunningError, match="has been listening with this token since"):
        await other.take("f")
    await archive.see(message(FIRST))

    sessions = SessionStore(archive.engine)
    lock, lease, position = await sessions.take("another")
    assert (lease.epoch, position) == (1, None)
    await sessions.release(lock)
    lock, lease, position = await sessions.take("another", shards=2)
    assert lease.epoch == 2
    await sessions.release(lock)


async def test_a_removed_tenant_takes_no_events(archive) -> None:
    await TenantStore(archive.engine).remove(archive.tenant.slug, is_held=True)

    with pytest.raises(RulesChangedError):
        await archive.see(message(FIRST))


async def test_identifies_are_counted_for_a_day(archive) -> None:
    sessions = SessionStore(archive.engine)
    await sessions.note_identify(archive.lease, 990)
    await set_back(archive, "gateway_identifies SET at")
    await sessions.note_identify(archive.lease, 989)

    ages_s = await sessions.identify_ages_s("f", 7_200.0)
    assert len(ages_s) == 2
    assert ages_s[0] > 3_000 > ages_s[1]
    state = await ListeningStore(archive.engine).state(archive.tenant.id)
    assert state is not None
    assert state.identifies_left == 989


async def test_what_is_heard_without_a_gap_is_on_record(archive) -> None:
    listening, ids = ListeningStore(archive.engine), [archive.tenant.id]
    await listening.begin(ids)
    begun = await listening.state(archive.tenant.id)
    await listening.interrupt(ids)
    cut = await listening.state(archive.tenant.id)
    await listening.beat(archive.tenant.id, 12, 340)
    again = await listening.state(archive.tenant.id)
    await listening.lose(ids)
    lost = await listening.state(archive.tenant.id)

    assert begun is not None
    assert begun.is_alive
    assert begun.listened_since is not None
    assert cut is not None
    assert cut.interrupted_at is not None
    assert again is not None
    assert again.interrupted_at is None
    assert (again.events_a_minute, again.lag_ms) == (12, 340)
    assert lost is not None
    assert (lost.listened_since, lost.settled_at, lost.gaps) == (None, None, 1)


async def test_channels_with_news_are_those_above_their_coverage(archive) -> None:
    listening = ListeningStore(archive.engine)
    await archive.read(message(FIRST))
    assert await listening.channels_with_news(archive.tenant.id) == []

    await archive.see(message(FIRST + 5))
    assert await listening.channels_with_news(archive.tenant.id) == [HERE]
