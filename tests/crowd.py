"""People whose names, avatars and ids stand nowhere but in fields that tell of them."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from raysync.emulator import GuildSpec, World, generate_guild
from raysync.emulator.generator.history import History
from raysync.emulator.world.payloads import user_payload


def crowded_world(token: str) -> World:
    """Every kind of message, by people whose names stand in no text.

    The generator's own names are words that its texts hold as well. So everybody is given a name,
    a nickname of sorts and an avatar that nothing else holds: wherever one is found, it was
    taken from a field that tells of a person.
    """
    spec = GuildSpec.lively(300, end_ms=int(time.time() * 1000))
    world = World(generate_guild(replace(spec, rates=replace(spec.rates, odd_places=0.2))))
    (guild,) = world.guilds.values()
    for number, user in enumerate(guild.users.values()):
        user.name = f"uname-zq{number:04}xv"
        user.global_name = f"Global Zq{number:04}xv"
        user.avatar = f"{number:04}feedfacecafebeef0ddba11{number:05}"
    sources = [each.log.source for each in guild.every_channel()]
    (cast,) = {id(each.cast): each.cast for each in sources if isinstance(each, History)}.values()
    for user, described in zip(cast.users, cast.payloads, strict=True):
        described |= user_payload(user)  # which messages share
    world.add_bot(token)
    return world


LIKE_PEOPLE = re.compile(
    rb"(?<!\d)\d{17,20}(?!\d)|uname-zq\d{4}xv|Global Zq\d{4}xv|\d{4}feedfacecafebeef0ddba11\d{5}"
)


def sought_people(world: World) -> dict[bytes, str]:
    (guild,) = world.guilds.values()
    bots = {each.user.id for each in world.bots.values()}
    sought: dict[bytes, str] = {}
    for user in guild.users.values():
        if user.id not in bots:
            sought[str(user.id).encode()] = "a user's id"
            for value in (user.name, user.global_name, user.avatar):
                sought[str(value).encode()] = "a user's name or avatar"
    return sought
