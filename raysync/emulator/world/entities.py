"""Entities of a Discord world: users, guilds, roles, channels, threads and bots.

They are plain state, changed by `edits` only. A channel keeps its messages in a `MessageLog`.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from raysync.emulator.world.damage import Damage
from raysync.emulator.world.messages import MessageLog


class ChannelType(IntEnum):
    """Discord's numbers of the channel types."""

    TEXT = 0
    VOICE = 2
    CATEGORY = 4
    ANNOUNCEMENT = 5
    ANNOUNCEMENT_THREAD = 10
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12
    STAGE = 13
    DIRECTORY = 14
    FORUM = 15
    MEDIA = 16


THREAD_TYPES: Final = frozenset(
    {ChannelType.ANNOUNCEMENT_THREAD, ChannelType.PUBLIC_THREAD, ChannelType.PRIVATE_THREAD}
)
MESSAGE_TYPES: Final = THREAD_TYPES | {
    ChannelType.TEXT,
    ChannelType.VOICE,
    ChannelType.ANNOUNCEMENT,
    ChannelType.STAGE,
}
THREAD_PARENT_TYPES: Final = frozenset(
    {ChannelType.TEXT, ChannelType.ANNOUNCEMENT, ChannelType.FORUM, ChannelType.MEDIA}
)
POST_PARENT_TYPES: Final = frozenset({ChannelType.FORUM, ChannelType.MEDIA})


@dataclass(slots=True)
class User:
    """An account. A webhook that writes messages is not one."""

    id: int
    name: str
    bot: bool = False
    global_name: str | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True)
class Overwrite:
    """Permissions that a channel allows and denies to a role (type 0) or a member (type 1)."""

    id: int
    type: int
    allow: int = 0
    deny: int = 0


@dataclass(slots=True)
class Role:
    """A role. The role with the guild's id is @everyone."""

    id: int
    name: str
    permissions: int
    position: int = 0
    bot_id: int | None = None


@dataclass(slots=True)
class Member:
    """A user's membership of a guild."""

    user_id: int
    joined_ms: int
    role_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Emoji:
    """A custom emoji of a guild."""

    id: int
    name: str
    animated: bool = False


@dataclass(slots=True)
class Channel:
    """A channel of a guild. *type* may be a number that `ChannelType` lacks."""

    id: int
    guild_id: int
    type: int
    name: str
    log: MessageLog
    parent_id: int | None = None
    position: int = 0
    topic: str | None = None
    nsfw: bool = False
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
    last_message_id: int | None = None
    last_pin_ms: int | None = None
    tags: dict[int, str] = field(default_factory=dict)
    damage: Damage | None = None  #: replaces the answer


@dataclass(slots=True)
class Thread(Channel):
    """A thread or a forum post: a channel with a parent channel."""

    owner_id: int = 0
    archived: bool = False
    archive_ms: int = 0
    locked: bool = False
    auto_archive_minutes: int = 1440
    total_message_sent: int = 0
    applied_tags: tuple[int, ...] = ()
    member_ids: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Guild:
    """A guild with everything in it. *user_ids*, sorted, are the users who react."""

    id: int
    name: str
    owner_id: int
    made_ms: int
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    threads: dict[int, Thread] = field(default_factory=dict)
    emojis: dict[int, Emoji] = field(default_factory=dict)
    removed_emoji_ids: set[int] = field(default_factory=set)
    user_ids: list[int] = field(default_factory=list)
    damage: Damage | None = None  #: replaces the answer

    def every_channel(self) -> "list[Channel]":
        """Return all channels and threads."""
        return [*self.channels.values(), *self.threads.values()]

    def threads_under(self, channel_id: int) -> list[Thread]:
        """Return the threads of a channel."""
        return [thread for thread in self.threads.values() if thread.parent_id == channel_id]


@dataclass(slots=True)
class Bot:
    """Bot of a token: its user, its guilds and its intents."""

    token: str
    user: User
    application_id: int
    guild_ids: set[int] = field(default_factory=set)
    content_intent: bool = True
    is_withheld: bool = False  #: content is withheld, although the flags show the intent
    members_intent: bool = True
    max_concurrency: int = 1

    @property
    def sees_content(self) -> bool:
        """True if its messages come with their content."""
        return self.content_intent and not self.is_withheld
