"""What the views for analysts say: real replies, threads, forwards; and that each says so."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import Message
from raysync.models.ids import MessageId
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from tests.store.rows import add_tenant, channel, message, page, task

CHANNEL, THREAD, ELSEWHERE = 7, 100, 99


def referring(message_id: int, kind: int, to: dict[str, Any], **changes: Any) -> Message:
    """A message of a type that refers to another one, as the adapter makes it."""
    replied = to.get("message_id") if to.get("type", 0) == 0 else None
    metadata = {"is_forward": True} if to.get("type") == 1 else {}
    return message(
        message_id,
        type=kind,
        reply_to_id=MessageId(int(replied)) if replied is not None else None,
        metadata=orjson.dumps(metadata),
        raw=orjson.dumps({"message_reference": to}),
        **changes,
    )


@pytest.fixture
async def stored(engine: AsyncEngine) -> None:
    tenant = await add_tenant(engine)
    kept = await ChannelStore(engine, tenant.id).record(
        [channel(CHANNEL), channel(THREAD, "a thread", type=11, parent_id=CHANNEL)]
    )
    pages = PostgresPages(engine)
    in_channel = page(
        message(100),
        referring(101, 19, {"type": 0, "message_id": "100", "channel_id": str(CHANNEL)}),
        referring(102, 6, {"type": 0, "message_id": "100", "channel_id": str(CHANNEL)}),
        referring(103, 0, {"type": 1, "message_id": "55", "channel_id": str(ELSEWHERE)}),
        referring(104, 0, {"type": 1, "message_id": "none", "channel_id": "9" * 19}),
        message(105, type=19, raw=orjson.dumps({"message_reference": [1]})),
    )
    # the starter of a thread has the thread's id, and refers to the message of the same id
    in_thread = page(referring(100, 21, {"message_id": "100", "channel_id": str(CHANNEL)}))
    for channel_id, content in ((CHANNEL, in_channel), (THREAD, in_thread)):
        claim = await pages.claim(task(tenant.id, kept[channel_id]), "w1")
        assert claim is not None
        await pages.save_page(claim, content)


@pytest.mark.usefixtures("stored")
def test_replies_are_replies_and_forwards_name_their_source(database_url: str) -> None:
    with psycopg.connect(database_url) as session:
        rows = session.execute(
            "SELECT channel_id, id, reply_to_id, reply_to_channel_id, is_thread, forwarded_from,"
            " forwarded_from_channel_id FROM analytics.messages ORDER BY channel_id, id"
        ).fetchall()

    assert rows == [
        (CHANNEL, 100, None, None, False, None, None),
        (CHANNEL, 101, 100, CHANNEL, False, None, None),
        (CHANNEL, 102, None, None, False, None, None),
        (CHANNEL, 103, None, None, False, 55, ELSEWHERE),
        (CHANNEL, 104, None, None, False, None, None),
        (CHANNEL, 105, None, None, False, None, None),
        (THREAD, 100, None, None, True, None, None),
    ]


@pytest.mark.usefixtures("stored")
def test_a_tree_of_replies_comes_to_an_end(database_url: str) -> None:
    with psycopg.connect(database_url) as session:
        session.execute("SET statement_timeout = '5s'")
        rows = session.execute(
            "WITH RECURSIVE tree (channel_id, id, depth) AS ("
            " SELECT channel_id, id, 0 FROM analytics.messages WHERE reply_to_id IS NULL"
            " UNION ALL SELECT m.channel_id, m.id, tree.depth + 1 FROM tree"
            " JOIN analytics.messages m"
            " ON m.reply_to_id = tree.id AND m.reply_to_channel_id = tree.channel_id)"
            " SELECT id, depth FROM tree WHERE depth > 0"
        ).fetchall()

    assert rows == [(101, 1)]


def test_every_view_and_column_says_what_it_is(database_url: str) -> None:
    with psycopg.connect(database_url) as session:
        silent = session.execute(
            "SELECT c.relname, a.attname FROM pg_class c"
            " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'"
            " AND (obj_description(c.oid) IS NULL OR col_description(c.oid, a.attnum) IS NULL)"
        ).fetchall()

    assert silent == []
