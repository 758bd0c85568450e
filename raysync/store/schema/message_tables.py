"""Tables of messages, their versions, reactions and attachments, and of lists of threads.

Rows of one channel lie together: `messages` and its children are keyed by the channel's own key and
Discord's message id, with no surrogate id. Snowflakes grow with time, so a page lands at the end of
its channel's part of the index. A surrogate would cost one more index, 8 bytes in each child row,
and a look-up before any child could be written.

`messages` and its children have no foreign keys either. Only page transactions write them, which
hold the row lock of the channel's `sync_progress`. `TenantStore.remove` deletes them under the same
locks, and erasure holds the tenant, so nothing is synced meanwhile. The triggers of foreign keys
would cost 0.7 ms per plain page of 100, and 3.3 ms with reactions and attachments.
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
    Column("reply_to_id", BigInteger),  # kept even if the parent is absent
    Column("platform_created_at", Moment, nullable=False),
    Column("edited_at", Moment),
    Column("deleted_at", Moment),
    Column("metadata", JSONB, nullable=False),
    Column("raw", JSONB, nullable=False),
    created_at(),
    updated_at(),
    Column("quarantine", ARRAY(Text)),  # fields that could not be read; null: none
    Column("live_at", Moment),  # last event of the gateway; a page requested before it is older
    Index(
        "ix_messages_quarantine",
        "tenant_id",
        "channel_id",
        "platform_message_id",
        postgresql_where=text("quarantine IS NOT NULL"),
    ),
    # messages deleted on Discord that a purge may have to empty; see `store/privacy/purge.py`
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
    Column("seen_at", Moment, primary_key=True),  # when the edit was found
    Column("content", Text, nullable=False),
    Column("edited_at", Moment),
    Column("raw", JSONB),  # null: written by an earlier version
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
    # watermark: threads archived before it were listed and read to their ends
    Column("archived_until", Moment),
    # See `sync/planning/due.py`.
    Column("compared_at", Moment),
    Column("last_message_id", BigInteger),
    Column("routes", Text, nullable=False, server_default=""),
    Column("missing_threads", ARRAY(BigInteger), nullable=False, server_default=text("'{}'")),
    updated_at(),
)

message_emoji_reactions = Table(
    "message_emoji_reactions",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("emoji", Text, primary_key=True),
    # '' for the row that counts all reactors; else one reactor's pseudonym or id
    Column("anonymized_user_id", Text, primary_key=True, server_default=""),
    Column("count", Integer, nullable=False),
    Column("burst_count", Integer, nullable=False),
    # in the row that counts all: its counts when the reactors were read; null: never
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
    Column("url", Text, nullable=False),  # without the signature
    Column("sha256", LargeBinary),  # both only if the bytes are stored
    Column("blob_key", Text),
    Column("blob_error", Text),  # why the last download failed
    Column("blob_attempts", Integer, nullable=False, server_default="0"),
    Column("blob_retry_at", Moment),  # earliest time of the next download
    created_at(),
    updated_at(),
)
