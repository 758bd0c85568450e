"""Discord's payloads as our models: the only place that knows both.

Text that PostgreSQL cannot keep (U+0000, half a surrogate pair) becomes U+FFFD throughout: one
such character in one message must not refuse a page for ever. The message's metadata says so
(``"replaced_text": true``) and has the whole payload as JSON text in which those characters are
escapes (``original``), so nothing is lost. Everything else of a payload is in ``raw`` as it came,
keys and types unknown to us included, but for what privacy and the CDN's passing signatures take
out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from raysync.discord_api.privacy import Identities
from raysync.errors import PayloadError
from raysync.models.entities import (
    Attachment,
    BotMember,
    Channel,
    Guild,
    Message,
    Overwrite,
    Reaction,
    Role,
    ThreadState,
)
from raysync.models.ids import MAX_SNOWFLAKE, ChannelId, GuildId, MessageId, UserId
from raysync.models.privacy import is_ref

Payload = Mapping[str, Any]

_UNREADABLE: Final = (
    KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError
)  # fmt: skip
"""What comes of taking a payload for what it is not."""
_INT4: Final = 1 << 31
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"
_MARK: Final = "\ufdd0"
"""A code point that Unicode reserves for a program's own use, never for text."""
_MARKED: Final = re.compile(f"{_MARK}([0-9a-f]{{4}}){_MARK}")
_NUL: Final = b"\\u0000"
_REPLY: Final = 0
"""The type of a reference to a message that is answered; 1 is a forward."""
_MEMBER: Final = 1
_CONTENTS: Final = (
    "content", "embeds", "attachments", "components", "poll", "sticker_items", "stickers",
    "message_snapshots", "activity", "call", "soundboard_sounds", "gift_info", "potions",
    "purchase_notification", "role_subscription_data", "shared_client_theme",
)  # fmt: skip
_USER_WRITTEN: Final = frozenset({0, 19, 20, 23})
"""Types whose text somebody wrote: plain, reply, and the two kinds of command."""
_EMPTIED: Final = 1 << 2 | 1 << 7
"""Flags of messages whose embeds were hidden, and of answers that a bot still owes."""


def message_from(payload: Payload, identities: Identities) -> Message:
    """One message. Raises PayloadError where what Discord always sends is missing."""
    try:
        try:
            kept, raw = identities.scrub(payload)
        except TypeError:  # orjson's: half a surrogate pair
            return _message_replaced(payload, identities)
        if _NUL in raw and _is_unstorable(kept):
            return _message_replaced(payload, identities)
        return _message(payload, kept, raw, identities)
    except _UNREADABLE as error:
        raise PayloadError(
            f"A message is not what Discord documents ({type(error).__name__})."
        ) from None


def _message_replaced(payload: Payload, identities: Identities) -> Message:
    storable: Payload = _storable(payload, _REPLACEMENT)
    kept, raw = identities.scrub(storable)
    return _message(storable, kept, raw, identities, original_text(payload, identities))


def original_text(payload: Payload, identities: Identities) -> str:
    """*payload* as JSON text, without people, in which what cannot be kept is an escape."""
    _, marked = identities.scrub(_storable(payload, _marked))
    return _MARKED.sub(lambda found: rf"\u{found[1]}", marked.decode())


def _marked(found: re.Match[str]) -> str:
    """What cannot be kept, as text that is scrubbed like any other and found again."""
    return f"{_MARK}{ord(found[0]):04x}{_MARK}"


def _message(
    payload: Payload,
    kept: Payload,
    raw: bytes,
    identities: Identities,
    original: str | None = None,
) -> Message:
    author, reference = payload.get("author"), kept.get("message_reference")
    is_reply = reference is not None and reference.get("type", _REPLY) == _REPLY
    replied_id = reference.get("message_id") if is_reply and reference is not None else None
    if isinstance(replied_id, str) and is_ref(replied_id):  # it was somebody's id
        replied_id = None
    edited_at, attachments = payload["edited_timestamp"], kept.get("attachments")
    reactions = kept.get("reactions")
    author_ref = None if author is None else identities.author_ref(_text(author["id"]))
    if author_ref is not None and identities.is_suppressed(author_ref):
        return _suppressed(payload, author_ref)
    return Message(
        id=MessageId(_snowflake(payload["id"])),
        type=_small(payload["type"]),
        content=_text(kept["content"]),
        author_ref=author_ref,
        reply_to_id=None if replied_id is None else MessageId(_snowflake(replied_id)),
        created_at=_moment(payload["timestamp"]),
        edited_at=None if edited_at is None else _moment(edited_at),
        metadata=_metadata(payload, kept, original),
        raw=raw,
        attachments=tuple(map(_attachment, attachments)) if attachments else (),
        reactions=tuple(map(_reaction, reactions)) if reactions else (),
        is_blank=not kept["content"] and _is_blank(payload),
        may_be_empty=_may_be_empty(payload),
        forwards=_forwarded(payload) if identities.keeps_out else (),
    )


def _suppressed(payload: Payload, author_ref: str) -> Message:
    """That there is such a message, and nothing of what it says."""
    return Message(
        id=MessageId(_snowflake(payload["id"])),
        type=_small(payload["type"]),
        content="",
        author_ref=author_ref,
        reply_to_id=None,
        created_at=_moment(payload["timestamp"]),
        edited_at=None,
        metadata=b"{}",
        raw=b"{}",
        is_blank=_is_blank(payload),
        may_be_empty=_may_be_empty(payload),
        is_suppressed=True,
    )


def _forwarded(payload: Payload) -> tuple[MessageId, ...]:
    """Which messages are copied into this one, or into its quote; not said is whose they are."""
    quoted = payload.get("referenced_message")
    sources = _forwarded(quoted) if quoted else ()
    source = (payload.get("message_reference") or {}).get("message_id")
    if payload.get("message_snapshots") and source:
        return (MessageId(int(source)), *sources)
    return sources


def _is_blank(payload: Payload) -> bool:
    """Whether somebody wrote it and nothing is in it: so messages come without the intent."""
    return payload["type"] in _USER_WRITTEN and not any(map(payload.get, _CONTENTS))


def _may_be_empty(payload: Payload) -> bool:
    """Whether it says nothing of the intent: nobody wrote it, or with the intent it is empty, too.

    Of a forward, what it copies is withheld, and that there is a copy is not.
    """
    flags = payload.get("flags")
    is_emptied = isinstance(flags, int) and bool(flags & _EMPTIED)
    is_forward = bool(payload.get("message_snapshots"))
    return payload["type"] not in _USER_WRITTEN or is_emptied or is_forward


def _metadata(payload: Payload, kept: Payload, original: str | None) -> bytes:
    flags = kept.get("flags", 0)
    metadata: dict[str, Any] = {
        "author": _author_kind(payload),
        "flags": 0 if isinstance(flags, str) and is_ref(flags) else flags,
        "pinned": kept.get("pinned", False),
    }
    if "thread" in payload:
        metadata["has_thread"] = True
    if "poll" in payload:
        metadata["has_poll"] = True
    if payload.get("message_snapshots"):
        metadata["is_forward"] = True
    if original is not None:
        metadata |= {"replaced_text": True, "original": original}
    return orjson.dumps(metadata)


def _author_kind(payload: Payload) -> str:
    """Who speaks: a person, a program, a webhook, or Discord on somebody's behalf."""
    author = payload.get("author") or {}
    if payload["type"] not in _USER_WRITTEN or author.get("system"):
        return "system"
    if author.get("id") is not None and author["id"] == payload.get("webhook_id"):
        return "webhook"
    return "bot" if author.get("bot") else "user"


def _attachment(payload: Payload) -> Attachment:
    content_type = payload.get("content_type")
    return Attachment(
        id=_snowflake(payload["id"]),
        filename=_text(payload["filename"]),
        size=_count(payload["size"]),
        content_type=None if content_type is None else _text(content_type),
        url=_text(payload["url"]),
    )


def _reaction(payload: Payload) -> Reaction:
    emoji, details = payload["emoji"], payload.get("count_details")
    emoji_id, name = emoji.get("id"), emoji.get("name")
    return Reaction(
        emoji=_text(name)
        if emoji_id is None
        else f"{name or '_'}:{emoji_id}",  # a deleted one is nameless
        count=_small(payload["count"]),
        burst_count=_small(details["burst"]) if details else 0,
    )


def channel_from(
    payload: Payload,
    guild_id: GuildId,
    bot_id: UserId,
    identities: Identities,
    joined: Collection[str] = (),
) -> Channel:
    """One channel or thread; *joined* are the ids of the threads the bot is a member of.

    Of the overwrites for single members it keeps the bot's own: nothing else can concern us.
    Raises PayloadError where what Discord always sends is missing.
    """
    try:
        storable: Payload = _storable(payload, _REPLACEMENT)
        kept, _ = identities.scrub(storable)
        parent_id, last_id = storable.get("parent_id"), storable.get("last_message_id")
        overwrites = map(_overwrite, storable.get("permission_overwrites") or ())
        return Channel(
            id=ChannelId(_snowflake(storable["id"])),
            guild_id=guild_id,
            type=_small(storable["type"]),
            name=_text(kept.get("name") or ""),
            parent_id=None if parent_id is None else ChannelId(_snowflake(parent_id)),
            last_message_id=None if last_id is None else MessageId(_snowflake(last_id)),
            overwrites=tuple(o for o in overwrites if not o.is_member or o.id == bot_id),
            thread=_thread(storable, storable["id"] in joined),
            metadata=kept,
        )
    except _UNREADABLE as error:
        raise PayloadError(
            f"A channel is not what Discord documents ({type(error).__name__})."
        ) from None


def _overwrite(payload: Payload) -> Overwrite:
    return Overwrite(
        id=int(payload["id"]),
        is_member=int(payload["type"]) == _MEMBER,
        allow=int(payload["allow"]),
        deny=int(payload["deny"]),
    )


def _thread(payload: Payload, bot_is_member: bool) -> ThreadState | None:
    state = payload.get("thread_metadata")
    if state is None:
        return None
    archived_at, message_count = state.get("archive_timestamp"), payload.get("message_count")
    return ThreadState(
        archived=bool(state["archived"]),
        archived_at=None if archived_at is None else _moment(archived_at),
        message_count=None if message_count is None else _count(message_count),
        bot_is_member=bot_is_member or "member" in payload,
    )


def guild_from(payload: Payload) -> Guild:
    """The guild with its roles. Raises PayloadError."""
    try:
        return Guild(
            id=GuildId(_snowflake(payload["id"])),
            name=_text(payload["name"]),
            owner_id=UserId(_snowflake(payload["owner_id"])),
            roles=tuple(
                Role(int(each["id"]), int(each["permissions"])) for each in payload["roles"]
            ),
        )
    except _UNREADABLE as error:
        raise PayloadError(
            f"A guild is not what Discord documents ({type(error).__name__})."
        ) from None


def member_from(payload: Payload, user_id: UserId) -> BotMember:
    """The bot as a member. Raises PayloadError."""
    try:
        return BotMember(user_id, frozenset(map(int, payload["roles"])))
    except _UNREADABLE as error:
        raise PayloadError(
            f"A member is not what Discord documents ({type(error).__name__})."
        ) from None


def _snowflake(value: Any) -> int:
    """One of Discord's ids, as text or as a number, that the database can keep."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise TypeError("an id is text")
    number = int(value)
    if not 0 < number <= MAX_SNOWFLAKE:
        raise ValueError("an id has 63 bits")
    return number


def _small(value: Any) -> int:
    """A number that the database keeps in 32 bits."""
    if type(value) is not int or not -_INT4 <= value < _INT4:
        raise TypeError("it is a small number")
    return value


def _count(value: Any) -> int:
    """How many or how large, of which there may be much."""
    if type(value) is not int or not 0 <= value <= MAX_SNOWFLAKE:
        raise TypeError("it is a number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it is text")
    return value


def _moment(value: Any) -> datetime:
    """A time with its offset; UTC where Discord should leave it out."""
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_unstorable(value: Any) -> bool:
    """Whether a text in *value* holds what PostgreSQL does not: the JSON alone cannot tell."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is not None
    if isinstance(value, list):
        return any(map(_is_unstorable, value))
    if isinstance(value, dict):
        return any(_is_unstorable(each) for pair in value.items() for each in pair)
    return False


def _storable(value: Any, instead: str | Callable[[re.Match[str]], str]) -> Any:
    """*value* with *instead* of each character that PostgreSQL cannot keep."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(instead, value)
    if isinstance(value, list):
        return [_storable(each, instead) for each in value]
    if isinstance(value, dict):
        return {_storable(key, instead): _storable(each, instead) for key, each in value.items()}
    return value
