"""What Discord has, as far as raysync keeps it: plain frozen values, safe to send anywhere."""

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
    """Whether a tenant is synced when none is named."""

    ACTIVE = "active"  #: synced by a plain `raysync start`
    MAINTENANCE = "maintenance"  #: synced only when named
    CANCELLED = "cancelled"  #: never synced; its rows are kept


class Privacy(StrEnum):
    """What the database may know of the people who wrote."""

    PSEUDONYMOUS = "pseudonymous"  #: keyed pseudonyms; no user name or id is stored
    FULL = "full"  #: ids and names as Discord gives them


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer: one guild, read with one bot token."""

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
    """A guild role; the one whose id is the guild's is @everyone."""

    id: int
    permissions: int


@dataclass(frozen=True, slots=True)
class Guild:
    """A guild as the permission computation needs it."""

    id: GuildId
    name: str
    owner_id: UserId
    roles: tuple[Role, ...]
    unreadable_roles: int = 0  #: that are not what Discord documents, and not among these


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """Who the token is."""

    user_id: UserId
    has_content_intent: bool  #: also where nobody can tell
    unknown_intent: MissingRoute | None = None  #: why nobody can tell


@dataclass(frozen=True, slots=True)
class BotMember:
    """The bot inside one guild."""

    user_id: UserId
    role_ids: frozenset[int]
    unreadable_roles: int = 0  #: ids that are none


@dataclass(frozen=True, slots=True)
class Overwrite:
    """A channel's exception to the roles' permissions."""

    id: int
    is_member: bool  #: for one member; otherwise for a role
    allow: int
    deny: int


@dataclass(frozen=True, slots=True)
class ThreadState:
    """What only threads have."""

    archived: bool
    archived_at: datetime | None  #: Discord's archive_timestamp: the last change of `archived`
    message_count: int | None  #: without the starter and deleted ones; stops at 50 before July 2022
    bot_is_member: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel or thread. Unknown types are kept as their number."""

    id: ChannelId
    guild_id: GuildId
    type: int
    name: str
    parent_id: ChannelId | None  #: a thread's channel, or a channel's category
    last_message_id: MessageId | None  #: may name a message that was deleted since
    overwrites: tuple[Overwrite, ...] = ()
    thread: ThreadState | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: the payload, scrubbed
    unreadable: tuple[str, ...] = ()  #: fields that are not what Discord documents


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file's description; its bytes are elsewhere."""

    id: int
    filename: str
    size: int
    content_type: str | None
    url: str  #: without the signature, which changes with every fetch


@dataclass(frozen=True, slots=True)
class Reaction:
    """How often one emoji was given."""

    emoji: str  #: the character itself, or ``name:id`` for a custom one
    count: int  #: normal and burst together
    burst_count: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready to be stored: nothing in it names a user unless the tenant is `full`."""

    id: MessageId
    type: int
    content: str
    author_ref: str | None  #: a pseudonym, or the user id where the tenant is `full`
    reply_to_id: MessageId | None
    created_at: datetime
    edited_at: datetime | None
    metadata: bytes  #: JSON: what is often asked for beside the content
    raw: bytes  #: JSON: the whole payload, scrubbed
    attachments: tuple[Attachment, ...] = ()
    reactions: tuple[Reaction, ...] = ()
    is_blank: bool = False  #: somebody wrote it, and it holds nothing: as without the intent
    may_be_empty: bool = False  #: it proves nothing of the intent: with it, such come empty, too
    is_suppressed: bool = False  #: its author is kept out: it is there, and is not stored
    forwards: tuple[MessageId, ...] = ()  #: of what it holds copies, where somebody is kept out
    quarantine: tuple[str, ...] = ()  #: fields that could not be read, and have their defaults


WITHHELD: Final = "payload"
"""In `Message.quarantine`: nothing of the payload is kept."""
_EMPTY_METADATA: Final = orjson.dumps({"author": "unknown", "flags": 0, "pinned": False})


def without_payload(message: Message) -> Message:
    """Return that there is such a message, by whom and when, and nothing of what it says."""
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
