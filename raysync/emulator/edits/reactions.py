"""Edits of reactions and pins."""

from raysync.emulator.edits.base import WorldEdits
from raysync.emulator.world import announcements as told
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.reactions import insert_sorted, reactor_ids, with_reaction
from raysync.emulator.world.snowflakes import iso


class ReactionEdits(WorldEdits):
    """Edits of reactions and pins. KeyError for unknown ids."""

    def add_reaction(
        self, channel_id: int, message_id: int, emoji: str, user_id: int, *, burst: bool = False
    ) -> bool:
        """Add a user's reaction: a character or `name:id`. Return False if it exists already."""
        ids = self._reactors(channel_id, message_id, emoji, burst)
        added = insert_sorted(ids, user_id)
        self._recount(channel_id, message_id, emoji, burst, ids)
        if added:
            self._tell("MESSAGE_REACTION_ADD", channel_id, message_id, emoji, user_id, burst)
        return added

    def remove_reaction(
        self, channel_id: int, message_id: int, emoji: str, user_id: int, *, burst: bool = False
    ) -> bool:
        """Remove a user's reaction. Return False if there is none."""
        ids = self._reactors(channel_id, message_id, emoji, burst)
        removed = user_id in ids
        if removed:
            ids.remove(user_id)
        self._recount(channel_id, message_id, emoji, burst, ids)
        if removed:
            self._tell("MESSAGE_REACTION_REMOVE", channel_id, message_id, emoji, user_id, burst)
        return removed

    def clear_reactions(self, channel_id: int, message_id: int) -> None:
        """Remove all reactions of a message."""
        self.world.channels[channel_id].log.reactors.pop(message_id, None)
        self._change(channel_id, message_id, {"reactions": []})
        payload = {"message_id": str(message_id)}
        intent = told.GUILD_MESSAGE_REACTIONS
        self._tell_of("MESSAGE_REACTION_REMOVE_ALL", channel_id, intent, payload)

    def clear_emoji(self, channel_id: int, message_id: int, emoji: str) -> None:
        """Remove all reactions with one emoji from a message."""
        log = self.world.channels[channel_id].log
        for burst in (False, True):
            self._recount(channel_id, message_id, emoji, burst, [])
        log.reactors.get(message_id, {}).pop((emoji, False), None)
        log.reactors.get(message_id, {}).pop((emoji, True), None)
        payload = {"message_id": str(message_id), "emoji": _emoji(emoji)}
        intent = told.GUILD_MESSAGE_REACTIONS
        self._tell_of("MESSAGE_REACTION_REMOVE_EMOJI", channel_id, intent, payload)

    def pin_message(self, channel_id: int, message_id: int) -> None:
        """Pin a message now."""
        now_ms = self.world.clock.now_ms()
        self._change(channel_id, message_id, {"pinned": True})
        channel = self.world.channels[channel_id]
        channel.log.pins[message_id] = channel.last_pin_ms = now_ms
        self._tell_pins(channel_id, message_id)

    def unpin_message(self, channel_id: int, message_id: int) -> None:
        """Unpin a message. The channel's last_pin_timestamp stays."""
        self._change(channel_id, message_id, {"pinned": False})
        self.world.channels[channel_id].log.pins.pop(message_id, None)
        self._tell_pins(channel_id, message_id)

    def _tell_pins(self, channel_id: int, message_id: int) -> None:
        last_ms = self.world.channels[channel_id].last_pin_ms
        payload = {"last_pin_timestamp": None if last_ms is None else iso(last_ms)}
        self._tell_of("CHANNEL_PINS_UPDATE", channel_id, told.GUILDS, payload)
        self._tell_message("MESSAGE_UPDATE", channel_id, message_id)

    def _tell(
        self, name: str, channel_id: int, message_id: int, emoji: str, user_id: int, burst: bool
    ) -> None:
        channel = self.world.channels[channel_id]
        author = channel.log.payload(message_id)["author"]["id"]
        payload = {
            "user_id": str(user_id),
            "message_id": str(message_id),
            "message_author_id": author,
            "emoji": _emoji(emoji),
            "burst": burst,
            "type": int(burst),
        }
        self._tell_of(name, channel_id, told.GUILD_MESSAGE_REACTIONS, payload)

    def _reactors(self, channel_id: int, message_id: int, emoji: str, burst: bool) -> list[int]:
        channel = self.world.channels[channel_id]
        guild = self.world.guild_of(channel)
        return list(reactor_ids(guild, channel.log, message_id, (emoji, burst)))

    def _recount(
        self, channel_id: int, message_id: int, emoji: str, burst: bool, ids: list[int]
    ) -> None:
        channel = self.world.channels[channel_id]
        other = self._reactors(channel_id, message_id, emoji, not burst)
        recorded = channel.log.reactors.setdefault(message_id, {})
        recorded[emoji, burst], recorded[emoji, not burst] = ids, other
        normal, bursts = (other, ids) if burst else (ids, other)
        reactions = channel.log.payload(message_id).get("reactions", [])
        changed = with_reaction(reactions, emoji, len(normal), len(bursts))
        self._change(channel_id, message_id, {"reactions": changed})


def _emoji(emoji: str) -> Payload:
    """Return an emoji, a character or `name:id`, as events name it."""
    name, _, emoji_id = emoji.rpartition(":")
    return {"id": emoji_id, "name": name} if name else {"id": None, "name": emoji}
