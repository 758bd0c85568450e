"""The adapter before an emulator, with nothing in its way but what a test puts there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import asynccontextmanager

from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import Identities, Pseudonymizer
from raysync.emulator import Limits, World, serve

KEY = b"0123456789abcdef0123456789abcdef"


class OpenLimiter:
    """A limiter that admits everything, and counts requests in flight and their ends."""

    def __init__(self) -> None:
        self.under_way = 0
        self.sent = 0
        self.ended: Counter[tuple[str, int | None]] = Counter()

    async def enter(
        self, route: str, major_id: str | None, head_start_s: float = 0.0
    ) -> OpenRequest:
        self.under_way += 1
        return OpenRequest(self, route)


class OpenRequest:
    def __init__(self, limiter: OpenLimiter, route: str) -> None:
        self._limiter, self._route = limiter, route

    def sent(self) -> None:
        self._limiter.sent += 1

    def finish(self, status: int | None, headers: Mapping[str, str]) -> None:
        self._limiter.under_way -= 1
        self._limiter.ended[self._route, status] += 1


class Setting:
    """An emulator, a client that is logged in, and its limiter."""

    def __init__(self, emulator, client: DiscordClient, limiter: OpenLimiter) -> None:
        self.emulator, self.client, self.limiter = emulator, client, limiter

    @property
    def guild(self):
        (guild,) = self.emulator.world.guilds.values()
        return guild

    def channel_of(self, kind: int):
        """A channel of that type with messages, or with anything where none has."""
        of_kind = [each for each in self.guild.channels.values() if each.type == kind]
        return max(of_kind, key=lambda each: len(each.log.ids))


@asynccontextmanager
async def before_emulator(
    world: World,
    *,
    token: str = "token",
    limits: Limits | None = None,
    identities: Identities | None = None,
    request_timeout_s: float = 30.0,
    **options,
):
    limiter = OpenLimiter()
    async with serve(world, limits=limits or Limits.off(), **options) as emulator:
        people = identities or Pseudonymizer(KEY)
        client = DiscordClient(token, emulator.url, limiter, people, request_timeout_s)
        async with client:
            yield Setting(emulator, client, limiter)
