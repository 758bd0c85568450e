"""The tables of messages and what belongs to them.

Everything of one channel lies together: `messages` and its children are keyed by our own channel
key and Discord's message id, with no surrogate id. Snowflakes grow with time, so a page of a
channel lands at the end of that channel's part of the index; a surrogate would cost one more
index, 8 bytes in each child row, and a look-up before any child could be written.

Nor do `messages` and its children have foreign keys: they are written by page transactions alone,
which hold the row lock of the channel's `sync_progress`. They are removed by `TenantStore.remove`,
which takes the same locks, and by erasure, which holds the tenant so that nothing is synced. The
triggers of such keys would cost 0.7 ms per plain page of 100, and 3.3 ms where there are reactions
and attachments.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from raysync.store.schema.columns import Moment, created_at, metadata, updated_at

messages = Table(
    "messages",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant_id", BigInteger, nullable=False),
    Column("anonymized_author_id", Text),
    Column("content", Text, nullable=False),
    Column("type", Integer, nullable=False),
    Column("reply_to_id", BigInteger),  # kept even where the parent is absent
    Column("platform_created_at", Moment, nullable=False),
    Column("edited_at", Moment),
    Column("deleted_at", Moment),
    Column("metadata", JSONB, nullable=False),
    Column("raw", JSONB, nullable=False),
    created_at(),
    updated_at(),
    Column("quarantine", ARRAY(Text)),  # fields that could not be read; null: all could
    Index(
        "ix_messages_quarantine",
        "tenant_id",
        "channel_id",
        "platform_message_id",
        postgresql_where=text("quarantine IS NOT NULL"),
    ),
    # what was deleted on Discord and may have to be emptied some day; see store.purge
    Index(
        "ix_messages_deleted",
        "tenant_id",
        "deleted_at",
        postgresql_where=text("deleted_at IS NOT NULL AND raw <> '{}'::jsonb"),
    ),
)

message_versions = Table(
    "message_versions",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seen_at", Moment, primary_key=True),  # when it was found to have been replaced
    Column("content", Text, nullable=False),
    Column("edited_at", Moment),
    Column("raw", JSONB),  # null: kept by a version that did not keep it
)

thread_listings = Table(
    "thread_listings",
    metadata,
    Column(
        "channel_id",
        BigInteger,
        ForeignKey("channels.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("is_private", Boolean, primary_key=True),
    # every thread archived before it was seen, and read to its end
    Column("archived_until", Moment, nullable=False),
    updated_at(),
)

message_emoji_reactions = Table(
    "message_emoji_reactions",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("emoji", Text, primary_key=True),
    # '' is the count of all reactors; a pseudonym where reactors are read one by one
    Column("anonymized_user_id", Text, primary_key=True, server_default=""),
    Column("count", Integer, nullable=False),
    Column("burst_count", Integer, nullable=False),
    # of the row that counts all: what it said when the reactors were read; null: never
    Column("read_count", Integer),
    Column("read_burst_count", Integer),
    created_at(),
    updated_at(),
)

message_attachments = Table(
    "message_attachments",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_attachment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("filename", Text, nullable=False),
    Column("file_size", BigInteger, nullable=False),
    Column("content_type", Text),
    Column("url", Text, nullable=False),  # without its signature
    Column("sha256", LargeBinary),  # both only where the bytes are stored
    Column("blob_key", Text),
    Column("blob_error", Text),  # why the last attempt at the bytes failed
    Column("blob_attempts", Integer, nullable=False, server_default="0"),
    Column("blob_retry_at", Moment),  # not before
    created_at(),
    updated_at(),
)
