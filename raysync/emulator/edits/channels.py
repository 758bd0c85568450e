"""Edits of channels, permissions, intents, emojis and bots."""

from collections.abc import Iterator
from contextlib import contextmanager

from raysync.emulator.edits.base import WorldEdits
from raysync.emulator.world import announcements as told
from raysync.emulator.world.announcements import Announcement
from raysync.emulator.world.entities import Channel, ChannelType, Overwrite, Thread
from raysync.emulator.world.messages import MessageLog, Payload
from raysync.emulator.world.payloads import (
    channel_payload,
    emoji_payload,
    gateway_guild_payload,
    role_payload,
    thread_list_payload,
)
from raysync.emulator.world.permissions import READER, can_view


class ChannelEdits(WorldEdits):
    """Edits that moderators make. KeyError for unknown ids."""

    def create_channel(
        self, guild_id: int, name: str, kind: int = 0, parent_id: int | None = None
    ) -> int:
        """Create an empty channel and return its id."""
        guild, channel_id = self.world.guilds[guild_id], self.world.new_id()
        channel = Channel(channel_id, guild_id, kind, name, MessageLog(), parent_id)
        guild.channels[channel_id] = self.world.channels[channel_id] = channel
        self._tell_channel("CHANNEL_CREATE", channel)
        return channel_id

    def convert_channel(self, channel_id: int, kind: int) -> None:
        """Change the type of a channel, such as text to announcement. Its threads keep theirs."""
        channel = self.world.channels[channel_id]
        channel.type = ChannelType(kind)
        self._tell_channel("CHANNEL_UPDATE", channel)

    def delete_channel(self, channel_id: int) -> None:
        """Delete a channel or thread with its threads."""
        channel = self.world.channels[channel_id]
        guild = self.world.guild_of(channel)
        self._tell_deletion(channel)
        for thread in guild.threads_under(channel_id):  # Discord tells of the channel only
            del self.world.channels[thread.id], guild.threads[thread.id]
        del self.world.channels[channel_id]
        guild.threads.pop(channel_id, None)
        guild.channels.pop(channel_id, None)
        if isinstance(channel, Thread):
            self.world.touch_parent(channel)

    def set_overwrite(
        self, channel_id: int, target_id: int, kind: int = 0, allow: int = 0, deny: int = 0
    ) -> None:
        """Allow and deny permissions to a role (kind 0) or member (1) in a channel."""
        overwrite = Overwrite(target_id, kind, allow, deny)
        with self._access_told(self.world.channels[channel_id].guild_id):
            self.world.channels[channel_id].overwrites[target_id] = overwrite
        self._tell_channel("CHANNEL_UPDATE", self.world.channels[channel_id])

    def remove_overwrite(self, channel_id: int, target_id: int) -> None:
        """Remove a permission overwrite."""
        with self._access_told(self.world.channels[channel_id].guild_id):
            self.world.channels[channel_id].overwrites.pop(target_id, None)
        self._tell_channel("CHANNEL_UPDATE", self.world.channels[channel_id])

    def set_role_permissions(self, guild_id: int, role_id: int, permissions: int) -> None:
        """Set the permissions of a role."""
        role = self.world.guilds[guild_id].roles[role_id]
        with self._access_told(guild_id):
            role.permissions = permissions
        payload: Payload = {"role": role_payload(role)}
        self._tell_guild("GUILD_ROLE_UPDATE", guild_id, payload, told.GUILDS)

    def rename_channel(self, channel_id: int, name: str) -> None:
        """Rename a channel or thread."""
        channel = self.world.channels[channel_id]
        channel.name = name
        if isinstance(channel, Thread):
            self.world.touch_parent(channel)
            self._tell_thread("THREAD_UPDATE", channel)
        else:
            self._tell_channel("CHANNEL_UPDATE", channel)

    def set_content_intent(self, token: str, enabled: bool) -> None:
        """Switch the message content intent of a bot."""
        self.world.bots[token].content_intent = enabled

    def withhold_content(self, token: str, withheld: bool) -> None:
        """Send messages without content, although the intent stays as it is."""
        self.world.bots[token].is_withheld = withheld

    def remove_emoji(self, guild_id: int, emoji_id: int) -> None:
        """Delete a custom emoji. Its reactions stay."""
        guild = self.world.guilds[guild_id]
        guild.emojis.pop(emoji_id, None)
        guild.removed_emoji_ids.add(emoji_id)
        payload: Payload = {"emojis": [emoji_payload(one) for one in guild.emojis.values()]}
        self._tell_guild("GUILD_EMOJIS_UPDATE", guild_id, payload, told.GUILD_EXPRESSIONS)

    def remove_bot(self, token: str, guild_id: int) -> None:
        """Remove a bot from a guild."""
        bot = self.world.bots[token]
        self._tell_bot("GUILD_DELETE", guild_id, token, {"id": str(guild_id)})
        bot.guild_ids.discard(guild_id)
        self.world.guilds[guild_id].members.pop(bot.user.id, None)

    def restore_bot(self, token: str, guild_id: int, permissions: int = READER) -> None:
        """Add a removed bot to a guild again."""
        self.world.install(self.world.bots[token], guild_id, permissions)
        self._tell_bot("GUILD_CREATE", guild_id, token, self._guild(guild_id, token))

    def begin_outage(self, guild_id: int) -> None:
        """Make a guild unavailable on the gateway, as in an outage of Discord's."""
        payload = {"id": str(guild_id), "unavailable": True}
        self.world.announce(lambda: [Announcement("GUILD_DELETE", guild_id, payload, told.GUILDS)])
        self.world.unavailable_ids.add(guild_id)

    def end_outage(self, guild_id: int) -> None:
        """Make a guild available on the gateway again."""
        self.world.unavailable_ids.discard(guild_id)
        for bot in self.world.bots.values():
            if guild_id in bot.guild_ids:
                guild = self._guild(guild_id, bot.token)
                self._tell_bot("GUILD_CREATE", guild_id, bot.token, guild)

    def _guild(self, guild_id: int, token: str) -> Payload:
        return gateway_guild_payload(self.world.guilds[guild_id], self.world.bots[token].user.id)

    def _tell_bot(self, name: str, guild_id: int, token: str, payload: Payload) -> None:
        self.world.announce(
            lambda: [Announcement(name, guild_id, payload, told.GUILDS, token=token)]
        )

    def _tell_deletion(self, channel: Channel) -> None:
        if isinstance(channel, Thread):
            payload: Payload = {
                "id": str(channel.id),
                "guild_id": str(channel.guild_id),
                "parent_id": str(channel.parent_id),
                "type": int(channel.type),
            }
            self.world.announce(
                lambda: [
                    Announcement("THREAD_DELETE", channel.guild_id, payload, told.GUILDS, channel)
                ]
            )
        else:
            self._tell_channel("CHANNEL_DELETE", channel)

    @contextmanager
    def _access_told(self, guild_id: int) -> Iterator[None]:
        """Tell each bot of the channels that it gains or loses; lost threads are not named."""
        if not self.world.observers:
            yield
            return
        guild = self.world.guilds[guild_id]
        before = {channel.id: self.world.viewers(channel) for channel in guild.channels.values()}
        yield
        for channel in guild.channels.values():
            now = self.world.viewers(channel)
            for token in before[channel.id] - now:
                self._tell_bot("CHANNEL_DELETE", guild_id, token, channel_payload(channel))
            for token in now - before[channel.id]:
                self._tell_bot("CHANNEL_CREATE", guild_id, token, channel_payload(channel))
                self._tell_bot("THREAD_LIST_SYNC", guild_id, token, self._threads(channel, token))

    def _threads(self, channel: Channel, token: str) -> Payload:
        guild, user_id = self.world.guild_of(channel), self.world.bots[token].user.id
        threads = [
            thread
            for thread in guild.threads_under(channel.id)
            if not thread.archived and can_view(guild, thread, user_id)
        ]
        listed = thread_list_payload(threads, user_id, has_more=False)
        return {
            "guild_id": str(guild.id),
            "channel_ids": [str(channel.id)],
            "threads": listed["threads"],
            "members": listed["members"],
        }
