"""Events of the gateway as our models, by the same conversion and scrubbing as pages.

An event that cannot be read whole becomes a `Doubt`: a page tells what it should have told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from raysync.discord_api.convert import message_from
from raysync.discord_api.fields import (
    UNREADABLE,
    Payload,
    emoji_name,
    listed,
    listed_or_none,
    mapping,
    permission_bits,
    snowflake,
)
from raysync.discord_api.guilds import guild_from, member_from, read_channel
from raysync.discord_api.people.pseudonyms import Identities
from raysync.errors import PayloadError
from raysync.models.entities import BotMember, Channel, Role
from raysync.models.ids import NO_CHANNEL, ChannelId, GuildId, MessageId, UserId, latest_snowflake
from raysync.models.live import (
    ChannelGone,
    ChannelSeen,
    Dispatch,
    Doubt,
    GuildChanged,
    GuildGone,
    GuildSeen,
    LiveEvent,
    MemberSeen,
    MessageSeen,
    MessagesGone,
    ReactionChange,
    ReactionsCleared,
    RoleGone,
    RoleSeen,
)

_ONLY_LIVE: Final = ("guild_id", "member", "channel_type", "nonce")
"""Keys of a message that its pages lack."""
_NEEDED: Final = frozenset({"author", "content", "timestamp", "edited_timestamp", "type"})
"""Keys without which a change is only a part of the message."""

Events = tuple[LiveEvent, ...]


def guild_of(dispatch: Dispatch) -> GuildId | None:
    """Return the guild that an event is of; None: it is of none, or cannot be read."""
    payload = dispatch.payload
    name = "id" if dispatch.name in ("GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE") else "guild_id"
    try:
        return GuildId(snowflake(payload[name]))
    except UNREADABLE:
        return None


class EventReader:
    """Reader of one guild's events."""

    def __init__(self, guild_id: GuildId, bot_id: UserId, identities: Identities) -> None:
        """Replace people by *identities*, which are bound to the API."""
        self._guild_id = guild_id
        self._bot_id = bot_id
        self._identities = identities
        self._readers: Mapping[str, Callable[[Payload], Events]] = {
            "MESSAGE_CREATE": self._message,
            "MESSAGE_UPDATE": self._message,
            "MESSAGE_DELETE": self._message_gone,
            "MESSAGE_DELETE_BULK": self._messages_gone,
            "MESSAGE_REACTION_ADD": self._reaction_added,
            "MESSAGE_REACTION_REMOVE": self._reaction_removed,
            "MESSAGE_REACTION_REMOVE_ALL": self._reactions_cleared,
            "MESSAGE_REACTION_REMOVE_EMOJI": self._emoji_cleared,
            "MESSAGE_POLL_VOTE_ADD": self._doubtful,
            "MESSAGE_POLL_VOTE_REMOVE": self._doubtful,
            "CHANNEL_CREATE": self._channel,
            "CHANNEL_UPDATE": self._channel,
            "CHANNEL_DELETE": self._channel_gone,
            "THREAD_CREATE": self._channel,
            "THREAD_UPDATE": self._channel,
            "THREAD_DELETE": self._channel_gone,
            "THREAD_LIST_SYNC": self._threads,
            "GUILD_CREATE": self._guild,
            "GUILD_UPDATE": self._guild_changed,
            "GUILD_DELETE": self._guild_gone,
            "GUILD_ROLE_CREATE": self._role,
            "GUILD_ROLE_UPDATE": self._role,
            "GUILD_ROLE_DELETE": self._role_gone,
            "GUILD_MEMBER_UPDATE": self._member,
        }

    def read(self, dispatch: Dispatch) -> Events:
        """Return what an event says; nothing for events that the archive does not keep."""
        read = self._readers.get(dispatch.name)
        if read is None:
            return ()
        try:
            return read(dispatch.payload)
        except (*UNREADABLE, PayloadError):
            return _doubt(dispatch.payload)

    def _message(self, payload: Payload) -> Events:
        if not payload.keys() >= _NEEDED:
            return _doubt(payload)
        kept = {key: value for key, value in payload.items() if key not in _ONLY_LIVE}
        mentions = kept.get("mentions")
        if mentions:
            kept["mentions"] = [_without_member(user) for user in listed(mentions)]
        message = message_from(kept, self._identities)
        channel_id = ChannelId(snowflake(payload["channel_id"]))
        return (MessageSeen(channel_id, message, has_reactions="reactions" in payload),)

    def _message_gone(self, payload: Payload) -> Events:
        return (MessagesGone(_channel_id(payload), (MessageId(snowflake(payload["id"])),)),)

    def _messages_gone(self, payload: Payload) -> Events:
        ids = tuple(MessageId(snowflake(each)) for each in listed(payload["ids"]))
        return (MessagesGone(_channel_id(payload), ids),)

    def _reaction(self, payload: Payload, change: int) -> Events:
        burst = change if payload.get("burst") is True else 0
        emoji = emoji_name(payload["emoji"])
        return (ReactionChange(_channel_id(payload), _message_id(payload), emoji, change, burst),)

    def _reaction_added(self, payload: Payload) -> Events:
        return self._reaction(payload, 1)

    def _reaction_removed(self, payload: Payload) -> Events:
        return self._reaction(payload, -1)

    def _reactions_cleared(self, payload: Payload) -> Events:
        return (ReactionsCleared(_channel_id(payload), _message_id(payload), None),)

    def _emoji_cleared(self, payload: Payload) -> Events:
        emoji = emoji_name(payload["emoji"])
        return (ReactionsCleared(_channel_id(payload), _message_id(payload), emoji),)

    def _doubtful(self, payload: Payload) -> Events:
        return _doubt(payload)

    def _channel(self, payload: Payload) -> Events:
        channel = self._read_channel(payload)
        return () if channel.id == NO_CHANNEL else (ChannelSeen(channel),)

    def _channel_gone(self, payload: Payload) -> Events:
        return (ChannelGone(ChannelId(snowflake(payload["id"]))),)

    def _threads(self, payload: Payload) -> Events:
        joined = _joined(payload.get("members"), self._bot_id)
        threads = [self._read_channel(each, joined) for each in listed(payload["threads"])]
        return tuple(ChannelSeen(thread) for thread in threads if thread.id != NO_CHANNEL)

    def _guild(self, payload: Payload) -> Events:
        if payload.get("unavailable") is True:
            return (GuildGone(is_outage=True),)
        joined = _joined(payload.get("threads"), self._bot_id, "member")
        listed_ones = [
            *listed_or_none(payload.get("channels")),
            *listed_or_none(payload.get("threads")),
        ]
        channels = [self._read_channel(each, joined) for each in listed_ones]
        return (
            GuildSeen(
                guild_from(payload, self._guild_id),
                self._own_member(listed_or_none(payload.get("members"))),
                tuple(channel for channel in channels if channel.id != NO_CHANNEL),
            ),
        )

    def _guild_changed(self, payload: Payload) -> Events:
        return (GuildChanged(guild_from(payload, self._guild_id)),)

    def _guild_gone(self, payload: Payload) -> Events:
        return (GuildGone(is_outage=payload.get("unavailable") is True),)

    def _role(self, payload: Payload) -> Events:
        role = mapping(payload["role"])
        return (RoleSeen(Role(snowflake(role["id"]), permission_bits(role["permissions"]))),)

    def _role_gone(self, payload: Payload) -> Events:
        return (RoleGone(snowflake(payload["role_id"])),)

    def _member(self, payload: Payload) -> Events:
        if snowflake(mapping(payload["user"])["id"]) != self._bot_id:
            return ()
        return (MemberSeen(member_from(payload, self._bot_id)),)

    def _own_member(self, members: list[Any]) -> BotMember | None:
        for member in members:
            try:
                if snowflake(member["user"]["id"]) == self._bot_id:
                    return member_from(member, self._bot_id)
            except (*UNREADABLE, PayloadError):
                continue
        return None

    def _read_channel(self, payload: Any, joined: frozenset[str] = frozenset()) -> Channel:
        record = {key: value for key, value in mapping(payload).items() if key != "newly_created"}
        record["guild_id"] = str(self._guild_id)  # the lists of the API have it
        latest = latest_snowflake(datetime.now(UTC))
        return read_channel(record, self._guild_id, self._bot_id, self._identities, joined, latest)


def _doubt(payload: Payload) -> Events:
    try:
        id_ = payload["message_id"] if "message_id" in payload else payload["id"]
        return (Doubt(_channel_id(payload), MessageId(snowflake(id_))),)
    except UNREADABLE:
        return ()


def _without_member(user: Any) -> Any:
    """Return a mentioned user without the membership that only events have."""
    return {key: value for key, value in mapping(user).items() if key != "member"}


def _joined(records: Any, bot_id: UserId, within: str | None = None) -> frozenset[str]:
    """Return the ids of the threads that the bot has joined."""
    found = set()
    for record in records if isinstance(records, list) else ():
        if not isinstance(record, dict):
            continue
        if within is not None:
            if isinstance(record.get(within), dict):
                found.add(str(record.get("id")))
        elif str(record.get("user_id")) == str(bot_id):
            found.add(str(record.get("id")))
    return frozenset(found)


def _channel_id(payload: Payload) -> ChannelId:
    return ChannelId(snowflake(payload["channel_id"]))


def _message_id(payload: Payload) -> MessageId:
    return MessageId(snowflake(payload["message_id"]))
