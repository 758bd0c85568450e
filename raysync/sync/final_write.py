"""Final writes of a run, made while the database may be down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from raysync.errors import DatabaseFullError, RaysyncError, StoreUnavailableError
from raysync.sync.retry import Retrier

STOPPING_S = 5.0
"""Seconds that a stopped or failed run waits for a database that is down."""


async def flush_best_effort(*flushes: Callable[[], Awaitable[object]]) -> None:
    """Flush a failed job's last reports, one after the other, as far as possible.

    Errors here never hide the one that the job failed for.
    """
    with suppress(RaysyncError, TimeoutError):
        async with asyncio.timeout(STOPPING_S):
            for flush in flushes:
                await flush()


async def write_despite_outage(
    write: Callable[[], Awaitable[object]], retrier: Retrier, stopping: asyncio.Event
) -> None:
    """Write a job's final state despite a database outage.

    Once *stopping* is set, wait for `STOPPING_S` at most: the next driver then corrects the state.
    An error about a full disk is dropped, because the result reports it already.

    Raises:
        StoreUnavailableError: the retrier has given up, and the run is not being stopped.
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
