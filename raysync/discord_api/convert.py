"""Payloads into models: the only place that knows the names of Discord's fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from raysync.discord_api.privacy import Identities
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
from raysync.models.ids import ChannelId, GuildId, MessageId, UserId

Payload = Mapping[str, Any]
_SIGNATURE = re.compile(
    r"(https?://[^\s\"?]+)\?(?:[^\s\"&]+&)*?ex=[0-9a-f]+&is=[0-9a-f]+&hm=[0-9a-f]+&?"
)
_KEPT_BESIDE = ("flags", "pinned", "mention_everyone", "tts", "webhook_id", "application_id")


def message_of(payload: Payload, identities: Identities) -> Message:
    """One message as the archive keeps it."""
    author = payload["author"]
    scrubbed = identities.payload(payload)
    raw = orjson.dumps(scrubbed)
    if b"ex=" in raw:
        raw = _unsigned(raw.decode()).encode()
    return Message(
        id=MessageId(int(payload["id"])),
        type=payload["type"],
        content=identities.text(payload["content"]),
        author_ref=identities.author(int(author["id"])),
        reply_to_id=_reply_to(payload),
        created_at=datetime.fromisoformat(payload["timestamp"]),
        edited_at=_moment(payload.get("edited_timestamp")),
        metadata=orjson.dumps(_metadata(payload, author)),
        raw=raw,
        attachments=tuple(_attachment(each, identities) for each in payload["attachments"]),
        reactions=tuple(_reaction(each) for each in payload.get("reactions") or ()),
    )


def _metadata(payload: Payload, author: Payload) -> dict[str, Any]:
    kept = {name: payload[name] for name in _KEPT_BESIDE if payload.get(name)}
    if author.get("bot"):
        kept["author_is_bot"] = True
    return kept


def _reply_to(payload: Payload) -> MessageId | None:
    reference = payload.get("message_reference")
    if not reference or reference.get("type", 0) != 0 or not reference.get("message_id"):
        return None
    return MessageId(int(reference["message_id"]))


def _attachment(payload: Payload, identities: Identities) -> Attachment:
    return Attachment(
        id=int(payload["id"]),
        filename=identities.text(payload["filename"]),
        size=payload["size"],
        content_type=payload.get("content_type"),
        url=payload["url"].partition("?")[0],
    )


def _reaction(payload: Payload) -> Reaction:
    emoji = payload["emoji"]
    details = payload.get("count_details") or {}
    name = emoji.get("name") or ""
    return Reaction(
        emoji=f"{name}:{emoji['id']}" if emoji.get("id") else name,
        count=payload["count"],
        burst_count=details.get("burst", 0),
    )


def _unsigned(text: str) -> str:
    """*text* without the signatures of CDN addresses, which differ with every fetch."""
    return _SIGNATURE.sub(r"\1", text)


def guild_of(guild: Payload) -> Guild:
    """A guild with its roles."""
    roles = tuple(Role(int(each["id"]), int(each["permissions"])) for each in guild["roles"])
    return Guild(GuildId(int(guild["id"])), guild["name"], UserId(int(guild["owner_id"])), roles)


def member_of(member: Payload, user_id: UserId) -> BotMember:
    """The bot in a guild."""
    return BotMember(user_id, frozenset(int(each) for each in member["roles"]))


def channel_of(
    payload: Payload, guild_id: GuildId, identities: Identities, joined: bool = False
) -> Channel:
    """A channel or thread of any type."""
    last, parent = payload.get("last_message_id"), payload.get("parent_id")
    return Channel(
        id=ChannelId(int(payload["id"])),
        guild_id=guild_id,
        type=payload["type"],
        name=payload.get("name") or "",
        parent_id=None if parent is None else ChannelId(int(parent)),
        last_message_id=None if last is None else MessageId(int(last)),
        overwrites=tuple(_overwrites(payload.get("permission_overwrites") or ())),
        thread=_thread(payload, joined),
        metadata=identities.payload(payload),
    )


def _overwrites(payloads: Iterable[Payload]) -> Iterable[Overwrite]:
    for each in payloads:
        is_member = each["type"] in (1, "member")
        yield Overwrite(int(each["id"]), is_member, int(each["allow"]), int(each["deny"]))


def _thread(payload: Payload, joined: bool) -> ThreadState | None:
    state = payload.get("thread_metadata")
    if state is None:
        return None
    return ThreadState(
        archived=state["archived"],
        archived_at=_moment(state.get("archive_timestamp")),
        message_count=payload.get("message_count"),
        bot_is_member=joined or "member" in payload,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
