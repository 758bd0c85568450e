"""What a page leaves in the database, once and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ClaimLostError
from raysync.models.entities import Attachment, Reaction
from raysync.models.ids import MessageId
from raysync.models.work import Claim, IdRange, PageReceipt, PageWrite
from raysync.store.archive.pages import PostgresPages
from tests.hostile import plain_session
from tests.store.rows import NOON, add_channel, add_tenant, message, page, task


@pytest.fixture
def pages(engine: AsyncEngine) -> PostgresPages:
    return PostgresPages(engine)


@pytest.fixture
async def claim(engine: AsyncEngine, pages: PostgresPages) -> Claim:
    tenant = await add_tenant(engine)
    claimed = await pages.claim(task(tenant.id, await add_channel(engine, tenant.id)), "w1")
    assert claimed is not None
    return claimed


def _rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    with plain_session(database_url) as session:
        return session.execute(query.encode()).fetchall()


async def test_a_message_is_stored_with_all_it_has(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    full = message(
        10,
        'say "hi",\n\\N \x01\x02 👋\t',
        type=19,
        author_ref=None,
        reply_to_id=MessageId(9),
        edited_at=NOON,
        metadata=orjson.dumps({"flags": 4}),
        raw=orjson.dumps({"content": "\x01\x02\\", "n": 1.5}),
    )
    receipt = await pages.save_page(claim, page(full))
    stored = _rows(
        database_url,
        "SELECT platform_message_id, content, type, anonymized_author_id, reply_to_id,"
        " platform_created_at, edited_at, metadata, raw, tenant_id FROM messages",
    )

    assert receipt == PageReceipt(inserted=1, updated=0)
    assert stored == [
        (10, full.content, 19, None, 9, full.created_at, NOON, {"flags": 4},
         {"content": "\x01\x02\\", "n": 1.5}, claim.task.tenant_id)
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["", "\\.", "\x01", "\x02\x02", "a\r\nb", "NULL", "\\N"])
async def test_content_comes_back_as_it_was(
    pages: PostgresPages, claim: Claim, database_url: str, content: str
) -> None:
    await pages.save_page(claim, page(message(10, content)))

    assert _rows(database_url, "SELECT content FROM messages") == [(content,)]


async def test_what_postgres_cannot_keep_becomes_a_replacement_character(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    odd = message(
        10,
        "nul \x00 half \ud83d end",
        raw=rb'{"a": "x\u0000y", "b": "\ud83d\ude00", "c": "\ud83d!", "d": "\\u0000"}',
        reactions=(Reaction("\x00", 1, 0),),
    )
    await pages.save_page(claim, page(odd))
    expected = {"a": "x\ufffdy", "b": "😀", "c": "\ufffd!", "d": "\\u0000"}

    assert _rows(database_url, "SELECT content, raw FROM messages") == [
        ("nul \ufffd half \ufffd end", expected)
    ]
    assert _rows(database_url, "SELECT emoji FROM message_emoji_reactions") == [("\ufffd",)]


async def test_the_same_page_again_changes_nothing(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    same = page(message(10, reactions=(Reaction("👍", 2, 0),)), message(11))
    await pages.save_page(claim, same)
    before = _rows(database_url, "SELECT ctid::text, updated_at FROM messages")
    receipt = await pages.save_page(claim, same)

    assert receipt == PageReceipt(inserted=0, updated=0)
    assert _rows(database_url, "SELECT ctid::text, updated_at FROM messages") == before
    assert _rows(database_url, "SELECT message_count FROM sync_progress") == [(2,)]


async def test_an_edit_keeps_what_the_message_said_before(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10, "first"), message(11, "untouched")))
    await pages.save_page(claim, page(message(10, "second", edited_at=NOON)))
    later = NOON + timedelta(hours=1)
    receipt = await pages.save_page(claim, page(message(10, "third", edited_at=later)))

    assert receipt == PageReceipt(inserted=0, updated=1, edited=1)
    assert _rows(
        database_url,
        "SELECT platform_message_id, content, edited_at FROM message_versions ORDER BY seen_at",
    ) == [(10, "first", None), (10, "second", NOON)]
    assert _rows(database_url, "SELECT content FROM messages ORDER BY 1") == [
        ("third",),
        ("untouched",),
    ]


async def test_a_page_that_is_written_again_while_its_first_try_runs_keeps_one_version(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10, "first"), message(11, "untouched")))
    edited = page(message(10, "second", edited_at=NOON), message(11, "untouched"))
    async with await psycopg.AsyncConnection.connect(database_url) as holder:
        await holder.execute("SELECT FROM sync_progress FOR UPDATE")
        tries = [asyncio.create_task(pages.save_page(claim, edited)) for _ in range(2)]
        await _until_waiting(database_url, len(tries))
    receipts = await asyncio.gather(*tries)

    assert sorted(each.edited for each in receipts) == [0, 1]
    assert sorted(each.updated for each in receipts) == [0, 1]
    assert _rows(database_url, "SELECT content FROM message_versions") == [("first",)]


async def _until_waiting(database_url: str, number: int) -> None:
    """Until so many statements wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with (
        asyncio.timeout(30),
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as session,
    ):
        while await (await session.execute(waiting)).fetchone() != (number,):
            pass


async def test_a_change_beside_the_content_is_an_update_and_no_version(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10)))
    pinned = message(10, metadata=orjson.dumps({"pinned": True}))
    receipt = await pages.save_page(claim, page(pinned))

    assert receipt == PageReceipt(inserted=0, updated=1)
    assert _rows(database_url, "SELECT count(*) FROM message_versions") == [(0,)]


async def test_reactions_become_those_of_the_page(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    def reacted(*reactions: Reaction) -> PageWrite:
        return page(message(10, reactions=reactions), message(11))

    async def stored() -> Sequence[tuple[Any, ...]]:
        return _rows(
            database_url,
            "SELECT platform_message_id, emoji, count, burst_count"
            ' FROM message_emoji_reactions ORDER BY emoji COLLATE "C"',
        )

    await pages.save_page(claim, reacted(Reaction("👍", 2, 1), Reaction("blob:5", 1, 0)))
    assert await stored() == [(10, "blob:5", 1, 0), (10, "👍", 2, 1)]
    await pages.save_page(claim, reacted(Reaction("👍", 3, 1), Reaction("🎉", 1, 0)))
    assert await stored() == [(10, "🎉", 1, 0), (10, "👍", 3, 1)]
    await pages.save_page(claim, reacted())
    assert await stored() == []


async def test_attachments_become_those_of_the_page(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    cat = Attachment(1, "cat.png", 2048, "image/png", "https://cdn/cat.png")
    dog = Attachment(2, "dog\x01.bin", 5_000_000_000, None, "https://cdn/dog")
    query = (
        "SELECT platform_attachment_id, filename, file_size, content_type, url"
        " FROM message_attachments ORDER BY 1"
    )
    await pages.save_page(claim, page(message(10, attachments=(cat, dog))))
    assert _rows(database_url, query) == [
        (1, "cat.png", 2048, "image/png", "https://cdn/cat.png"),
        (2, "dog\x01.bin", 5_000_000_000, None, "https://cdn/dog"),
    ]
    await pages.save_page(claim, page(message(10, attachments=(replace(dog, filename="d"),))))
    assert [row[:2] for row in _rows(database_url, query)] == [(2, "d")]


async def test_messages_outside_the_page_keep_their_parts(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    liked = (Reaction("👍", 1, 0),)
    await pages.save_page(claim, page(*(message(i, reactions=liked) for i in (10, 15, 20))))
    await pages.save_page(claim, page(message(10), message(20)))

    assert _rows(database_url, "SELECT platform_message_id FROM message_emoji_reactions") == [(15,)]


async def test_a_message_that_is_there_again_is_no_longer_deleted(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10)))
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE messages SET deleted_at = now()")

    assert await pages.save_page(claim, page(message(10))) == PageReceipt(0, 1)
    assert _rows(database_url, "SELECT deleted_at FROM messages") == [(None,)]


async def test_coverage_and_checkpoint_go_with_the_page(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10), message(20), covered=IdRange(0, 21)))
    await pages.save_page(claim, page(message(40), covered=IdRange(30, 41)))
    await pages.save_page(claim, page(covered=IdRange(21, 30)))

    assert _rows(
        database_url,
        "SELECT coverage::text, last_synced_message_id, resume_after, message_count"
        " FROM sync_progress",
    ) == [("{[0,41)}", 40, 40, 3)]


async def test_a_page_that_proves_nothing_covers_nothing(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, PageWrite((message(10),), None, None))

    assert _rows(database_url, "SELECT coverage::text, resume_after FROM sync_progress") == [
        ("{}", None)
    ]


async def test_a_page_that_fails_leaves_nothing_behind(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    broken = message(11, raw=b"{not json")
    with pytest.raises(psycopg.DataError):
        await pages.save_page(claim, page(message(10), broken))

    assert _rows(database_url, "SELECT count(*) FROM messages") == [(0,)]
    assert _rows(database_url, "SELECT coverage::text FROM sync_progress") == [("{}",)]
    assert await pages.save_page(claim, page(message(10))) == PageReceipt(1, 0)


async def test_a_message_twice_in_a_page_is_stored_once(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    receipt = await pages.save_page(claim, page(message(10, "old"), message(10, "new")))

    assert receipt == PageReceipt(1, 0)
    assert _rows(database_url, "SELECT content FROM messages") == [("new",)]


async def _deleted(database_url: str) -> list[int]:
    query = (
        "SELECT platform_message_id FROM messages WHERE deleted_at IS NOT NULL "
        "ORDER BY platform_message_id"
    )
    return [row[0] for row in _rows(database_url, query)]


async def test_what_a_page_misses_where_it_tells_all_is_marked_and_kept(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(*(message(each) for each in (10, 20, 30, 40))))
    again = replace(page(message(10), message(30)), gone=IdRange(0, 40))
    receipt = await pages.save_page(claim, again)
    repeated = await pages.save_page(claim, again)

    assert receipt == PageReceipt(inserted=0, updated=0, deleted=1)
    assert repeated == PageReceipt(inserted=0, updated=0)
    assert await _deleted(database_url) == [20]
    assert _rows(database_url, "SELECT count(*), count(content) FROM messages") == [(4, 4)]


async def test_a_page_that_proves_a_range_empty_marks_all_of_it(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10), message(20), message(30)))
    receipt = await pages.save_page(
        claim, PageWrite((), IdRange(11, 50), None, gone=IdRange(11, 50))
    )

    assert receipt.deleted == 2
    assert await _deleted(database_url) == [20, 30]


async def test_a_page_that_tells_of_no_range_marks_nothing(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10), message(20)))
    await pages.save_page(claim, page(message(10)))

    assert await _deleted(database_url) == []


async def test_a_message_that_is_there_again_is_no_longer_marked(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10), message(20)))
    await pages.save_page(claim, replace(page(message(10)), gone=IdRange(0, 30)))
    receipt = await pages.save_page(claim, page(message(20)))

    assert receipt.updated == 1
    assert await _deleted(database_url) == []


async def test_a_lost_claim_marks_nothing(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10)))
    late = replace(claim, epoch=claim.epoch - 1)
    with pytest.raises(ClaimLostError):
        await pages.save_page(late, PageWrite((), None, None, gone=IdRange(0, 99)))

    assert await _deleted(database_url) == []


async def test_an_edit_keeps_the_whole_earlier_message(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    first = message(10, "", raw=orjson.dumps({"components": ["before"]}))
    second = message(10, "", raw=orjson.dumps({"components": ["after"]}), edited_at=NOON)
    await pages.save_page(claim, page(first))
    receipt = await pages.save_page(claim, page(second))

    assert receipt == PageReceipt(inserted=0, updated=1, edited=1)
    assert _rows(database_url, "SELECT content, edited_at, raw FROM message_versions") == [
        ("", None, {"components": ["before"]})
    ]


async def test_text_that_vanishes_without_an_edit_is_kept(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    await pages.save_page(claim, page(message(10, "what somebody said"), message(20, "again")))
    withheld = message(10, "", raw=b'{"content":""}')
    edited = message(20, "", edited_at=NOON)
    receipt = await pages.save_page(claim, page(withheld, edited))

    assert receipt == PageReceipt(inserted=0, updated=1, edited=1)
    assert _rows(database_url, "SELECT content FROM messages ORDER BY platform_message_id") == [
        ("what somebody said",),
        ("",),
    ]


async def test_files_of_a_message_that_comes_empty_without_an_edit_are_kept(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    cat = Attachment(77, "cat.png", 10, "image/png", "https://cdn/cat")
    files = "SELECT platform_message_id, blob_key FROM message_attachments ORDER BY 1"
    await pages.save_page(
        claim,
        page(
            message(10, "look", attachments=(cat,)),
            message(20, "", attachments=(replace(cat, id=78),), raw=b'{"attachments":[{}]}'),
            message(30, "look", attachments=(replace(cat, id=79),)),
        ),
    )
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE message_attachments SET blob_key = 'kept'")

    edited = message(30, "", edited_at=NOON)
    receipt = await pages.save_page(
        claim, page(message(10, ""), message(20, "", raw=b'{"attachments":[]}'), edited)
    )

    assert receipt == PageReceipt(inserted=0, updated=1, edited=1)
    assert _rows(database_url, files) == [(10, "kept"), (20, "kept")]
    assert _rows(database_url, "SELECT raw FROM messages WHERE platform_message_id = 20") == [
        ({"attachments": [{}]},)
    ]


@pytest.mark.parametrize(
    ("before", "flags", "is_kept"),
    [
        pytest.param({"embeds": [{"title": "news"}]}, 0, True, id="embeds"),
        pytest.param({"embeds": [{"title": "news"}]}, 4, False, id="embeds-that-were-hidden"),
        pytest.param({"components": [{"type": 10}]}, 0, True, id="components"),
        pytest.param({"poll": {"question": {}}}, 0, True, id="poll"),
        pytest.param({"sticker_items": [{"id": "5"}]}, 0, False, id="what-is-never-withheld"),
    ],
)
async def test_a_payload_that_comes_empty_without_an_edit_is_kept(
    pages: PostgresPages, claim: Claim, database_url: str, before: dict, flags: int, is_kept: bool
) -> None:
    empty = {"embeds": [], "components": []}
    await pages.save_page(claim, page(message(10, "", raw=orjson.dumps(empty | before))))
    metadata = orjson.dumps({"flags": flags, "pinned": False})
    await pages.save_page(claim, page(message(10, "", raw=orjson.dumps(empty), metadata=metadata)))

    ((raw,),) = _rows(database_url, "SELECT raw FROM messages")
    assert raw == (empty | before if is_kept else empty)


async def test_the_original_of_replaced_text_comes_back_as_it_was(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    original = json.dumps({"content": "a\x00b\ud800"})
    odd = message(10, "a\ufffdb\ufffd", metadata=orjson.dumps({"original": original}))
    await pages.save_page(claim, page(odd))
    ((stored,),) = _rows(database_url, "SELECT metadata ->> 'original' FROM messages")

    assert json.loads(stored) == {"content": "a\x00b\ud800"}
