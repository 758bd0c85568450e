"""Port for what is read after a channel's messages.

Each kind starts from what the store lacks, and writes every piece as soon as it is there. So an
interrupted run continues with what is still missing, and a run that misses nothing requests
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from raysync.models.extras import ExtraTally
from raysync.models.ids import ChannelId
from raysync.models.work import Claim
from raysync.sync.groups import first_error
from raysync.sync.retry import Retrier


@dataclass(frozen=True, slots=True)
class Visit:
    """Visit to a channel in which extras are read."""

    claim: Claim
    retry: Retrier
    gives_way: Callable[[], bool]  #: returns True if messages of other channels wait for the slot
    count: Callable[[ExtraTally], None]

    @property
    def channel_id(self) -> ChannelId:
        return self.claim.task.channel_id


class Extra(Protocol):
    """One kind of extra: reactors, or files."""

    async def due(self, visit: Visit) -> int:
        """Return the number of requests, or files, that are missing: for an estimate."""
        ...

    async def read(self, visit: Visit) -> bool:
        """Read everything that is missing. Return False if the visit gave way before the end."""
        ...


async def run_together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines side by side; the first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
