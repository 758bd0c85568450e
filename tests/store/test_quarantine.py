"""Messages that could not be read whole, in the real page statement; and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import WITHHELD, Attachment, Message, Reaction
from raysync.models.ids import ChannelId, MessageId
from raysync.models.records import QuarantinedMessage
from raysync.models.work import Claim, IdRange, PageReceipt, PageWrite
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.export import export_lines
from raysync.store.archive.forwards import WithoutCopies
from raysync.store.archive.pages import PostgresPages
from raysync.store.archive.quarantine import quarantine_of
from raysync.sync.channels.rescue import write_page
from tests.store.rows import NOON, add_channel, add_tenant, channel, message, page, task

CAT = Attachment(1, "cat.png", 2048, "image/png", "https://cdn/cat.png")
THUMB, PARTY = Reaction("👍", 2, 0), Reaction("🎉", 1, 0)


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
    with psycopg.connect(database_url, client_encoding="utf8") as session:
        session.execute("SET DateStyle = ISO")  # psycopg reads no other, and here it is preset
        return session.execute(query).fetchall()


def odd(message_id: int, *fields: str, **changes: Any) -> Message:
    return message(message_id, **({"content": ""} | changes), quarantine=fields)


async def test_it_is_marked_until_it_is_read_whole(
    engine: AsyncEngine, pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    tenant_id = claim.task.tenant_id
    await pages.save_page(claim, page(odd(10, "content"), message(11), odd(12, "flags", "type")))
    found = await quarantine_of(engine, tenant_id, most=1)

    assert (found.messages, found.channels) == (2, 1)
    assert found.first == (
        QuarantinedMessage(ChannelId(7), "general", MessageId(10), ("content",)),
    )
    receipt = await pages.save_page(claim, page(message(10), message(11), odd(12, "flags", "type")))
    assert receipt == PageReceipt(inserted=0, updated=1), "nobody edited it"
    assert (await quarantine_of(engine, tenant_id, most=9)).messages == 1
    assert _rows(database_url, "SELECT content FROM messages WHERE platform_message_id = 10") == [
        ("hello",)
    ]
    await pages.save_page(claim, replace(page(message(10), message(11)), gone=IdRange(1, 13)))
    assert (await quarantine_of(engine, tenant_id, most=9)).messages == 0, "it was deleted"


async def test_what_could_not_be_read_stays_as_it_is_stored(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    whole = message(
        10, "said", type=19, reply_to_id=MessageId(9), edited_at=NOON, attachments=(CAT,),
        reactions=(THUMB,), metadata=orjson.dumps({"flags": 4, "pinned": True}),
    )  # fmt: skip
    state = (
        "SELECT content, type, reply_to_id, edited_at, anonymized_author_id, metadata FROM messages"
    )
    await pages.save_page(claim, page(whole))
    before = _rows(database_url, state)
    fields = (
        "content", "type", "message_reference", "edited_timestamp", "author", "timestamp",
        "attachments", "reactions", "flags", "pinned",
    )  # fmt: skip
    dog = replace(CAT, id=2, filename="dog.png")
    nothing = odd(
        10, *fields, author_ref=None, created_at=NOON, attachments=(replace(CAT, size=0), dog),
        reactions=(replace(THUMB, count=0), PARTY), raw=b'{"odd":1}',
    )  # fmt: skip
    receipt = await pages.save_page(claim, page(nothing))

    assert receipt == PageReceipt(inserted=0, updated=1)
    assert _rows(database_url, state) == before
    assert _rows(database_url, "SELECT raw FROM messages") == [({"odd": 1},)]
    assert _rows(
        database_url, "SELECT filename, file_size FROM message_attachments ORDER BY 1"
    ) == [
        ("cat.png", 2048),
        ("dog.png", 2048),
    ]
    reactions = 'SELECT emoji, count FROM message_emoji_reactions ORDER BY emoji COLLATE "C"'
    assert _rows(database_url, reactions) == [("🎉", 1), ("👍", 2)]


async def test_where_nothing_of_the_payload_is_kept_all_stays_as_it_is_stored(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    state = "SELECT content, edited_at, metadata, raw, updated_at FROM messages"
    await pages.save_page(claim, page(message(10, "said", attachments=(CAT,), reactions=(THUMB,))))
    before = _rows(database_url, state)
    await pages.save_page(claim, page(odd(10, WITHHELD, raw=b"{}", metadata=b"{}")))

    assert [row[:-1] for row in _rows(database_url, state)] == [row[:-1] for row in before]
    assert _rows(database_url, "SELECT filename FROM message_attachments") == [("cat.png",)]
    assert _rows(database_url, "SELECT emoji FROM message_emoji_reactions") == [("👍",)]
    assert _rows(database_url, "SELECT quarantine FROM messages") == [([WITHHELD],)]


async def test_of_the_rest_an_edit_is_an_edit(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    versions = "SELECT content, edited_at FROM message_versions ORDER BY seen_at"
    later = NOON + timedelta(hours=1)
    await pages.save_page(claim, page(odd(10, "reactions", content="one")))
    await pages.save_page(claim, page(odd(10, "reactions", content="two", edited_at=NOON)))
    assert _rows(database_url, versions) == [("one", None)]
    await pages.save_page(claim, page(odd(10, "content", edited_at=later)))
    assert _rows(database_url, versions) == [("one", None), ("two", NOON)], "the time tells"
    await pages.save_page(claim, page(message(10, "three", edited_at=later)))
    assert [row[0] for row in _rows(database_url, versions)] == ["one", "two", "two"]
    await pages.save_page(claim, page(odd(11, "content", "edited_timestamp")))
    await pages.save_page(claim, page(message(11, "found", edited_at=later)))
    assert len(_rows(database_url, versions)) == 3


async def test_parts_that_come_twice_are_written_once(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    twice = message(
        10,
        attachments=(CAT, replace(CAT, filename="b")),
        reactions=(THUMB, replace(THUMB, count=3)),
    )
    await pages.save_page(claim, page(twice))

    assert _rows(database_url, "SELECT filename FROM message_attachments") == [("b",)]
    assert _rows(database_url, "SELECT count FROM message_emoji_reactions") == [(3,)]


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param({"reply_to_id": 2**63}, id="beyond-a-column"),
        pytest.param({"type": 2**31}, id="beyond-a-small-column"),
        pytest.param(
            {"reactions": (Reaction("".join(map(chr, range(0x4E00, 0x7000))), 1, 0),)},
            id="beyond-an-index-row",
        ),
        pytest.param({"raw": b"{no json"}, id="no-json"),
        pytest.param({"raw": b"[" * 100_000 + b"]" * 100_000}, id="beyond-the-servers-stack"),
        pytest.param({"content": None}, id="null"),
        pytest.param({"content": 10**30}, id="beyond-what-is-written"),
    ],
)
async def test_a_message_that_the_database_refuses_costs_its_payload_alone(
    engine: AsyncEngine,
    pages: PostgresPages,
    claim: Claim,
    database_url: str,
    poison: dict[str, Any],
) -> None:
    stored = [message(each, "before", attachments=(CAT,)) for each in (13, 16)]
    await pages.save_page(claim, page(*stored, message(15, "deleted since")))
    changes: dict[str, Any] = {"content": "x", **poison}
    whole = PageWrite(
        tuple(
            replace(message(each), **changes) if each in (13, 17) else message(each)
            for each in range(10, 20)
            if each != 15
        ),
        IdRange(5, 20),
        MessageId(19),
        gone=IdRange(5, 20),
    )

    receipt = await write_page(lambda some: pages.save_page(claim, some), whole)

    assert (receipt.inserted, receipt.deleted) == (7, 1)
    rows = _rows(
        database_url,
        "SELECT platform_message_id, content, quarantine, deleted_at IS NULL FROM messages"
        " ORDER BY 1",
    )
    plain = dict.fromkeys(range(10, 20), ("hello", None, True))
    assert {row[0]: row[1:] for row in rows} == plain | {
        13: ("before", [WITHHELD], True),
        15: ("deleted since", None, False),
        17: ("", [WITHHELD], True),
    }
    assert _rows(database_url, "SELECT coverage::text, resume_after FROM sync_progress") == [
        ("{[5,20)}", 19)
    ]
    assert _rows(database_url, "SELECT platform_message_id FROM message_attachments") == [(13,)]


async def test_a_page_that_is_refused_for_no_message_is_an_error(
    pages: PostgresPages, claim: Claim, database_url: str
) -> None:
    wrong: Any = "after"
    with pytest.raises(psycopg.Error):
        await write_page(
            lambda some: pages.save_page(claim, some), PageWrite((message(10),), None, wrong)
        )

    assert _rows(database_url, "SELECT count(*) FROM messages WHERE quarantine IS NOT NULL") == [
        (0,)
    ]


@pytest.mark.parametrize("size", [20 << 20])
async def test_a_message_of_20_mb_is_stored_whole(
    pages: PostgresPages, claim: Claim, database_url: str, size: int
) -> None:
    text = "a" * size
    raw = orjson.dumps({"id": "10", "content": text})
    await pages.save_page(claim, page(message(10, text, raw=raw), message(11)))

    lengths = "SELECT length(content), length(raw ->> 'content') FROM messages ORDER BY 1 DESC"
    assert _rows(database_url, lengths)[0] == (size, size)


async def test_an_export_tells_which_could_not_be_read_whole(
    engine: AsyncEngine, pages: PostgresPages, claim: Claim
) -> None:
    await pages.save_page(claim, page(message(10), odd(11, "type", "content")))
    blocks = [block async for block in export_lines(engine, claim.task.tenant_id)]
    lines = [json.loads(line) for line in b"".join(blocks).splitlines()]

    assert [each.pop("quarantine", None) for each in lines] == [None, ["type", "content"]]
    assert lines[0].keys() == lines[1].keys()


async def test_a_channel_that_the_database_refuses_costs_no_other(
    engine: AsyncEngine, database_url: str
) -> None:
    tenant = await add_tenant(engine)
    store = ChannelStore(engine, tenant.id)
    fine = {"id": "1"}
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    found = [channel(each, f"c{each}", metadata=fine) for each in range(1, 40)]
    found[7] = channel(8, "eight", metadata={"deep": deep})
    found[20] = channel(21, "twenty-one", metadata={"n": 10**30})
    await store.record([channel(21, "known before")])

    recorded = await store.record(found)

    assert recorded.keys() == {each.id for each in found}
    rows = _rows(database_url, "SELECT platform_channel_id, name, metadata FROM channels")
    stored = {row[0]: row[1:] for row in rows}
    withheld = {"id": "21", "type": 0, "withheld_by_raysync": True}
    assert stored[21] == ("known before", withheld)
    assert stored[8] == ("", withheld | {"id": "8"})
    assert {each: stored[each] for each in stored if each not in (8, 21)} == {
        each: (f"c{each}", fine) for each in range(1, 40) if each not in (8, 21)
    }


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, {"message_id": None}, {"message_id": "٣"}])
@pytest.mark.parametrize("more", ["x", "1.5", [], {}, True, 1.5, "9" * 400])
def test_what_copies_no_message_that_anybody_knows_stays(odd: Any, more: Any) -> None:
    without = WithoutCopies(frozenset({1, 3}))
    for reference in (odd, {"message_id": more}):
        payload = {"message_snapshots": [1], "message_reference": reference}
        quoting = {"referenced_message": payload}
        assert without.payload(payload) == payload
        assert without.payload(quoting) == quoting
    copy = {"message_snapshots": [1], "message_reference": {"message_id": "3"}}
    assert without.payload(copy)["message_snapshots"] == []
