"""Generator of guilds from a seed: of any size, with every feature of Discord."""

from raysync.emulator.generator.guild import generate_guild
from raysync.emulator.generator.spec import GuildSpec

__all__ = ["GuildSpec", "generate_guild"]
