"""Edits of channels, permissions, intents, emojis and bots."""

from raysync.emulator.edits.base import WorldEdits
from raysync.emulator.world.entities import Channel, ChannelType, Overwrite, Thread
from raysync.emulator.world.messages import MessageLog
from raysync.emulator.world.permissions import READER


class ChannelEdits(WorldEdits):
    """Edits that moderators make. KeyError for unknown ids."""

    def create_channel(
        self, guild_id: int, name: str, kind: int = 0, parent_id: int | None = None
    ) -> int:
        """Create an empty channel and return its id."""
        guild, channel_id = self.world.guilds[guild_id], self.world.new_id()
        channel = Channel(channel_id, guild_id, kind, name, MessageLog(), parent_id)
        guild.channels[channel_id] = self.world.channels[channel_id] = channel
        return channel_id

    def convert_channel(self, channel_id: int, kind: int) -> None:
        """Change the type of a channel, such as text to announcement. Its threads keep theirs."""
        self.world.channels[channel_id].type = ChannelType(kind)

    def delete_channel(self, channel_id: int) -> None:
        """Delete a channel or thread with its threads."""
        channel = self.world.channels[channel_id]
        guild = self.world.guild_of(channel)
        for thread in guild.threads_under(channel_id):
            self.delete_channel(thread.id)
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
        self.world.channels[channel_id].overwrites[target_id] = overwrite

    def remove_overwrite(self, channel_id: int, target_id: int) -> None:
        """Remove a permission overwrite."""
        self.world.channels[channel_id].overwrites.pop(target_id, None)

    def set_role_permissions(self, guild_id: int, role_id: int, permissions: int) -> None:
        """Set the permissions of a role."""
        self.world.guilds[guild_id].roles[role_id].permissions = permissions

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

    def remove_bot(self, token: str, guild_id: int) -> None:
        """Remove a bot from a guild."""
        bot = self.world.bots[token]
        bot.guild_ids.discard(guild_id)
        self.world.guilds[guild_id].members.pop(bot.user.id, None)

    def restore_bot(self, token: str, guild_id: int, permissions: int = READER) -> None:
        """Add a removed bot to a guild again."""
        self.world.install(self.world.bots[token], guild_id, permissions)
