"""Maker of histories for the channels of one guild."""

from dataclasses import astuple, dataclass

from raysync.emulator.generator.history import Cast, History, keep_plain, seed_of
from raysync.emulator.generator.spec import GuildSpec
from raysync.emulator.generator.times import message_ids
from raysync.emulator.generator.variants import vary
from raysync.emulator.world.entities import Guild


@dataclass(frozen=True, slots=True)
class Maker:
    """Guild under generation, with its spec, seed and cast."""

    guild: Guild
    spec: GuildSpec
    seed: int
    cast: Cast

    @property
    def start_ms(self) -> int:
        """Unix millisecond at which histories begin."""
        return int(self.spec.end_ms - self.spec.span_days * 86_400_000)

    def history(self, channel_id: int, count: int, start_ms: int, end_ms: int) -> History:
        """Return the history of a channel with *count* messages."""
        spec, seed = self.spec, seed_of(self.seed, 2, channel_id)
        return History(
            channel_id=channel_id,
            guild_id=self.guild.id,
            ids=message_ids(count, start_ms, end_ms, seed, spec.tie_rate),
            seed=seed,
            cast=self.cast,
            rates=spec.rates,
            vary=vary if any(astuple(spec.rates)) else keep_plain,
            content_bytes=spec.content_bytes,
            odd_text=spec.odd_text,
        )
