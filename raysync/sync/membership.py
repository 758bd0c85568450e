"""Why Discord refuses a channel: the guild threw the bot out, its permission is gone, or neither.

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
from raysync.sync.planner import GuildPlanner, Survey, partition_readable
from raysync.sync.retry import Retrier, failure_of

_REFUSALS = frozenset(
    each.__name__ for each in (AccessDeniedError, NotFoundError, ExtrasRefusedError)
)


@dataclass(slots=True)
class Membership:
    """Looks at the guild after a refusal: once for all who ask while it is looked at."""

    planner: GuildPlanner
    again: Retrier
    clock: Clock
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looked_at_s: float | None = None  #: when the last look began
    _found: Survey | None = None

    async def explain(self, outcome: ChannelOutcome, channel: Channel) -> ChannelOutcome:
        """Return *outcome* with the cause where it is the bot's permission that is gone.

        Raises:
            GuildUnavailableError: the bot is in the guild no more.
        """
        if outcome.failure is None or outcome.failure.error not in _REFUSALS:
            return outcome
        survey = await self.look()
        if survey is None:
            return outcome
        for each in partition_readable(survey, [survey.channels.get(channel.id, channel)]).skipped:
            lost = PermissionLostError(f"The bot may no longer read it: {each.reason}.")
            return replace(outcome, failure=failure_of(lost))
        return outcome

    async def look(self) -> Survey | None:
        """Return what the bot may read now; None where Discord does not say.

        Raises:
            GuildUnavailableError: the bot is in the guild no more.
        """
        asked_at_s = self.clock.monotonic_s()
        async with self._looking:
            if self._looked_at_s is None or self._looked_at_s < asked_at_s:
                began_s = self.clock.monotonic_s()
                try:
                    self._found = await self.again(self.planner.look_at_permissions)
                except (RetryableError, PermanentError):
                    self._found = None
                self._looked_at_s = began_s
            return self._found
