"""Edits of threads."""

from raysync.emulator.edits.base import WorldEdits
from raysync.emulator.world import announcements as told
from raysync.emulator.world.announcements import Announcement
from raysync.emulator.world.entities import (
    POST_PARENT_TYPES,
    THREAD_TYPES,
    Channel,
    ChannelType,
    Thread,
)
from raysync.emulator.world.message_payloads import HAS_THREAD, THREAD_CREATED, text_message
from raysync.emulator.world.messages import MessageLog, Payload
from raysync.emulator.world.payloads import thread_member_payload, thread_payload, user_payload
from raysync.emulator.world.snowflakes import made_at_ms

_OLDER_MS = 60_000
"""Age of an "older" message, in milliseconds. Discord only says that it is "very small"."""


class ThreadEdits(WorldEdits):
    """Edits of threads and their members. KeyError for unknown ids."""

    def create_thread(
        self,
        channel_id: int,
        name: str,
        kind: int = ChannelType.PUBLIC_THREAD,
        message_id: int | None = None,
    ) -> int:
        """Create a thread and return its id. With *message_id*, start it from that message.

        A post is its forum's last message from then on. A public thread from an older message is
        announced in its channel; other threads leave no message there.
        """
        if kind not in THREAD_TYPES:
            raise ValueError(f"not a type of thread: {kind}; use {sorted(map(int, THREAD_TYPES))}")
        parent, now_ms = self.world.channels[channel_id], self.world.clock.now_ms()
        thread_id = self.world.new_id() if message_id is None else message_id
        log = MessageLog()
        thread = Thread(thread_id, parent.guild_id, kind, name, log, channel_id)
        guild = self.world.guild_of(parent)
        thread.owner_id, thread.archive_ms = guild.owner_id, now_ms
        thread.member_ids = {guild.owner_id}
        if message_id is not None:
            flags = parent.log.payload(message_id)["flags"] | HAS_THREAD
            self._change(channel_id, message_id, {"flags": flags})
        guild.threads[thread_id] = self.world.channels[thread_id] = thread
        if parent.type in POST_PARENT_TYPES:
            parent.last_message_id = max(parent.last_message_id or 0, thread_id)
        elif kind == ChannelType.PUBLIC_THREAD and now_ms - made_at_ms(thread_id) > _OLDER_MS:
            self._announce(thread, parent)
        self._tell_thread("THREAD_CREATE", thread, newly_created=True)
        if message_id is not None:
            self._tell_message("MESSAGE_UPDATE", channel_id, message_id)
        return thread_id

    def archive_thread(self, thread_id: int, *, at_ms: int | None = None) -> None:
        """Archive a thread, now or at a given time."""
        self._set_archived(thread_id, True, at_ms)

    def unarchive_thread(self, thread_id: int, *, at_ms: int | None = None) -> None:
        """Unarchive a thread, now or at a given time."""
        self._set_archived(thread_id, False, at_ms)

    def join_thread(self, thread_id: int, user_id: int) -> None:
        """Add a user to the members of a thread."""
        thread = self._thread(thread_id)
        seen_by = self.world.viewers(thread)
        thread.member_ids.add(user_id)
        self._tell_members(thread, {"added_members": [thread_member_payload(thread, user_id)]})
        for token in self.world.viewers(thread) - seen_by:  # a private thread that it may see now
            self._tell_joined(thread, user_id, token)

    def leave_thread(self, thread_id: int, user_id: int) -> None:
        """Remove a user from the members of a thread."""
        thread = self._thread(thread_id)
        thread.member_ids.discard(user_id)
        self._tell_members(thread, {"removed_member_ids": [str(user_id)]})

    def _announce(self, thread: Thread, parent: Channel) -> None:
        notice_id, guild = self.world.new_id(), self.world.guild_of(parent)
        author = user_payload(guild.users[guild.owner_id])
        notice = text_message(parent.id, notice_id, author, thread.name)
        reference = {"type": 0, "guild_id": str(guild.id), "channel_id": str(thread.id)}
        parent.log.put(notice | {"type": THREAD_CREATED, "message_reference": reference})
        parent.last_message_id = max(parent.last_message_id or 0, notice_id)
        self._tell_message("MESSAGE_CREATE", parent.id, notice_id)

    def _tell_joined(self, thread: Thread, user_id: int, token: str) -> None:
        payload = thread_payload(thread) | {"member": thread_member_payload(thread, user_id)}
        name = "THREAD_CREATE"
        self.world.announce(
            lambda: [Announcement(name, thread.guild_id, payload, told.GUILDS, token=token)]
        )

    def _tell_members(self, thread: Thread, changes: Payload) -> None:
        payload: Payload = {"id": str(thread.id), "guild_id": str(thread.guild_id)}
        payload |= {"member_count": len(thread.member_ids)} | changes
        name = "THREAD_MEMBERS_UPDATE"
        self.world.announce(
            lambda: [Announcement(name, thread.guild_id, payload, told.GUILDS, thread)]
        )

    def _thread(self, thread_id: int) -> Thread:
        thread = self.world.channels[thread_id]
        if not isinstance(thread, Thread):
            raise KeyError(thread_id)
        return thread

    def _set_archived(self, thread_id: int, archived: bool, at_ms: int | None) -> None:
        thread = self._thread(thread_id)
        thread.archived = archived
        thread.archive_ms = self.world.clock.now_ms() if at_ms is None else at_ms
        self.world.touch_parent(thread)
        self._tell_thread("THREAD_UPDATE", thread)
