"""People whose names, avatars and ids occur only in fields about them."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from raysync.emulator import GuildSpec, World, generate_guild
from raysync.emulator.generator.history import History
from raysync.emulator.world.payloads import user_payload


def world_of_recognizable_people(token: str) -> World:
    """Return every kind of message, by people whose names occur in no text.

    The generator's own names are words of its texts. So each person gets a unique name, nickname
    and avatar: wherever one is found, it was copied from a field about a person.
    """
    spec = GuildSpec.lively(300, end_ms=int(time.time() * 1000))
    world = World(generate_guild(replace(spec, rates=replace(spec.rates, odd_places=0.2))))
    (guild,) = world.guilds.values()
    for number, user in enumerate(guild.users.values()):
        user.name = f"uname-zq{number:04}xv"
        user.global_name = f"Global Zq{number:04}xv"
        user.avatar = f"{number:04}feedfacecafebeef0ddba11{number:05}"
    sources = [channel.log.source for channel in guild.every_channel()]
    histories = [source for source in sources if isinstance(source, History)]
    (cast,) = {id(history.cast): history.cast for history in histories}.values()
    for user, described in zip(cast.users, cast.payloads, strict=True):
        described |= user_payload(user)  # messages share these dictionaries
    world.add_bot(token)
    return world


PERSONAL_VALUE = re.compile(
    rb"(?<!\d)\d{17,20}(?!\d)|uname-zq\d{4}xv|Global Zq\d{4}xv|\d{4}feedfacecafebeef0ddba11\d{5}"
)


def values_of_people(world: World) -> dict[bytes, str]:
    """Return the ids, names and avatars of all people but bots, with a description of each."""
    (guild,) = world.guilds.values()
    bots = {bot.user.id for bot in world.bots.values()}
    sought: dict[bytes, str] = {}
    for user in guild.users.values():
        if user.id not in bots:
            sought[str(user.id).encode()] = "a user's id"
            for value in (user.name, user.global_name, user.avatar):
                sought[str(value).encode()] = "a user's name or avatar"
    return sought
