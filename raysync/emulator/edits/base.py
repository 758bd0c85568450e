"""Base of all edits: the world, changes of a message's payload, and what the gateway tells."""

from collections.abc import Iterator

from raysync.emulator.world import announcements as told
from raysync.emulator.world.announcements import Announcement
from raysync.emulator.world.entities import Channel, Thread
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.payloads import channel_payload, member_payload, thread_payload
from raysync.emulator.world.world import World


class WorldEdits:
    """Edits of one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def change(self, channel_id: int, message_id: int, changes: Payload) -> None:
        """Replace the keys in *changes* of a message's payload."""
        self._change(channel_id, message_id, changes)
        self._tell_message("MESSAGE_UPDATE", channel_id, message_id)

    def _change(self, channel_id: int, message_id: int, changes: Payload) -> None:
        channel = self.world.channels[channel_id]
        payload = channel.log.payload(message_id) | changes
        if payload.get("reactions") == []:
            del payload["reactions"]
        channel.log.put(payload)
        self.world.touch(channel, message_id)

    def _tell_message(self, name: str, channel_id: int, message_id: int) -> None:
        """Announce a message, whole, with what only events have."""
        self.world.announce(lambda: self._message(name, channel_id, message_id))

    def _tell_of(self, name: str, channel_id: int, intent: int, payload: Payload) -> None:
        """Announce something of a channel to those who can view it."""
        channel = self.world.channels[channel_id]
        ids = {"channel_id": str(channel_id), "guild_id": str(channel.guild_id)}
        self.world.announce(
            lambda: [Announcement(name, channel.guild_id, ids | payload, intent, channel)]
        )

    def _tell_channel(self, name: str, channel: Channel, **more: object) -> None:
        """Announce a channel or thread as it is now."""
        self.world.announce(
            lambda: [
                Announcement(
                    name,
                    channel.guild_id,
                    channel_payload(channel) | more,
                    told.GUILDS,
                    channel,
                )
            ]
        )

    def _tell_guild(self, name: str, guild_id: int, payload: Payload, intent: int) -> None:
        """Announce something of a guild to all bots in it."""
        payload = {"guild_id": str(guild_id)} | payload
        self.world.announce(lambda: [Announcement(name, guild_id, payload, intent)])

    def _message(self, name: str, channel_id: int, message_id: int) -> Iterator[Announcement]:
        world, channel = self.world, self.world.channels[channel_id]
        guild = world.guild_of(channel)
        payload = world.resolve(channel.log.payload(message_id))
        author = int(payload["author"]["id"])
        extra: Payload = {"guild_id": str(guild.id), "channel_type": int(channel.type)}
        if author in guild.members and "webhook_id" not in payload:
            member = member_payload(guild.members[author], guild.users[author])
            extra["member"] = {key: member[key] for key in member if key != "user"}
        payload = payload | extra
        if name == "MESSAGE_UPDATE":
            payload["tts"] = False
        yield Announcement(name, guild.id, payload, told.GUILD_MESSAGES, channel, is_message=True)

    def _tell_thread(self, name: str, thread: Thread, **more: object) -> None:
        """Announce a thread."""
        self.world.announce(
            lambda: [
                Announcement(
                    name, thread.guild_id, thread_payload(thread) | more, told.GUILDS, thread
                )
            ]
        )
