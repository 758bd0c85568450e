"""World of an emulator: guilds, the bots in them, and the messages each bot may read."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import orjson

from raysync.emulator.world.announcements import Announcement
from raysync.emulator.world.cdn import Cdn
from raysync.emulator.world.entities import (
    MESSAGE_TYPES,
    Bot,
    Channel,
    Guild,
    Member,
    Role,
    Thread,
    User,
)
from raysync.emulator.world.message_payloads import HAS_THREAD, REPLY, THREAD_STARTER
from raysync.emulator.world.messages import EncodingBudget, Payload
from raysync.emulator.world.payloads import gateway_payload, thread_payload
from raysync.emulator.world.permissions import READER, can_read_history, can_view
from raysync.emulator.world.snowflakes import snowflake

_QUOTING_TYPES: Final = (REPLY, THREAD_STARTER)


@dataclass(slots=True)
class WorldClock:
    """Clock of a world: the system's time or *frozen_ms*, plus *offset_ms*."""

    offset_ms: int = 0
    frozen_ms: int | None = None

    def now_ms(self) -> int:
        """Return the current Unix millisecond."""
        return self.offset_ms + (self.frozen_ms or time.time_ns() // 1_000_000)


class World:
    """Guilds with their messages, and bots. Change them through `edits.Edits` only."""

    def __init__(self, *guilds: Guild, cdn: Cdn | None = None) -> None:
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.bots: dict[str, Bot] = {}
        self.cdn = cdn or Cdn()
        self.clock = WorldClock()
        self.budget = EncodingBudget()
        self.unindexed_channel_ids: set[int] = set()
        self.unavailable_ids: set[int] = set()  #: guilds in an outage of the gateway
        self._sequence = count(1)
        self.referrers: dict[int, list[tuple[int, int]]] = {}
        self.observers: list[Callable[[Announcement], None]] = []
        self.gateway_of: Callable[[Bot], Payload] = gateway_payload
        for guild in guilds:
            self.add_guild(guild)

    def add_guild(self, guild: Guild) -> Guild:
        """Add a guild with its channels and threads.

        Raises:
            ValueError: an id is taken. Generate the guilds from different seeds.
        """
        if guild.id in self.guilds or not self.channels.keys().isdisjoint(guild.channels):
            raise ValueError(f"guild {guild.id} or one of its channels exists already")
        self.guilds[guild.id] = guild
        self.channels.update(guild.channels)
        self.channels.update(guild.threads)
        return guild

    def add_bot(
        self,
        token: str,
        guild_ids: Iterable[int] | None = None,
        *,
        permissions: int = READER,
        name: str = "archivist",
        content_intent: bool = True,
        members_intent: bool = True,
    ) -> Bot:
        """Add a bot with a token to the given guilds, by default to all.

        It gets a managed role with *permissions*, like every installed bot.
        """
        bot_id = snowflake(1_577_836_800_000, 1 + len(self.bots))
        bot = Bot(token, User(bot_id, name, bot=True), bot_id)
        bot.content_intent, bot.members_intent = content_intent, members_intent
        self.bots[token] = bot
        for guild_id in self.guilds if guild_ids is None else guild_ids:
            self.install(bot, guild_id, permissions)
        return bot

    def install(self, bot: Bot, guild_id: int, permissions: int = READER) -> None:
        """Add a bot to a guild, with a role of its own."""
        guild = self.guilds[guild_id]
        role_id = bot.user.id + 1_000_000 + len(bot.guild_ids)
        guild.roles[role_id] = Role(role_id, bot.user.name, int(permissions), 1, bot.user.id)
        guild.members[bot.user.id] = Member(bot.user.id, guild.made_ms, [role_id])
        guild.users[bot.user.id] = bot.user
        bot.guild_ids.add(guild_id)

    def new_id(self, at_ms: int | None = None) -> int:
        """Return an unused id of *at_ms*, by default of now. Its low eight bits are 0."""
        sequence = next(self._sequence) & 0x3FFF
        return snowflake(self.clock.now_ms() if at_ms is None else at_ms, sequence << 8)

    def guild_of(self, channel: Channel) -> Guild:
        """Return the guild of a channel."""
        return self.guilds[channel.guild_id]

    def readable_channels(self, token: str, guild_id: int) -> list[Channel]:
        """Return the channels and threads whose history a token can read."""
        guild, user_id = self.guilds[guild_id], self.bots[token].user.id
        return [
            channel
            for channel in guild.every_channel()
            if channel.type in MESSAGE_TYPES and can_read_history(guild, channel, user_id)
        ]

    def truth(self, guild_id: int, token: str | None = None) -> Iterator[tuple[int, Payload]]:
        """Yield (channel id, message) for every message that an archive must hold.

        With a token, yield only the messages it can read. CDN URLs are unsigned.
        """
        guild = self.guilds[guild_id]
        channels = guild.every_channel()
        if token is not None:
            channels = self.readable_channels(token, guild_id)
        for channel in channels:
            if channel.type in MESSAGE_TYPES:
                for message_id in channel.log.ids:
                    yield channel.id, self.message(channel, message_id)

    def damaged(self, guild_id: int) -> set[tuple[int, int]]:
        """Return (channel id, message id) of the messages that are served damaged."""
        channels = self.guilds[guild_id].every_channel()
        return {
            (channel.id, message_id) for channel in channels for message_id in channel.log.damage
        }

    def message(self, channel: Channel, message_id: int) -> Payload:
        """Return a message as a bot with the content intent reads it, with unsigned CDN URLs.

        Raises:
            KeyError: the message does not exist.
        """
        encoded = channel.log.encoded(message_id, self.resolve, self.budget)
        payload: Payload = orjson.loads(self.cdn.plain_encoded(encoded))
        return payload

    def resolve(self, payload: Payload) -> Payload:
        """Return a payload with its quoted message and its thread."""
        if payload["type"] in _QUOTING_TYPES and "message_reference" in payload:
            payload = payload | {"referenced_message": self._quoted(payload)}
        if payload["flags"] & HAS_THREAD:
            thread = self.channels.get(int(payload["id"]))
            if isinstance(thread, Thread):
                payload = payload | {"thread": thread_payload(thread)}
        return payload

    def announce(self, make: Callable[[], Iterable[Announcement]]) -> None:
        """Tell the gateway of a change. Without a gateway, nothing is made."""
        if self.observers:
            for announcement in make():
                for observer in self.observers:
                    observer(announcement)

    def viewers(self, channel: Channel) -> set[str]:
        """Return the tokens of the bots that can view a channel."""
        guild = self.guild_of(channel)
        return {
            bot.token
            for bot in self.bots.values()
            if guild.id in bot.guild_ids and can_view(guild, channel, bot.user.id)
        }

    def touch(self, channel: Channel, message_id: int) -> None:
        """Drop the cached encodings of a changed message and of the messages that quote it."""
        channel.log.forget_encoding(message_id)
        for channel_id, replier_id in self.referrers.get(message_id, ()):
            if channel_id in self.channels:
                self.channels[channel_id].log.forget_encoding(replier_id)
        thread = self.channels.get(message_id)
        if isinstance(thread, Thread) and thread.log.ids:
            thread.log.forget_encoding(thread.log.ids[0])
        if isinstance(channel, Thread):
            self.touch_parent(channel)

    def touch_parent(self, thread: Thread) -> None:
        """Drop the cached encoding of a thread's starter message, which shows the thread."""
        parent = self.channels.get(thread.parent_id or 0)
        if parent is not None:
            parent.log.forget_encoding(thread.id)

    def _quoted(self, payload: Payload) -> Payload | None:
        reference = payload["message_reference"]
        channel = self.channels.get(int(reference["channel_id"]))
        try:
            quoted = channel.log.payload(int(reference["message_id"])) if channel else None
        except KeyError:
            quoted = None
        return quoted and {key: quoted[key] for key in quoted if key != "reactions"}
