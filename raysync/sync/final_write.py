"""How what a run ends with is written down while the database may be away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from raysync.errors import DatabaseFullError, RaysyncError, StoreUnavailableError
from raysync.sync.retry import Retrier

STOPPING_S = 5.0
"""For so long a run that is ended, or that failed, waits for a database that is away."""


async def flush_best_effort(*tellings: Callable[[], Awaitable[object]]) -> None:
    """What a job that failed has still to tell, one after the other, as far as it can.

    Whatever comes in between is not told: why the job failed is what counts.
    """
    with suppress(RaysyncError, TimeoutError):
        async with asyncio.timeout(STOPPING_S):
            for tell in tellings:
                await tell()


async def write_despite_outage(
    write: Callable[[], Awaitable[object]], retrier: Retrier, stopping: asyncio.Event
) -> None:
    """Have the end of a job written down, however long the database is away.

    But whoever ends the run, which sets *stopping*, is not kept waiting; the next driver puts it
    in order then. And that a disk is full is in the result already.

    Raises:
        StoreUnavailableError: the retrier has given up, and nobody ends the run.
    """
    writing = asyncio.ensure_future(retrier(write))
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([writing, stopped], return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait([writing], timeout=STOPPING_S)
        if done:
            with suppress(DatabaseFullError):
                await writing
    except StoreUnavailableError:
        if not stopping.is_set():
            raise
    finally:
        stopped.cancel()
        writing.cancel()
