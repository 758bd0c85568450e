"""The channels of a generated guild."""

from dataclasses import dataclass

from raysync.emulator.entities import Channel, ChannelType, Guild, Overwrite
from raysync.emulator.generator.draws import Draws
from raysync.emulator.generator.history import Cast, History, plain_only, seed_of
from raysync.emulator.generator.spec import GuildSpec, Spread
from raysync.emulator.generator.times import message_ids
from raysync.emulator.generator.words import title
from raysync.emulator.messages import MessageLog
from raysync.emulator.permissions import Permission
from raysync.emulator.snowflakes import snowflake

_UNKNOWN_TYPE = 40


@dataclass(frozen=True, slots=True)
class Maker:
    """What making a guild's channels needs."""

    guild: Guild
    spec: GuildSpec
    seed: int
    cast: Cast

    @property
    def start_ms(self) -> int:
        """Return when histories begin."""
        return int(self.spec.end_ms - self.spec.span_days * 86_400_000)

    def history(self, channel_id: int, count: int, start_ms: int) -> History:
        """Return the history of a channel with *count* messages."""
        spec, seed = self.spec, seed_of(self.seed, 2, channel_id)
        return History(
            channel_id=channel_id,
            guild_id=self.guild.id,
            ids=message_ids(count, start_ms, spec.end_ms, seed, spec.tie_rate),
            seed=seed,
            cast=self.cast,
            rates=spec.rates,
            dress=plain_only,
            content_bytes=spec.content_bytes,
            odd_text=spec.odd_text,
        )


def add_channels(guild: Guild, spec: GuildSpec, seed: int, cast: Cast) -> None:
    """Fill a guild with the channels of its spec, and their threads."""
    maker = Maker(guild, spec, seed, cast)
    for channel_type, count, messages in _kinds(spec):
        for share in shares(messages, count, spec.spread):
            add_channel(maker, channel_type, share)


def add_channel(maker: Maker, channel_type: int, messages: int) -> Channel:
    """Add a channel with that many messages."""
    guild, index = maker.guild, len(maker.guild.channels)
    channel_id = snowflake(maker.start_ms - 3_600_000 + index, 77)
    history = maker.history(channel_id, messages, maker.start_ms)
    name = f"{title(Draws(maker.seed, channel_id))}-{index}"
    channel = Channel(channel_id, guild.id, channel_type, name, MessageLog(history))
    channel.position = index
    channel.last_message_id = history.ids[-1] if messages else None
    guild.channels[channel_id] = channel
    return channel


def shares(total: int, parts: int, spread: Spread) -> list[int]:
    """Share a number out."""
    weights = [1.0 if spread is Spread.EVEN else 1 / (1 + each) for each in range(parts)]
    whole = sum(weights)
    counts = [int(total * weight / whole) for weight in weights]
    for index in range(total - sum(counts) if parts else 0):
        counts[index % parts] += 1
    return counts


def _kinds(spec: GuildSpec) -> list[tuple[int, int, int]]:
    return [
        (ChannelType.CATEGORY, spec.categories, 0),
        (ChannelType.TEXT, spec.text_channels, spec.text_messages),
        (ChannelType.ANNOUNCEMENT, spec.announcement_channels, spec.announcement_messages),
        (ChannelType.VOICE, spec.voice_channels, spec.voice_messages),
        (ChannelType.STAGE, spec.stage_channels, spec.stage_messages),
        (ChannelType.FORUM, spec.forum_channels, 0),
        (ChannelType.MEDIA, spec.media_channels, 0),
        (_UNKNOWN_TYPE, spec.unknown_channels, 0),
    ]


def deny_everyone(guild: Guild, channel: Channel, denied: Permission) -> None:
    """Take a permission from @everyone in a channel."""
    channel.overwrites[guild.id] = Overwrite(guild.id, 0, deny=int(denied))
