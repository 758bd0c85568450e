"""Changes to channels, threads, permissions and intents at run time."""

from raysync.emulator.entities import (
    THREAD_TYPES,
    Channel,
    ChannelType,
    Overwrite,
    Thread,
)
from raysync.emulator.message_edits import MessageEdits
from raysync.emulator.messages import MessageLog


class ChannelEdits(MessageEdits):
    """What moderators and members change about channels. KeyError for what is not there."""

    def create_channel(
        self, guild_id: int, name: str, kind: int = 0, parent_id: int | None = None
    ) -> int:
        """Create an empty channel and return its id."""
        guild, channel_id = self.world.guilds[guild_id], self.world.new_id()
        channel = Channel(channel_id, guild_id, kind, name, MessageLog(), parent_id)
        guild.channels[channel_id] = self.world.channels[channel_id] = channel
        return channel_id

    def delete_channel(self, channel_id: int) -> None:
        """Delete a channel or thread, and the threads under it."""
        channel = self.world.channels[channel_id]
        guild = self.world.guild_of(channel)
        for thread in self.world.threads_under(channel):
            self.delete_channel(thread.id)
        del self.world.channels[channel_id]
        guild.threads.pop(channel_id, None)
        guild.channels.pop(channel_id, None)

    def create_thread(
        self,
        channel_id: int,
        name: str,
        kind: int = ChannelType.PUBLIC_THREAD,
        message_id: int | None = None,
    ) -> int:
        """Open a thread, from a message where one is given, and return its id."""
        if kind not in THREAD_TYPES:
            raise ValueError(f"no kind of thread: {kind}")
        parent, now_ms = self.world.channels[channel_id], self.world.clock.now_ms()
        thread_id = self.world.new_id() if message_id is None else message_id
        log = MessageLog()
        thread = Thread(thread_id, parent.guild_id, kind, name, log, channel_id)
        guild = self.world.guild_of(parent)
        thread.owner_id, thread.archive_ms = guild.owner_id, now_ms
        thread.member_ids = {guild.owner_id}
        if message_id is not None:
            flags = parent.log.payload(message_id)["flags"] | 1 << 5
            self._change(channel_id, message_id, {"flags": flags})
        guild.threads[thread_id] = self.world.channels[thread_id] = thread
        return thread_id

    def archive_thread(self, thread_id: int, *, at_ms: int | None = None) -> None:
        """Archive a thread, now or as of a time."""
        self._set_archived(thread_id, True, at_ms)

    def unarchive_thread(self, thread_id: int, *, at_ms: int | None = None) -> None:
        """Open an archived thread again."""
        self._set_archived(thread_id, False, at_ms)

    def join_thread(self, thread_id: int, user_id: int) -> None:
        """Make a user a member of a thread."""
        self._thread(thread_id).member_ids.add(user_id)

    def leave_thread(self, thread_id: int, user_id: int) -> None:
        """End a user's membership of a thread."""
        self._thread(thread_id).member_ids.discard(user_id)

    def set_overwrite(
        self, channel_id: int, target_id: int, kind: int = 0, allow: int = 0, deny: int = 0
    ) -> None:
        """Allow and deny permissions to a role (kind 0) or member (1) in a channel."""
        overwrite = Overwrite(target_id, kind, allow, deny)
        self.world.channels[channel_id].overwrites[target_id] = overwrite

    def remove_overwrite(self, channel_id: int, target_id: int) -> None:
        """Take an overwrite away."""
        self.world.channels[channel_id].overwrites.pop(target_id, None)

    def set_role_permissions(self, guild_id: int, role_id: int, permissions: int) -> None:
        """Change what a role grants."""
        self.world.guilds[guild_id].roles[role_id].permissions = permissions

    def set_content_intent(self, token: str, enabled: bool) -> None:
        """Switch the message content intent in the bot's portal."""
        self.world.bots[token].content_intent = enabled

    def remove_emoji(self, guild_id: int, emoji_id: int) -> None:
        """Delete a custom emoji; its reactions stay."""
        guild = self.world.guilds[guild_id]
        guild.emojis.pop(emoji_id, None)
        guild.removed_emoji_ids.add(emoji_id)

    def remove_bot(self, token: str, guild_id: int) -> None:
        """Kick a bot out of a guild."""
        bot = self.world.bots[token]
        bot.guild_ids.discard(guild_id)
        self.world.guilds[guild_id].members.pop(bot.user.id, None)

    def _thread(self, thread_id: int) -> Thread:
        thread = self.world.channels[thread_id]
        if not isinstance(thread, Thread):
            raise KeyError(thread_id)
        return thread

    def _set_archived(self, thread_id: int, archived: bool, at_ms: int | None) -> None:
        thread = self._thread(thread_id)
        thread.archived = archived
        thread.archive_ms = self.world.clock.now_ms() if at_ms is None else at_ms
        self.touch_parent(thread)
