"""The columns of a page: each is named once, and none is forgotten."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import UTC, datetime

import orjson
import pytest

from raysync.models.entities import Attachment, Message, Reaction
from raysync.models.ids import MessageId
from raysync.store.archive.page_columns import ATTACHMENT, MESSAGE, PARTS, REACTION, PageColumns
from raysync.store.archive.page_rows import page_json
from raysync.store.archive.page_statement import NUMBERED_PAGE, PAGE, PAGE_VALUES

BY_THE_STATEMENT = {
    "messages": {
        "channel_id", "tenant_id", "deleted_at", "created_at", "updated_at",
        # written by the tail
        "live_at",
    },
    "message_emoji_reactions": {
        "channel_id", "platform_message_id", "created_at", "updated_at",
        # written with the reactors
        "anonymized_user_id", "read_count", "read_burst_count",
    },
    "message_attachments": {
        "channel_id", "platform_message_id", "created_at", "updated_at",
        # written with the file's bytes
        "sha256", "blob_key", "blob_error", "blob_attempts", "blob_retry_at",
    },
}  # fmt: skip
"""Columns that a page's statement sets without the page's JSON, or leaves to other statements."""

REACTION_ROW = Reaction("🎉", 2, 1)
FILE_ROW = Attachment(9, "a\x00.txt", 3, None, "https://cdn.example/a.txt")
MESSAGE_ROW = Message(
    id=MessageId(5),
    type=0,
    content="hello",
    author_ref="p1",
    reply_to_id=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    edited_at=None,
    metadata=b"{}",
    raw=b"{}",
    attachments=(FILE_ROW,),
    reactions=(REACTION_ROW,),
    quarantine=("type",),
)


@pytest.mark.parametrize("columns", [MESSAGE, REACTION, ATTACHMENT], ids=lambda c: c.table.name)
def test_every_column_is_written_or_named_as_left_out(columns: PageColumns) -> None:
    written = set(columns.by_key.values())
    left_out = BY_THE_STATEMENT[columns.table.name]

    assert written | left_out == {column.name for column in columns.table.columns}
    assert not written & left_out


def test_a_row_has_the_keys_that_the_statement_declares() -> None:
    (row,) = orjson.loads(page_json([MESSAGE_ROW]))

    assert row.keys() == {*MESSAGE.by_key, *PARTS}
    assert row["reactions"] == [asdict(REACTION_ROW)]
    assert [field.name for field in fields(Reaction)] == list(REACTION.by_key)
    assert [field.name for field in fields(Attachment)] == list(ATTACHMENT.by_key)


def test_a_value_that_postgresql_cannot_store_is_replaced_in_a_message_and_its_parts() -> None:
    odd = replace(MESSAGE_ROW, content="half \ud83d of a pair")

    (row,) = orjson.loads(page_json([odd]))

    assert row["content"] == "half \ufffd of a pair"
    assert row["attachments"][0]["filename"] == "a\ufffd.txt"
    assert row["quarantine"] == ["type"]


def test_every_parameter_has_a_number() -> None:
    assert "%(" not in NUMBERED_PAGE
    assert all(f"%({name})s" in PAGE for name in PAGE_VALUES)


def test_the_keys_of_a_plain_row_come_in_the_order_of_jsonb() -> None:
    plain = replace(MESSAGE_ROW, attachments=(), reactions=(), quarantine=())

    (row,) = orjson.loads(page_json([plain]))

    assert list(row) == sorted(row, key=lambda key: (len(key), key))
    assert not row.keys() & {*PARTS, "quarantine"}
