"""Cause of a refused channel: the bot is out of the guild, lost a permission, or neither.

Such a cause concerns many channels at once, and none of them is at fault.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from raysync.clock import Clock
from raysync.errors import (
    AccessDeniedError,
    ExtrasRefusedError,
    NotFoundError,
    PermanentError,
    PermissionLostError,
    RetryableError,
)
from raysync.models.entities import Channel
from raysync.models.work import ChannelOutcome
from raysync.sync.planning.partition import partition_readable
from raysync.sync.planning.planner import GuildPlanner, Survey
from raysync.sync.retry import Retrier, failure_of

_REFUSALS = frozenset(
    error.__name__ for error in (AccessDeniedError, NotFoundError, ExtrasRefusedError)
)


@dataclass(slots=True)
class Membership:
    """Membership of the bot, looked up after a refusal.

    Callers that ask during a look-up share the next one.
    """

    planner: GuildPlanner
    retry: Retrier
    clock: Clock
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looked_at_s: float | None = None  #: start of the last look-up
    _found: Survey | None = None

    async def explain(self, outcome: ChannelOutcome, channel: Channel) -> ChannelOutcome:
        """Return *outcome*, with the cause if the bot lost its permission.

        Raises:
            GuildUnavailableError: the bot is no longer in the guild.
        """
        if outcome.failure is None or outcome.failure.error not in _REFUSALS:
            return outcome
        survey = await self.look()
        if survey is None:
            return outcome
        current = survey.channels.get(channel.id, channel)
        for skipped in partition_readable(survey, [current]).skipped:
            lost = PermissionLostError(f"The bot may no longer read it: {skipped.reason}.")
            return replace(outcome, failure=failure_of(lost))
        return outcome

    async def look(self) -> Survey | None:
        """Return what the bot may read now; None if Discord does not answer.

        Raises:
            GuildUnavailableError: the bot is no longer in the guild.
        """
        asked_at_s = self.clock.monotonic_s()
        async with self._looking:
            if self._looked_at_s is None or self._looked_at_s < asked_at_s:
                began_s = self.clock.monotonic_s()
                try:
                    self._found = await self.retry(self.planner.look_at_permissions)
                except (RetryableError, PermanentError):
                    self._found = None
                self._looked_at_s = began_s
            return self._found
