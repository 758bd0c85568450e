"""Edits of reactions and pins."""

from raysync.emulator.edits.base import WorldEdits
from raysync.emulator.world.reactions import insert_sorted, reactor_ids, with_reaction


class ReactionEdits(WorldEdits):
    """Edits of reactions and pins. KeyError for unknown ids."""

    def add_reaction(
        self, channel_id: int, message_id: int, emoji: str, user_id: int, *, burst: bool = False
    ) -> bool:
        """Add a user's reaction: a character or `name:id`. Return False if it exists already."""
        ids = self._reactors(channel_id, message_id, emoji, burst)
        added = insert_sorted(ids, user_id)
        self._recount(channel_id, message_id, emoji, burst, ids)
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
        return removed

    def clear_reactions(self, channel_id: int, message_id: int) -> None:
        """Remove all reactions of a message."""
        self.world.channels[channel_id].log.reactors.pop(message_id, None)
        self.change(channel_id, message_id, {"reactions": []})

    def pin_message(self, channel_id: int, message_id: int) -> None:
        """Pin a message now."""
        now_ms = self.world.clock.now_ms()
        self.change(channel_id, message_id, {"pinned": True})
        channel = self.world.channels[channel_id]
        channel.log.pins[message_id] = channel.last_pin_ms = now_ms

    def unpin_message(self, channel_id: int, message_id: int) -> None:
        """Unpin a message. The channel's last_pin_timestamp stays."""
        self.change(channel_id, message_id, {"pinned": False})
        self.world.channels[channel_id].log.pins.pop(message_id, None)

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
        self.change(channel_id, message_id, {"reactions": changed})
