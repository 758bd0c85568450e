"""Guilds to sync, the emulator that serves them, and the tenant that syncs them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from raysync.emulator import (
    Edits,
    Emulator,
    EmulatorThread,
    GuildSpec,
    Latency,
    Limits,
    World,
    generate_guild,
)
from tests.cluster.installation import TOKEN, Installation

MESSAGES = "GET /channels/{channel_id}/messages"
EVERYWHERE = "I am in all of these guilds"
SPEED = 20.0
"""Factor by which limits are faster than Discord's, in tests that are not about limits."""
TENANT = "takaro"
"""Slug of the tenant in tests with one guild."""


class ServeTenant(Protocol):
    """Fixture `serve_tenant`: serve a world's only guild and add its tenant, until the test ends.

    *environ* sets variables of the returned installation; None unsets one.
    """

    def __call__(
        self,
        installation: Installation,
        world: World,
        latency_s: float = 0.0,
        **environ: str | None,
    ) -> tuple[Installation, Emulator]: ...


def tiny_world(messages: int | None = None) -> World:
    """Return a guild of a few channels with a few messages."""
    spec = GuildSpec.tiny() if messages is None else GuildSpec.tiny(messages)
    return _with_bot(World(generate_guild(spec)))


def lively_world(messages: int = 2_500) -> World:
    """Return a guild with every kind of channel, thread and message, up to two hours ago."""
    end_ms = int((time.time() - 7200) * 1000)
    return _with_bot(World(generate_guild(GuildSpec.lively(messages, end_ms=end_ms))))


def wide_world(channels: int = 16, pages: int = 8) -> World:
    """Return channels of one size, which take longer to read than their buckets' bursts."""
    spec = GuildSpec.uniform(channels, pages * 100 - 50)
    return _with_bot(World(generate_guild(spec)))


def two_guilds(*tokens: str) -> World:
    """Return a small guild for each token, with one person who writes in all of them."""
    world = World()
    for seed, token in enumerate(tokens, start=1):
        guild = world.add_guild(generate_guild(GuildSpec.tiny(), seed=seed))
        world.add_bot(token, [guild.id], name=f"bot-{seed}")
    first = next(iter(world.guilds.values()))
    everywhere = first.users[first.owner_id]
    for guild in world.guilds.values():
        guild.users[everywhere.id] = everywhere
        channel = next(found for found in guild.channels.values() if found.type == 0)
        Edits(world).post_message(channel.id, EVERYWHERE, author_id=everywhere.id)
    return world


def _with_bot(world: World) -> World:
    world.add_bot(TOKEN)
    return world


def served(world: World, latency_s: float = 0.0) -> EmulatorThread:
    """Return an emulator whose limits do not slow a test down."""
    latency = Latency(latency_s) if latency_s else None
    return EmulatorThread(world, limits=Limits(speed=SPEED), latency=latency)


@contextmanager
def served_tenant(
    installation: Installation, world: World, latency_s: float = 0.0, **environ: str | None
) -> Iterator[tuple[Installation, Emulator]]:
    """Serve the only guild of *world*, and add it as `TENANT` to *installation*."""
    (guild_id,) = world.guilds
    with served(world, latency_s) as emulator:
        prepared = installation.for_emulator(emulator).with_environ(**environ)
        prepared.add_tenant(TENANT, guild_id)
        yield prepared, emulator
