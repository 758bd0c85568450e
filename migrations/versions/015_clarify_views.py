"""Clearer views: real replies, threads, forwards, and a comment on every column."""

from __future__ import annotations

from alembic import op

revision = "015_clarify_views"
down_revision = "014_add_key_checks"

_REPLY = 19
"""Type of a reply. Pins and thread starters refer to a message, too."""
_FORWARD = "1"
"""Type of a reference to a forwarded message."""


def _id(name: str) -> str:
    """Return the SQL of an id in a message's reference; null if it is none."""
    text = f"m.raw #>> '{{message_reference,{name}}}'"
    return f"CASE WHEN {text} ~ '^[0-8]?[0-9]{{1,18}}$' THEN ({text})::bigint END"


def _when_forward(value: str) -> str:
    kind = "m.raw #>> '{message_reference,type}'"
    return f"CASE WHEN m.metadata ? 'is_forward' AND {kind} = '{_FORWARD}' THEN {value} END"


_FROM = (
    "FROM messages m JOIN channels c ON c.id = m.channel_id JOIN tenants t ON t.id = c.tenant_id"
)
_BEFORE = f"""
    SELECT t.slug AS tenant, c.platform_channel_id AS channel_id, c.name AS channel,
        m.platform_message_id AS id, m.anonymized_author_id AS author, m.content, m.type,
        m.reply_to_id, m.platform_created_at AS created_at, m.edited_at, m.deleted_at
    {_FROM}
"""
_MESSAGES = f"""
    SELECT t.slug AS tenant, c.platform_channel_id AS channel_id, c.name AS channel,
        m.platform_message_id AS id, m.anonymized_author_id AS author, m.content, m.type,
        CASE WHEN m.type = {_REPLY} THEN m.reply_to_id END AS reply_to_id,
        m.platform_created_at AS created_at, m.edited_at, m.deleted_at,
        CASE WHEN m.type = {_REPLY} THEN {_id("channel_id")} END AS reply_to_channel_id,
        c.type IN (10, 11, 12) AS is_thread,
        {_when_forward(_id("message_id"))} AS forwarded_from,
        {_when_forward(_id("channel_id"))} AS forwarded_from_channel_id
    {_FROM}
"""

_TENANT = "Short name of the tenant"
_CHANNEL_ID = "Discord's id of the channel or thread in which the message stands"
_MESSAGE_ID = "Discord's id of the message; unique within its channel"
_COMMENTS = {
    "channels": (
        "One row a channel or category of a guild, without threads",
        {
            "tenant": _TENANT,
            "id": "Discord's id of the channel",
            "name": "Name of the channel",
            "type": "Discord's channel type: 0 text, 2 voice, 4 category, 5 announcement, 15 forum",
            "parent_id": "Discord's id of the category; null outside of categories",
            "deleted_at": "When the channel was found deleted on Discord; null: it exists",
        },
    ),
    "threads": (
        "One row a thread or forum post",
        {
            "tenant": _TENANT,
            "id": "Discord's id of the thread",
            "name": "Name of the thread",
            "type": "Discord's channel type: 10 announcement, 11 public, 12 private",
            "channel_id": "Discord's id of the channel that the thread belongs to",
            "channel": "Name of that channel; null where it is not stored",
            "deleted_at": "When the thread was found deleted on Discord; null: it exists",
        },
    ),
    "messages": (
        "One row a message, deleted ones included",
        {
            "tenant": _TENANT,
            "channel_id": _CHANNEL_ID,
            "channel": "Name of that channel or thread",
            "id": _MESSAGE_ID,
            "author": "Pseudonym of the author, or user id where the tenant is full; null: nobody",
            "content": "Text of the message as it was last seen",
            "type": "Discord's message type: 0 plain, 19 reply, others are mostly system messages",
            "reply_to_id": "Id of the message that this one answers; null: it is no reply",
            "created_at": "When the message was written",
            "edited_at": "When the message was last edited; null: never",
            "deleted_at": "When the message was found deleted on Discord; null: it exists",
            "reply_to_channel_id": "Channel of the message that this one answers",
            "is_thread": "Whether the message stands in a thread or forum post",
            "forwarded_from": "Id of the message that this one forwards; null: it is no forward",
            "forwarded_from_channel_id": "Channel of the message that this one forwards",
        },
    ),
    "message_versions": (
        "One row an earlier version of an edited message",
        {
            "tenant": _TENANT,
            "channel_id": _CHANNEL_ID,
            "message_id": _MESSAGE_ID,
            "content": "Text of the message before it was edited",
            "edited_at": "When this version was written; null: it is the first",
            "seen_at": "When this version was found to have been replaced",
        },
    ),
    "reactions": (
        "One row an emoji of a message, with how often it was given",
        {
            "tenant": _TENANT,
            "channel_id": _CHANNEL_ID,
            "message_id": _MESSAGE_ID,
            "emoji": "The character itself, or name:id of a custom emoji",
            "count": "How often the emoji was given, bursts included",
            "burst_count": "How often it was given as a burst (super reaction)",
        },
    ),
    "reactors": (
        "One row a person who gave an emoji; filled by runs with --reactors",
        {
            "tenant": _TENANT,
            "channel_id": _CHANNEL_ID,
            "message_id": _MESSAGE_ID,
            "emoji": "The character itself, or name:id of a custom emoji",
            "reactor": "Pseudonym of the person, or user id where the tenant is full",
        },
    ),
    "attachments": (
        "One row a file attached to a message",
        {
            "tenant": _TENANT,
            "channel_id": _CHANNEL_ID,
            "message_id": _MESSAGE_ID,
            "id": "Discord's id of the attachment",
            "filename": "Name of the file",
            "size": "Size of the file in bytes",
            "content_type": "Media type that Discord tells; null: none",
            "url": "Address at Discord's CDN, without the signature that opens it",
            "sha256": "SHA-256 of the stored bytes in hexadecimal; null: they are not stored",
            "blob_key": "Where the bytes are stored, below --attachments; null: they are not",
        },
    ),
}


def upgrade() -> None:
    op.execute(f"CREATE OR REPLACE VIEW analytics.messages WITH (security_invoker) AS {_MESSAGES}")
    for view, (comment, columns) in _COMMENTS.items():
        op.execute(f"COMMENT ON VIEW analytics.{view} IS {_quoted(comment)}")
        for column, meaning in columns.items():
            op.execute(f"COMMENT ON COLUMN analytics.{view}.{column} IS {_quoted(meaning)}")


def downgrade() -> None:
    for view, (_, columns) in _COMMENTS.items():
        op.execute(f"COMMENT ON VIEW analytics.{view} IS NULL")
        if view != "messages":
            for column in columns:
                op.execute(f"COMMENT ON COLUMN analytics.{view}.{column} IS NULL")
    op.execute("DROP VIEW analytics.messages")
    op.execute(f"CREATE VIEW analytics.messages WITH (security_invoker) AS {_BEFORE}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
