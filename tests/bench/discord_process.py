"""Emulated Discord in a separate process, so that its CPU is measured separately."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from raysync.emulator import (
    Emulator,
    EmulatorThread,
    Form,
    GuildSpec,
    Latency,
    Limits,
    RouteLimit,
    World,
    generate_guild,
)
from raysync.emulator.limits import OBSERVED_ROUTES
from raysync.emulator.serving.request_log import LogEntry

PAGES = "GET /channels/{channel_id}/messages"
UNLIMITED = Limits(enabled=False, routes={})
_STOP_WITHIN_S = 5.0


def discord_limits(
    pages: RouteLimit | None = None, global_form: Form = Form.FIXED, speed: float = 1.0
) -> Limits:
    """Discord's observed limits, or with another one for pages; plain values that pickle."""
    routes = dict(OBSERVED_ROUTES) | ({PAGES: pages} if pages else {})
    return Limits(routes=routes, global_form=global_form, speed=speed)


@dataclass(frozen=True, slots=True)
class Offer:
    """World to serve: a guild of *spec* for each token."""

    spec: GuildSpec
    limits: Limits
    latency_s: float = 0.0
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes that people make between two runs."""

    edits: int
    deletes: int
    posts: int
    seed: int = 1


@dataclass(frozen=True, slots=True)
class ServedGuild:
    """Guild, and the token that reads it."""

    guild_id: int
    token: str
    bot: str  #: how the request log names the token


@dataclass(frozen=True, slots=True)
class DiscordProcess:
    """Running process, and the requests to it."""

    offer: Offer
    pid: int
    url: str
    guilds: list[ServedGuild]
    _pipe: Connection

    def log(self) -> list[LogEntry]:
        """Return all requests since the last `reset`, oldest first."""
        return list(self._ask("log"))

    def reset(self) -> None:
        """Forget the requests, and reset every limit."""
        self._ask("reset")

    def change(self, changes: Changes) -> None:
        """Edit, delete and post in random channels of the first guild."""
        self._ask(changes)

    def message_ids(self, guild: ServedGuild) -> set[tuple[int, int]]:
        """Return the channel and message id of every message that an archive must hold."""
        return set(self._ask(guild))

    def _ask(self, question: Any) -> Any:
        self._pipe.send(question)
        return self._pipe.recv()


@contextmanager
def discord_process(offer: Offer) -> Iterator[DiscordProcess]:
    """Serve *offer* until the block ends, with all messages generated beforehand."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(offer, there), daemon=True
    )
    process.start()
    try:
        url, guilds = here.recv()
        yield DiscordProcess(offer, process.pid or 0, url, guilds, here)
        here.send(None)
    finally:
        process.join(_STOP_WITHIN_S)
        process.terminate()
        here.close()
        there.close()


def _serve(offer: Offer, pipe: Connection) -> None:
    world = World()
    guilds = [_add_guild(world, offer.spec, number) for number in range(1, offer.tokens + 1)]
    latency = Latency(offer.latency_s) if offer.latency_s else None
    with EmulatorThread(world, limits=offer.limits, latency=latency) as emulator:
        pipe.send((emulator.url, guilds))
        while (question := pipe.recv()) is not None:
            pipe.send(_answer(emulator, question))


def _add_guild(world: World, spec: GuildSpec, number: int) -> ServedGuild:
    guild = world.add_guild(generate_guild(spec, seed=number))
    for channel in guild.every_channel():
        for message_id in channel.log.ids:
            channel.log.encoded(message_id, world.resolve, world.budget)
    served = ServedGuild(guild.id, f"token-{number}", f"bot-{number}")
    world.add_bot(served.token, [guild.id], name=served.bot)
    return served


def _answer(emulator: Emulator, question: Any) -> Any:
    if isinstance(question, ServedGuild):
        readable = emulator.world.readable_channels(question.token, question.guild_id)
        return {(each.id, message_id) for each in readable for message_id in each.log.ids}
    if isinstance(question, Changes):
        return _change(emulator, question)
    if question == "log":
        return emulator.log.entries
    emulator.log.reset()
    emulator.set_limits(emulator.engine.limiter.limits)
    return None


def _change(emulator: Emulator, changes: Changes) -> None:
    dice = random.Random(changes.seed)
    channels = [channel for channel in emulator.world.channels.values() if channel.log.ids]
    every = [(channel.id, message_id) for channel in channels for message_id in channel.log.ids]
    chosen = dice.sample(every, changes.edits + changes.deletes)
    for channel_id, message_id in chosen[: changes.edits]:
        emulator.edits.edit_message(channel_id, message_id, f"edited {message_id}")
    for channel_id, message_id in chosen[changes.edits :]:
        emulator.edits.delete_message(channel_id, message_id)
    for number in range(changes.posts):
        emulator.edits.post_message(dice.choice(channels).id, f"new {number}")
