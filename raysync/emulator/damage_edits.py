"""Damage at run time: records that are served broken until they are mended."""

from collections.abc import Iterable

from raysync.emulator.channel_edits import ChannelEdits
from raysync.emulator.damage import Damage
from raysync.emulator.messages import Payload


class DamageEdits(ChannelEdits):
    """Breaks what is served of a message, channel or guild. KeyError for what is not there.

    *patch* is laid over the payload, objects into objects; the keys *without* are left out;
    *text* is served in place of all of it, JSON or not. What the world knows stays whole.
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
        """Serve a message as it is again."""
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
        """Serve a channel as it is again."""
        self.world.channels[channel_id].damage = None

    def damage_guild(
        self,
        guild_id: int,
        patch: Payload | None = None,
        *,
        without: Iterable[str] = (),
        text: str | None = None,
    ) -> None:
        """Serve a guild damaged, its roles included."""
        self.world.guilds[guild_id].damage = Damage(patch or {}, tuple(without), text)

    def mend_guild(self, guild_id: int) -> None:
        """Serve a guild as it is again."""
        self.world.guilds[guild_id].damage = None
