"""Settle passes of one tenant: runs that prove by pages what the tail has stored."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from raysync.clock import Clock
from raysync.errors import RaysyncError
from raysync.live.guild_listener import GuildListener

_log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between looks for something to settle."""
NEWS_S: Final = 3600.0
"""Seconds between passes over channels with new messages."""
DOUBTS_S: Final = 60.0
"""Seconds between passes over messages in doubt."""
YOUNG_S: Final = 360.0
"""Seconds after a whole pass, after which pages prove deletions of its last five minutes, too."""
DAILY_S: Final = 86_400.0
"""Seconds between whole passes: the tail's own check of what it has heard."""
RETRY_S: Final = 60.0
"""Seconds before a pass that could not be completed is tried again."""

Figures = dict[str, Any]
"""What a pass did, for the user."""


class Settler(Protocol):
    """Runs over one tenant. Each returns its figures, or None where it was not completed."""

    async def whole(self) -> Figures | None:
        """List and read the guild, and compare what is stored."""
        ...

    async def young(self) -> Figures | None:
        """List the guild, and compare what is minutes old."""
        ...

    async def news(self) -> Figures | None:
        """Read the channels with messages that no page has proven."""
        ...

    async def doubts(self) -> Figures | None:
        """Read the messages in doubt. Empty figures: there are none."""
        ...


class SettleLoop:
    """Decides what to settle, and when."""

    def __init__(
        self,
        guild: GuildListener,
        settler: Settler,
        clock: Clock,
        note: Callable[[GuildListener, str, Figures], None],
        turn: asyncio.Semaphore,
    ) -> None:
        """*turn* bounds the passes of all tenants at one time."""
        self._guild = guild
        self._settler = settler
        self._clock = clock
        self._note = note
        self._turn = turn
        now_s = clock.monotonic_s()
        self._news_s = now_s + NEWS_S
        self._doubts_s = now_s + DOUBTS_S
        self._young_s = math.inf
        self._daily_s = now_s + DAILY_S

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            call = self._due()
            if call is None:
                continue
            async with self._turn:
                if not await self._is_done(call):
                    await asyncio.sleep(RETRY_S)

    def _due(self) -> Callable[[], Awaitable[bool]] | None:
        guild, now_s = self._guild, self._clock.monotonic_s()
        if not guild.is_listening or guild.is_removed:
            return None
        if guild.needs_settling or now_s >= self._daily_s:
            return self._whole
        if guild.strangers or now_s >= self._young_s:
            return self._young
        if now_s >= self._news_s:
            return self._news
        return self._doubts if now_s >= self._doubts_s else None

    async def _is_done(self, call: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await call()
        except RaysyncError as error:
            _log.warning("a settle pass failed: %s", error, extra={"event": "settle_failed"})
            return False

    async def _whole(self) -> bool:
        self._guild.needs_settling = False  # a session that begins meanwhile needs another
        figures = await self._settler.whole()
        if figures is None:
            self._guild.needs_settling = True
            return False
        self._daily_s = self._clock.monotonic_s() + DAILY_S
        self._young_s = self._clock.monotonic_s() + YOUNG_S
        self._note(self._guild, "settled", figures)
        return True

    async def _young(self) -> bool:
        strangers = set(self._guild.strangers)
        figures = await self._settler.young()
        if figures is not None:
            self._guild.strangers -= strangers
            self._young_s = math.inf
        return figures is not None

    async def _news(self) -> bool:
        self._news_s = self._clock.monotonic_s() + NEWS_S
        return await self._settler.news() is not None

    async def _doubts(self) -> bool:
        self._doubts_s = self._clock.monotonic_s() + DOUBTS_S
        await self._settler.doubts()
        return True
