"""Specification of a generated guild."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

DEFAULT_END_MS: Final = 1_790_000_000_000
"""Default end of histories: a fixed day, so that a seed always gives the same guild."""


class Spread(StrEnum):
    """Distribution of messages among the channels of a type."""

    EVEN = "even"  #: the same number in each
    SKEWED = "skewed"  #: the n-th channel holds about 1/n^0.6 of the first one's


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of messages (0 to 1) of each kind, or with each feature."""

    reactions: float = 0.0
    attachments: float = 0.0
    embeds: float = 0.0
    replies: float = 0.0
    edits: float = 0.0
    mentions: float = 0.0
    forwards: float = 0.0
    polls: float = 0.0
    components: float = 0.0
    components_v2: float = 0.0
    stickers: float = 0.0
    webhooks: float = 0.0
    interactions: float = 0.0
    system: float = 0.0
    unknown: float = 0.0
    pins: float = 0.0
    odd_places: float = 0.0  #: a user is named in an odd place

    @classmethod
    def lively(cls) -> Self:
        """Return the rates of a guild with every kind of message."""
        return cls(
            reactions=0.15,
            attachments=0.06,
            embeds=0.05,
            replies=0.2,
            edits=0.05,
            mentions=0.08,
            forwards=0.01,
            polls=0.005,
            components=0.01,
            components_v2=0.01,
            stickers=0.01,
            webhooks=0.03,
            interactions=0.02,
            system=0.02,
            unknown=0.002,
            pins=0.002,
            odd_places=0.02,
        )


@dataclass(frozen=True, slots=True)
class GuildSpec:
    """Counts for `generate_guild`. Messages are counted per type of channel, except for threads.

    The last *hidden_channels* text channels deny VIEW_CHANNEL to everyone, and the *mute_channels*
    before them READ_MESSAGE_HISTORY. Histories end at *end_ms* and span *span_days*.
    """

    name: str = "emulated guild"
    text_channels: int = 10
    announcement_channels: int = 0
    voice_channels: int = 0
    stage_channels: int = 0
    forum_channels: int = 0
    media_channels: int = 0
    categories: int = 1
    unknown_channels: int = 0
    hidden_channels: int = 0
    mute_channels: int = 0
    text_messages: int = 1_000
    announcement_messages: int = 0
    voice_messages: int = 0
    stage_messages: int = 0
    threads: int = 0
    private_threads: int = 0
    announcement_threads: int = 0
    posts: int = 0
    messages_per_thread: int = 20
    archived: float = 0.7
    spread: Spread = Spread.EVEN
    rates: Rates = field(default_factory=Rates)
    tie_rate: float = 0.0
    odd_text: bool = False
    content_bytes: int = 120
    users: int = 200
    custom_emojis: int = 0
    end_ms: int = DEFAULT_END_MS
    span_days: float = 365.0

    @classmethod
    def uniform(
        cls, channels: int = 100, messages_per_channel: int = 1500, end_ms: int = DEFAULT_END_MS
    ) -> Self:
        """Return a spec for benchmarks: equal text channels of plain messages, 100 kB a page."""
        total = channels * messages_per_channel
        return cls(text_channels=channels, text_messages=total, content_bytes=420, end_ms=end_ms)

    @classmethod
    def tiny(cls, messages: int = 300, end_ms: int = DEFAULT_END_MS) -> Self:
        """Return a spec for a first look: three channels with a few hundred messages."""
        rates = Rates(reactions=0.1, replies=0.2, attachments=0.05)
        return cls(text_channels=3, text_messages=messages, users=12, rates=rates, end_ms=end_ms)

    @classmethod
    def lively(cls, messages: int = 40_000, end_ms: int = DEFAULT_END_MS) -> Self:
        """Return a spec with every type of channel and message, about *messages* in total."""
        threads = max(24, messages // 400)
        posts = max(16, messages // 400)
        return cls(
            name="lively guild",
            text_channels=44,
            announcement_channels=4,
            voice_channels=4,
            stage_channels=2,
            forum_channels=4,
            media_channels=2,
            categories=6,
            unknown_channels=1,
            hidden_channels=2,
            mute_channels=2,
            text_messages=messages * 65 // 100,
            announcement_messages=messages * 4 // 100,
            voice_messages=messages * 4 // 100,
            stage_messages=messages * 2 // 100,
            threads=threads * 6 // 10,
            private_threads=threads * 3 // 10,
            announcement_threads=threads // 10,
            posts=posts,
            messages_per_thread=messages * 25 // 100 // (threads + posts),
            spread=Spread.SKEWED,
            rates=Rates.lively(),
            tie_rate=0.01,
            users=400,
            custom_emojis=12,
            end_ms=end_ms,
        )
