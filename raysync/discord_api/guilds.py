"""Discord's channels, threads and guilds as our models.

An odd channel never costs the others. It needs nothing but an id. Other unreadable fields are named
in `Channel.unreadable`, and the planner decides what follows from that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson

from raysync.discord_api.fields import (
    UNREADABLE,
    Payload,
    listed,
    listed_or_none,
    mapping,
    moment,
    permission_bits,
    small,
    snowflake,
    text,
)
from raysync.discord_api.people.pseudonyms import Identities
from raysync.discord_api.storable import Trimmer
from raysync.errors import PayloadError
from raysync.models import channel_types
from raysync.models.entities import BotMember, Channel, Guild, Overwrite, Role, ThreadState
from raysync.models.ids import (
    MAX_SNOWFLAKE,
    NO_CHANNEL,
    ChannelId,
    GuildId,
    MessageId,
    UserId,
    moment_of,
)
from raysync.models.storable import REPLACEMENT, storable

_T = TypeVar("_T")
NO_TYPE: Final = -1
"""Substitute for an unreadable type."""
_NOBODY_ID: Final = 0
_MAX_NAME_CHARACTERS: Final = 1_000
"""Longest name of a channel: ten times Discord's limit."""
_OVERWRITE_KINDS: Final[Mapping[Any, bool]] = {
    0: False, "0": False, "role": False, 1: True, "1": True, "member": True,
}  # fmt: skip
"""Map of an overwrite's type to whether it is a member's."""


def read_channel(
    payload: Any,
    guild_id: GuildId,
    bot_id: UserId,
    identities: Identities,
    joined: Collection[str] = (),
    latest: int = MAX_SNOWFLAKE,
) -> Channel:
    """Convert one record of a list, whatever it contains; without an id, it gets `NO_CHANNEL`."""
    try:
        return channel_from(payload, guild_id, bot_id, identities, joined, latest)
    except PayloadError:
        return Channel(NO_CHANNEL, guild_id, NO_TYPE, "", None, None, unreadable=("id",))


def channel_from(
    payload: Payload,
    guild_id: GuildId,
    bot_id: UserId,
    identities: Identities,
    joined: Collection[str] = (),
    latest: int = MAX_SNOWFLAKE,
) -> Channel:
    """Convert a channel or thread; *joined* are the ids of the threads the bot is a member of.

    Of the overwrites for single members, only the bot's own is kept. Messages or times beyond the
    id *latest* are not believed.

    Raises:
        PayloadError: it has no readable id.
    """
    try:
        channel_id = ChannelId(snowflake(mapping(payload)["id"]))
    except UNREADABLE as error:
        raise PayloadError(
            f"A channel is not what Discord documents ({type(error).__name__})."
        ) from None
    return _Channel(payload, channel_id, identities).channel(
        guild_id, bot_id, str(channel_id) in joined, latest
    )


class _Channel:
    """One payload of a channel, read field by field."""

    def __init__(self, payload: Payload, channel_id: ChannelId, identities: Identities) -> None:
        self._id = channel_id
        self._identities = identities
        self._payload: Payload = storable(Trimmer().value(payload), REPLACEMENT)
        self._unreadable: dict[str, None] = {}
        self._type = self._field("type", lambda: small(self._payload["type"]), NO_TYPE)

    def channel(
        self, guild_id: GuildId, bot_id: UserId, bot_is_member: bool, latest: int
    ) -> Channel:
        """Return the channel with all readable fields."""
        kept = self._kept()
        last_id = self._field("last_message_id", self._last_message_id, None)
        if last_id is not None and last_id > latest:
            self._unreadable["last_message_id"], last_id = None, None
        parent_id = self._field("parent_id", lambda: self._id_or_none("parent_id"), None)
        name = self._field("name", lambda: text(kept.get("name") or ""), "")
        return Channel(
            id=self._id,
            guild_id=guild_id,
            type=self._type,
            name=name[:_MAX_NAME_CHARACTERS],
            parent_id=None if parent_id is None else ChannelId(parent_id),
            last_message_id=None if last_id is None else MessageId(last_id),
            overwrites=tuple(
                overwrite
                for overwrite in self._overwrites()
                if not overwrite.is_member or overwrite.id == bot_id
            ),
            thread=self._thread(bot_is_member, moment_of(latest)),
            metadata=kept,
            unreadable=tuple(self._unreadable),
        )

    def _field(self, name: str, read: Callable[[], _T], default: _T) -> _T:
        try:
            return read()
        except UNREADABLE:
            self._unreadable[name] = None
            return default

    def _id_or_none(self, name: str) -> int | None:
        value = self._payload.get(name)
        return None if value is None else snowflake(value)

    def _last_message_id(self) -> int | None:
        """Return the last message's id; null means that nothing was ever posted.

        A missing key proves nothing.
        """
        if self._type in channel_types.WITH_MESSAGES:
            value = self._payload["last_message_id"]
            return None if value is None else snowflake(value)
        return self._id_or_none("last_message_id")

    def _kept(self) -> dict[str, Any]:
        """Return the scrubbed payload; where it cannot be scrubbed, nothing that names a person."""
        with suppress(Exception):  # whatever went wrong, no unscrubbed field is kept
            kept, raw = self._identities.scrub(self._payload)
            orjson.loads(raw)
            return kept
        self._unreadable["payload"] = None
        return {"id": str(self._id), "type": self._type, "withheld_by_raysync": True}

    def _overwrites(self) -> list[Overwrite]:
        name, nothing = "permission_overwrites", list[Any]()
        read = listed_or_none if self._type in channel_types.THREADS else listed
        overwrites = self._field(name, lambda: read(self._payload.get(name)), nothing)
        found = readable(overwrites, _overwrite)
        if len(found) < len(overwrites):
            self._unreadable[name] = None
        return found

    def _thread(self, bot_is_member: bool, latest: datetime) -> ThreadState | None:
        payload = self._payload
        if payload.get("thread_metadata") is None:
            return None
        nothing: Payload = {}
        state = self._field("thread_metadata", lambda: mapping(payload["thread_metadata"]), nothing)
        archived_at, message_count = state.get("archive_timestamp"), payload.get("message_count")
        return ThreadState(
            archived=bool(state.get("archived")),
            archived_at=None
            if archived_at is None
            else self._field("archive_timestamp", lambda: _moment_until(archived_at, latest), None),
            message_count=None
            if message_count is None
            else self._field("message_count", lambda: small(message_count), None),
            bot_is_member=bot_is_member or isinstance(payload.get("member"), dict),
        )


def _moment_until(value: Any, latest: datetime) -> datetime:
    found = moment(value)
    if found > latest:
        raise ValueError("a time has come")
    return found


def _overwrite(payload: Any) -> Overwrite:
    record = mapping(payload)
    if isinstance(record["type"], bool):
        raise TypeError("a type is a number")
    return Overwrite(
        id=snowflake(record["id"]),
        is_member=_OVERWRITE_KINDS[record["type"]],
        allow=permission_bits(record["allow"]),
        deny=permission_bits(record["deny"]),
    )


def guild_from(payload: Payload, guild_id: GuildId | None = None) -> Guild:
    """Convert a guild with its readable roles.

    *guild_id* is the requested one. An unreadable owner is nobody, and an unreadable role grants
    nothing: the bot may be able to read more than is computed, and never less.

    Raises:
        PayloadError: no role is readable, so no permissions can be computed.
    """
    try:
        record = mapping(payload)
        roles = readable(record["roles"], _role)
        if not roles:
            raise ValueError("a guild has a role at least")
        return Guild(
            id=guild_id or GuildId(snowflake(record["id"])),
            name=_or_default(lambda: text(storable(record["name"], REPLACEMENT)), ""),
            owner_id=UserId(_or_default(lambda: snowflake(record["owner_id"]), _NOBODY_ID)),
            roles=tuple(roles),
            unreadable_roles=len(record["roles"]) - len(roles),
        )
    except UNREADABLE as error:
        raise PayloadError(
            "The guild's roles cannot be read, so the bot's permissions are unknown "
            f"({type(error).__name__}). Look for a newer version of raysync."
        ) from None


def _role(payload: Any) -> Role:
    record = mapping(payload)
    return Role(snowflake(record["id"]), permission_bits(record["permissions"]))


def member_from(payload: Payload, user_id: UserId) -> BotMember:
    """Convert the bot's membership, without unreadable roles.

    Raises:
        PayloadError: it has no list of roles.
    """
    try:
        role_ids = mapping(payload)["roles"]
        roles = readable(role_ids, snowflake)
        return BotMember(user_id, frozenset(roles), len(role_ids) - len(roles))
    except UNREADABLE as error:
        raise PayloadError(
            "The bot's roles cannot be read, so its permissions are unknown "
            f"({type(error).__name__}). Look for a newer version of raysync."
        ) from None


def readable(values: Any, read: Callable[[Any], _T]) -> list[_T]:
    """Return the readable ones of *values*. Raises TypeError where it is no list."""
    if not isinstance(values, list):
        raise TypeError("it is a list")
    found = []
    for value in values:
        try:
            found.append(read(value))
        except UNREADABLE:
            continue
    return found


def _or_default(read: Callable[[], _T], default: _T) -> _T:
    try:
        return read()
    except UNREADABLE:
        return default
