"""The channels of a generated guild."""

from raysync.emulator.generator.draws import Draws, mix
from raysync.emulator.generator.history import Cast, History
from raysync.emulator.generator.maker import Maker
from raysync.emulator.generator.spec import GuildSpec, Spread
from raysync.emulator.generator.threads import add_threads
from raysync.emulator.generator.words import title
from raysync.emulator.world.entities import Channel, ChannelType, Guild, Overwrite
from raysync.emulator.world.messages import MessageLog
from raysync.emulator.world.permissions import Permission
from raysync.emulator.world.snowflakes import made_at_ms, snowflake

_UNKNOWN_TYPE = 40


def add_channels(guild: Guild, spec: GuildSpec, seed: int, cast: Cast) -> None:
    """Add the channels of the spec to a guild, with their threads."""
    maker = Maker(guild, spec, seed, cast)
    for channel_type, count, messages in _counts_by_type(spec):
        for share in shares(messages, count, spec.spread):
            add_channel(maker, channel_type, share)
    _file_under_categories(guild)
    _deny_some(guild, spec)
    add_threads(maker)


def add_channel(maker: Maker, channel_type: int, messages: int) -> Channel:
    """Add a channel with this many messages."""
    guild, index = maker.guild, len(maker.guild.channels)
    channel_id = snowflake(maker.start_ms - 3_600_000 + index, mix(maker.seed, guild.id) & 0x3FFFFF)
    history = maker.history(channel_id, messages, maker.start_ms, maker.spec.end_ms)
    name = f"{title(Draws(maker.seed, channel_id))}-{index}"
    channel = Channel(channel_id, guild.id, channel_type, name, MessageLog(history))
    channel.position = index
    channel.last_message_id = history.ids[-1] if messages else None
    _pin_some(maker, channel, history)
    guild.channels[channel_id] = channel
    return channel


def shares(total: int, parts: int, spread: Spread) -> list[int]:
    """Split a total into shares, evenly or skewed."""
    weights = [1.0 if spread is Spread.EVEN else (1 + part) ** -0.6 for part in range(parts)]
    whole = sum(weights)
    counts = [int(total * weight / whole) for weight in weights]
    for index in range(total - sum(counts) if parts else 0):
        counts[index % parts] += 1
    return counts


def _counts_by_type(spec: GuildSpec) -> list[tuple[int, int, int]]:
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


def _file_under_categories(guild: Guild) -> None:
    every = list(guild.channels.values())
    categories = [channel.id for channel in every if channel.type == ChannelType.CATEGORY]
    for index, channel in enumerate(every):
        if categories and channel.type != ChannelType.CATEGORY:
            channel.parent_id = categories[index % len(categories)]


def _deny_some(guild: Guild, spec: GuildSpec) -> None:
    channels = guild.channels.values()
    texts = [channel for channel in channels if channel.type == ChannelType.TEXT]
    hidden_from = len(texts) - spec.hidden_channels
    muted_from = hidden_from - spec.mute_channels
    for channel in texts[hidden_from:]:
        _deny_everyone(guild, channel, Permission.VIEW_CHANNEL)
    for channel in texts[muted_from:hidden_from]:
        _deny_everyone(guild, channel, Permission.READ_MESSAGE_HISTORY)


def _pin_some(maker: Maker, channel: Channel, history: History) -> None:
    count = round(len(history.ids) * maker.spec.rates.pins)
    if count:
        step = len(history.ids) // count
        history.pinned = frozenset(history.ids[number * step] for number in range(count))
        pinned_ids = sorted(history.pinned)
        channel.log.pins = {pinned: made_at_ms(pinned) + 60_000 for pinned in pinned_ids}
        channel.last_pin_ms = max(channel.log.pins.values())


def _deny_everyone(guild: Guild, channel: Channel, denied: Permission) -> None:
    channel.overwrites[guild.id] = Overwrite(guild.id, 0, deny=int(denied))
