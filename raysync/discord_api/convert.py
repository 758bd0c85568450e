"""Discord's messages as our models. `guilds` converts channels, `careful` odd records.

Text that PostgreSQL cannot keep (U+0000, half a surrogate pair) becomes U+FFFD throughout: one
such character in one message must not refuse a page for ever. The message's metadata says so
(``"replaced_text": true``) and has the whole payload as JSON text in which those characters are
escapes (``original``), so nothing is lost. The rest of a payload is in ``raw`` as it came, also
keys and types unknown to us. Only people's identities and the CDN's temporary signatures are taken
out.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from raysync.discord_api.fields import (
    UNREADABLE,
    Payload,
    count,
    emoji_name,
    flag,
    id_text,
    listed,
    listed_or_none,
    mapping,
    moment,
    small,
    snowflake,
    text,
)
from raysync.discord_api.guilds import channel_from as channel_from
from raysync.discord_api.guilds import guild_from as guild_from
from raysync.discord_api.guilds import member_from as member_from
from raysync.discord_api.people.pseudonyms import Identities
from raysync.discord_api.storable import is_too_deep
from raysync.errors import PayloadError
from raysync.models.entities import Attachment, Message, Reaction
from raysync.models.ids import MessageId
from raysync.models.privacy import is_ref
from raysync.models.storable import REPLACEMENT, is_unstorable, storable

_MARK: Final = "\ufdd0"
"""A code point that Unicode reserves for programs, and that no text contains."""
_MARKED: Final = re.compile(f"{_MARK}([0-9a-f]{{4}}){_MARK}")
_NUL: Final = b"\\u0000"
_REPLY: Final = 0
"""The type of a reply's reference; 1 is a forward."""
CONTENTS: Final = (
    "content", "embeds", "attachments", "components", "poll", "sticker_items", "stickers",
    "message_snapshots", "activity", "call", "soundboard_sounds", "gift_info", "potions",
    "purchase_notification", "role_subscription_data", "shared_client_theme",
)  # fmt: skip
"""Fields of which every message with content has at least one."""
USER_WRITTEN: Final = frozenset({0, 19, 20, 23})
"""Types of messages that users write: plain, reply, and the two kinds of command."""
_EMPTIED: Final = 1 << 2 | 1 << 7
"""Flags of messages with hidden embeds, and of a bot's pending answers."""


def message_from(payload: Payload, identities: Identities) -> Message:
    """Convert a message that agrees with Discord's documentation, as nearly all do.

    Raises:
        PayloadError: a field is missing or invalid. See `careful.read_message`.
    """
    try:
        try:
            kept, raw = identities.scrub(payload)
        except TypeError:  # orjson's: half a surrogate pair
            return _message_replaced(payload, identities)
        if is_too_deep(kept, raw):
            raise ValueError("a payload has few levels")
        if _NUL in raw and is_unstorable(kept):
            return _message_replaced(payload, identities)
        return _message(payload, kept, raw, identities)
    except UNREADABLE as error:
        raise PayloadError(
            f"A message is not what Discord documents ({type(error).__name__})."
        ) from None


def _message_replaced(payload: Payload, identities: Identities) -> Message:
    replaced: Payload = storable(payload, REPLACEMENT)
    kept, raw = identities.scrub(replaced)
    if is_too_deep(kept, raw):
        raise ValueError("a payload has few levels")
    return _message(replaced, kept, raw, identities, original_text(payload, identities))


def original_text(payload: Payload, identities: Identities) -> str:
    """Return the scrubbed payload as JSON text in which unstorable characters are escapes."""
    _, marked = identities.scrub(storable(payload, _marked))
    return _MARKED.sub(lambda found: rf"\u{found[1]}", marked.decode())


def _marked(found: re.Match[str]) -> str:
    """Encode an unstorable character as text that survives scrubbing and is found again."""
    return f"{_MARK}{ord(found[0]):04x}{_MARK}"


def _message(
    payload: Payload,
    kept: Payload,
    raw: bytes,
    identities: Identities,
    original: str | None = None,
) -> Message:
    author_ref = author_of(payload, identities)
    type_, content = small(payload["type"]), text(kept["content"])
    if identities.is_suppressed(author_ref):
        return suppressed(payload, author_ref, type_)
    edited_at = payload["edited_timestamp"]
    attachments, reactions = listed(kept["attachments"]), listed_or_none(kept.get("reactions"))
    return Message(
        id=MessageId(snowflake(payload["id"])),
        type=type_,
        content=content,
        author_ref=author_ref,
        reply_to_id=replied_to(kept),
        created_at=moment(payload["timestamp"]),
        edited_at=None if edited_at is None else moment(edited_at),
        metadata=metadata_of(payload, type_, flags_of(kept), flag(payload.get("pinned")), original),
        raw=raw,
        attachments=_attachments(attachments) if attachments else (),
        reactions=_reactions(reactions) if reactions else (),
        is_blank=not content and is_blank(payload, type_),
        may_be_empty=may_be_empty(payload, type_),
        forwards=forwarded(payload) if identities.keeps_out else (),
    )


def suppressed(payload: Payload, author_ref: str, type_: int) -> Message:
    """Return a message without its content."""
    return Message(
        id=MessageId(snowflake(payload["id"])),
        type=type_,
        content="",
        author_ref=author_ref,
        reply_to_id=None,
        created_at=moment(payload["timestamp"]),
        edited_at=None,
        metadata=b"{}",
        raw=b"{}",
        is_blank=is_blank(payload, type_),
        may_be_empty=may_be_empty(payload, type_),
        is_suppressed=True,
    )


def author_of(payload: Payload, identities: Identities) -> str:
    """Return the author's reference in the database."""
    return identities.author_ref(id_text(payload["author"]["id"]))


def replied_to(kept: Payload) -> MessageId | None:
    """Return the message that this one replies to, even if that one was deleted.

    *kept* is the scrubbed payload, which has a pseudonym in place of a person's id.
    """
    reference = kept.get("message_reference")
    if reference is None or small(mapping(reference).get("type", _REPLY)) != _REPLY:
        return None
    replied_id = reference.get("message_id")
    if replied_id is None or (isinstance(replied_id, str) and is_ref(replied_id)):
        return None
    return MessageId(snowflake(replied_id))


def flags_of(kept: Payload) -> int:
    """Return the scrubbed message's flags; SQL reads them as a number."""
    flags = kept.get("flags")
    return 0 if flags is None else count(flags)


def forwarded(payload: Payload) -> tuple[MessageId, ...]:
    """Return the messages copied into this one or its quote; their authors are unknown."""
    quoted = payload.get("referenced_message")
    sources = forwarded(mapping(quoted)) if quoted else ()
    reference = payload.get("message_reference")
    if not payload.get("message_snapshots") or reference is None:
        return sources
    source = mapping(reference).get("message_id")
    return sources if source is None else (MessageId(snowflake(source)), *sources)


def is_blank(payload: Payload, type_: int) -> bool:
    """Return whether a user's message is empty, as all are without the content intent."""
    return type_ in USER_WRITTEN and not any(map(payload.get, CONTENTS))


def may_be_empty(payload: Payload, type_: int) -> bool:
    """Return whether an empty body is normal for this message, with the content intent, too.

    No user wrote it, or it is a forward: Discord withholds the copy, but not that there is one.
    """
    flags = payload.get("flags")
    is_emptied = isinstance(flags, int) and bool(flags & _EMPTIED)
    return type_ not in USER_WRITTEN or is_emptied or bool(payload.get("message_snapshots"))


def metadata_of(
    payload: Payload, type_: int, flags: int, pinned: bool, original: str | None
) -> bytes:
    """Return frequently used fields besides the content, as JSON without free text."""
    metadata: dict[str, Any] = {
        "author": _author_kind(payload, type_),
        "flags": flags,
        "pinned": pinned,
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


def _author_kind(payload: Payload, type_: int) -> str:
    """Return the kind of author: user, bot, webhook, or system for Discord's own messages."""
    author = payload.get("author")
    if not isinstance(author, dict):
        author = {}
    if type_ not in USER_WRITTEN or author.get("system"):
        return "system"
    if author.get("id") is not None and author["id"] == payload.get("webhook_id"):
        return "webhook"
    return "bot" if author.get("bot") else "user"


def _attachments(payloads: list[Any]) -> tuple[Attachment, ...]:
    found = tuple(map(_attachment, payloads))
    if len(found) > 1 and len({attachment.id for attachment in found}) < len(found):
        raise ValueError("an attachment is listed twice")
    return found


def _attachment(payload: Payload) -> Attachment:
    content_type = payload.get("content_type")
    return Attachment(
        id=snowflake(payload["id"]),
        filename=text(payload["filename"]),
        size=count(payload["size"]),
        content_type=None if content_type is None else text(content_type),
        url=text(payload["url"]),
    )


def _reactions(payloads: list[Any]) -> tuple[Reaction, ...]:
    found = tuple(map(_reaction, payloads))
    if len(found) > 1 and len({reaction.emoji for reaction in found}) < len(found):
        raise ValueError("a reaction is listed twice")
    return found


def _reaction(payload: Payload) -> Reaction:
    details = payload.get("count_details")
    return Reaction(
        emoji=emoji_name(payload["emoji"]),
        count=small(payload["count"]),
        burst_count=small(mapping(details)["burst"]) if details else 0,
    )
