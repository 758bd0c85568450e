"""Edits of messages: post, edit and delete."""

from collections.abc import Iterable

from raysync.emulator.edits.base import WorldEdits
from raysync.emulator.world import announcements as told
from raysync.emulator.world.entities import Channel, Thread
from raysync.emulator.world.message_payloads import REPLY, message_reference, text_message
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.payloads import user_payload
from raysync.emulator.world.snowflakes import iso

MAX_BULK = 100
"""Maximum number of messages that one request deletes."""


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
        was_archived = isinstance(channel, Thread) and channel.archived
        self._count_in_thread(channel)
        if isinstance(channel, Thread) and was_archived:
            self._tell_thread("THREAD_UPDATE", channel)
        self._tell_message("MESSAGE_CREATE", channel_id, message_id)
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
        self._change(channel_id, message_id, changes | (fields or {}))
        self._tell_message("MESSAGE_UPDATE", channel_id, message_id)

    def delete_message(self, channel_id: int, message_id: int) -> None:
        """Delete a message. The channel's last_message_id stays, as on Discord."""
        self._remove(channel_id, message_id)
        payload = {"id": str(message_id)}
        self._tell_of("MESSAGE_DELETE", channel_id, told.GUILD_MESSAGES, payload)

    def delete_messages(self, channel_id: int, message_ids: Iterable[int]) -> None:
        """Delete several messages: 2 to 100 at once by Discord's route for that."""
        ids = list(message_ids)
        if not 2 <= len(ids) <= MAX_BULK:
            for message_id in ids:
                self.delete_message(channel_id, message_id)
            return
        for message_id in ids:
            self._remove(channel_id, message_id)
        payload = {"ids": [str(message_id) for message_id in ids]}
        self._tell_of("MESSAGE_DELETE_BULK", channel_id, told.GUILD_MESSAGES, payload)

    def vote(
        self,
        channel_id: int,
        message_id: int,
        answer_id: int,
        user_id: int,
        *,
        taken_back: bool = False,
    ) -> None:
        """Vote for an answer of a poll, or take the vote back. ValueError without a poll."""
        payload = self.world.channels[channel_id].log.payload(message_id)
        if "poll" not in payload:
            raise ValueError(f"message {message_id} has no poll")
        results = payload["poll"].get("results") or {"is_finalized": False, "answer_counts": []}
        counts = {one["id"]: one for one in results["answer_counts"]}
        votes = counts.get(answer_id, {"id": answer_id, "count": 0, "me_voted": False})
        counts[answer_id] = votes | {"count": max(votes["count"] + (-1 if taken_back else 1), 0)}
        poll = payload["poll"] | {"results": results | {"answer_counts": list(counts.values())}}
        self._change(channel_id, message_id, {"poll": poll})
        name = "MESSAGE_POLL_VOTE_REMOVE" if taken_back else "MESSAGE_POLL_VOTE_ADD"
        vote = {"user_id": str(user_id), "message_id": str(message_id), "answer_id": answer_id}
        self._tell_of(name, channel_id, told.GUILD_MESSAGE_POLLS, vote)

    def _remove(self, channel_id: int, message_id: int) -> None:
        channel = self.world.channels[channel_id]
        channel.log.remove(message_id)
        self.world.touch(channel, message_id)

    def _count_in_thread(self, channel: Channel) -> None:
        if isinstance(channel, Thread):
            channel.total_message_sent += 1
            channel.archived = False
            channel.archive_ms = self.world.clock.now_ms()
            self.world.touch_parent(channel)
