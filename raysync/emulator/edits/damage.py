"""Edits that damage records. They are served damaged until they are mended."""

from collections.abc import Iterable

from raysync.emulator.edits.base import WorldEdits
from raysync.emulator.world.damage import Damage
from raysync.emulator.world.messages import Payload


class DamageEdits(WorldEdits):
    """Edits that damage the answer for a message, channel or guild. KeyError for unknown ids.

    *patch* is merged into the payload, nested objects included. The keys in *without* are removed.
    *text* replaces the whole record, JSON or not. The world itself keeps the original.
    """

    def damage_message(
        self,
        channel_id: int,
        message_id: int,
        patch: Payload | None = None,
        *,
        without: Iterable[str] = (),
        text: str | None = None,
    ) -> None:
        """Serve a message damaged, in pages and alone."""
        log = self.world.channels[channel_id].log
        log.payload(message_id)
        log.damage[message_id] = Damage(patch or {}, tuple(without), text)

    def mend_message(self, channel_id: int, message_id: int) -> None:
        """Serve a damaged message correctly again."""
        self.world.channels[channel_id].log.damage.pop(message_id, None)

    def damage_channel(
        self,
        channel_id: int,
        patch: Payload | None = None,
        *,
        without: Iterable[str] = (),
        text: str | None = None,
    ) -> None:
        """Serve a channel or thread damaged, alone and in every list."""
        damage = Damage(patch or {}, tuple(without), text)
        self.world.channels[channel_id].damage = damage

    def mend_channel(self, channel_id: int) -> None:
        """Serve a damaged channel or thread correctly again."""
        self.world.channels[channel_id].damage = None

    def damage_guild(
        self,
        guild_id: int,
        patch: Payload | None = None,
        *,
        without: Iterable[str] = (),
        text: str | None = None,
    ) -> None:
        """Serve a guild damaged, including its roles."""
        self.world.guilds[guild_id].damage = Damage(patch or {}, tuple(without), text)

    def mend_guild(self, guild_id: int) -> None:
        """Serve a damaged guild correctly again."""
        self.world.guilds[guild_id].damage = None
