"""Edits of messages: post, edit and delete."""

from collections.abc import Iterable

from raysync.emulator.edits.base import WorldEdits
from raysync.emulator.world.entities import Channel, Thread
from raysync.emulator.world.message_payloads import REPLY, message_reference, text_message
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.payloads import user_payload
from raysync.emulator.world.snowflakes import iso


class MessageEdits(WorldEdits):
    """Edits of messages. KeyError for unknown ids."""

    def post_message(
        self,
        channel_id: int,
        content: str = "hello",
        *,
        author_id: int | None = None,
        reply_to_id: int | None = None,
        at_ms: int | None = None,
        fields: Payload | None = None,
    ) -> int:
        """Post a message and return its id. *fields* replace keys of its payload.

        With *at_ms* in the past, the message appears late, below newer ones. A message in an
        archived thread unarchives the thread.
        """
        channel, world = self.world.channels[channel_id], self.world
        message_id = world.new_id(at_ms)
        guild = world.guild_of(channel)
        author = guild.users[author_id or guild.owner_id]
        payload = text_message(channel_id, message_id, user_payload(author), content)
        if reply_to_id is not None:
            reference = message_reference(channel.guild_id, channel_id, reply_to_id)
            payload |= {"type": REPLY, "message_reference": reference}
            world.referrers.setdefault(reply_to_id, []).append((channel_id, message_id))
        channel.log.put(payload | (fields or {}))
        channel.last_message_id = max(channel.last_message_id or 0, message_id)
        self._count_in_thread(channel)
        return message_id

    def edit_message(
        self,
        channel_id: int,
        message_id: int,
        content: str | None = None,
        *,
        silent: bool = False,
        fields: Payload | None = None,
    ) -> None:
        """Edit a message. With *silent*, edited_timestamp stays, as for embeds and pins."""
        changes: Payload = {} if content is None else {"content": content}
        if not silent:
            changes["edited_timestamp"] = iso(self.world.clock.now_ms())
        self.change(channel_id, message_id, changes | (fields or {}))

    def delete_message(self, channel_id: int, message_id: int) -> None:
        """Delete a message. The channel's last_message_id stays, as on Discord."""
        channel = self.world.channels[channel_id]
        channel.log.remove(message_id)
        self.world.touch(channel, message_id)

    def delete_messages(self, channel_id: int, message_ids: Iterable[int]) -> None:
        """Delete several messages."""
        for message_id in message_ids:
            self.delete_message(channel_id, message_id)

    def _count_in_thread(self, channel: Channel) -> None:
        if isinstance(channel, Thread):
            channel.total_message_sent += 1
            channel.archived = False
            channel.archive_ms = self.world.clock.now_ms()
            self.world.touch_parent(channel)
