"""Guilds to sync, and the emulator that serves them."""

from __future__ import annotations

import time

from raysync.emulator import (
    Edits,
    EmulatorThread,
    GuildSpec,
    Latency,
    Limits,
    World,
    generate_guild,
)
from tests.cluster.installation import TOKEN

MESSAGES = "GET /channels/{channel_id}/messages"
EVERYWHERE = "I am in all of these guilds"
SPEED = 20.0
"""How much faster than Discord's the limits are where a test is not about them."""


def lively_world(messages: int = 2_500) -> World:
    """Every kind of channel, thread and message, up to the last hours."""
    end_ms = int((time.time() - 7200) * 1000)
    return _with_bot(World(generate_guild(GuildSpec.lively(messages, end_ms=end_ms))))


def wide_world(channels: int = 16, pages: int = 8) -> World:
    """Channels of one size that take longer to read than their buckets' bursts."""
    spec = GuildSpec.uniform(channels, pages * 100 - 50)
    return _with_bot(World(generate_guild(spec)))


def two_guilds(*tokens: str) -> World:
    """A small guild for each token, with one person who writes in all of them."""
    world = World()
    for seed, token in enumerate(tokens, start=1):
        guild = world.add_guild(generate_guild(GuildSpec.tiny(), seed=seed))
        world.add_bot(token, [guild.id], name=f"bot-{seed}")
    first = next(iter(world.guilds.values()))
    everywhere = first.users[first.owner_id]
    for guild in world.guilds.values():
        guild.users[everywhere.id] = everywhere
        channel = next(each for each in guild.channels.values() if each.type == 0)
        Edits(world).post_message(channel.id, EVERYWHERE, author_id=everywhere.id)
    return world


def _with_bot(world: World) -> World:
    world.add_bot(TOKEN)
    return world


def served(world: World, latency_s: float = 0.0) -> EmulatorThread:
    """An emulator whose limits are in nobody's way."""
    latency = Latency(latency_s) if latency_s else None
    return EmulatorThread(world, limits=Limits(speed=SPEED), latency=latency)
