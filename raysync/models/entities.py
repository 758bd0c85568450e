"""Discord's entities, as far as raysync keeps them: frozen values that can cross actors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson

from raysync.models.ids import ChannelId, GuildId, MessageId, TenantId, UserId
from raysync.models.not_covered import MissingRoute


class TenantStatus(StrEnum):
    """State of a tenant, which decides when it is synced."""

    ACTIVE = "active"  #: synced by a plain `raysync start`
    MAINTENANCE = "maintenance"  #: synced only when named
    CANCELLED = "cancelled"  #: never synced; its rows are kept


class Privacy(StrEnum):
    """Level of privacy: the data on authors that the database may hold."""

    PSEUDONYMOUS = "pseudonymous"  #: keyed pseudonyms; no user name or id is stored
    FULL = "full"  #: ids and names as Discord gives them


@dataclass(frozen=True, slots=True)
class Tenant:
    """Customer with one guild, read with one bot token."""

    id: TenantId
    slug: str
    name: str
    status: TenantStatus
    guild_id: GuildId
    token_ref: str
    privacy: Privacy
    settings: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """Guild role; the role with the guild's id is @everyone."""

    id: int
    permissions: int


@dataclass(frozen=True, slots=True)
class Guild:
    """Guild, as the permission computation needs it."""

    id: GuildId
    name: str
    owner_id: UserId
    roles: tuple[Role, ...]
    unreadable_roles: int = 0  #: roles unlike Discord's documentation, which `roles` lacks


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """Bot user of a token."""

    user_id: UserId
    has_content_intent: bool  #: true also if it is unknown
    unknown_intent: MissingRoute | None = None  #: reason why it is unknown


@dataclass(frozen=True, slots=True)
class BotMember:
    """Bot as a member of one guild."""

    user_id: UserId
    role_ids: frozenset[int]
    unreadable_roles: int = 0  #: number of role ids that cannot be read


@dataclass(frozen=True, slots=True)
class Overwrite:
    """Exception of a channel to the roles' permissions."""

    id: int
    is_member: bool  #: the id is a member's; otherwise a role's
    allow: int
    deny: int


@dataclass(frozen=True, slots=True)
class ThreadState:
    """State that only threads have."""

    archived: bool
    archived_at: datetime | None  #: Discord's archive_timestamp: the last change of `archived`
    message_count: int | None  #: without starter and deleted messages; at most 50 before July 2022
    bot_is_member: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """Channel or thread. An unknown type is kept as its number."""

    id: ChannelId
    guild_id: GuildId
    type: int
    name: str
    parent_id: ChannelId | None  #: a thread's channel, or a channel's category
    last_message_id: MessageId | None  #: that message may be deleted by now
    overwrites: tuple[Overwrite, ...] = ()
    thread: ThreadState | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: the payload, scrubbed
    unreadable: tuple[str, ...] = ()  #: names of fields unlike Discord's documentation


@dataclass(frozen=True, slots=True)
class Attachment:
    """Description of a file, without its bytes."""

    id: int
    filename: str
    size: int
    content_type: str | None
    url: str  #: without the signature, which changes with every request


@dataclass(frozen=True, slots=True)
class Reaction:
    """Count of one emoji on a message."""

    emoji: str  #: the character, or ``name:id`` of a custom emoji
    count: int  #: normal and burst reactions together
    burst_count: int


@dataclass(frozen=True, slots=True)
class Message:
    """Message, ready to be stored. No field names a user, unless the tenant's privacy is `full`."""

    id: MessageId
    type: int
    content: str
    author_ref: str | None  #: a pseudonym; the user id if the tenant's privacy is `full`
    reply_to_id: MessageId | None
    created_at: datetime
    edited_at: datetime | None
    metadata: bytes  #: JSON of fields that are often queried with the content
    raw: bytes  #: JSON of the whole payload, scrubbed
    attachments: tuple[Attachment, ...] = ()
    reactions: tuple[Reaction, ...] = ()
    is_blank: bool = False  #: written by a user, but empty: as without the content intent
    may_be_empty: bool = False  #: a kind of message that may be empty even with the content intent
    is_suppressed: bool = False  #: the author is suppressed, so the message is not stored
    forwards: tuple[MessageId, ...] = ()  #: messages it has copies of, if anybody is suppressed
    quarantine: tuple[str, ...] = ()  #: unreadable fields, which hold their defaults


WITHHELD: Final = "payload"
"""Entry of `Message.quarantine` for a message whose payload is dropped."""
_EMPTY_METADATA: Final = orjson.dumps({"author": "unknown", "flags": 0, "pinned": False})


def without_payload(message: Message) -> Message:
    """Return the message with its id, type, author and time, and without any content."""
    raw = {"id": str(message.id), "type": message.type, "withheld_by_raysync": True}
    return replace(
        message,
        content="",
        reply_to_id=None,
        edited_at=None,
        metadata=_EMPTY_METADATA,
        raw=orjson.dumps(raw),
        attachments=(),
        reactions=(),
        is_blank=False,
        may_be_empty=True,
        forwards=(),
        quarantine=(WITHHELD,),
    )
