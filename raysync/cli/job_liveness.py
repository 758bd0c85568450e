"""Jobs as the database has them, once it is certain whether their drivers are alive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raysync.models.records import JobRecord

RECONNECT_TIMEOUT_S = 3.0
"""A driver checks its connection once a second, and reconnects at once if the connection broke."""


async def load_settled(
    load: Callable[[], Awaitable[Sequence[JobRecord]]],
) -> Sequence[JobRecord]:
    """Return the jobs from *load*, once it is certain whether their drivers are alive.

    A driver whose connection broke reconnects within two seconds and is alive. So a job that
    looks abandoned is loaded again, for up to `RECONNECT_TIMEOUT_S`.
    """
    deadline_s = time.monotonic() + RECONNECT_TIMEOUT_S
    while True:
        jobs = await load()
        if not any(map(_may_reconnect, jobs)) or time.monotonic() > deadline_s:
            return jobs
        await asyncio.sleep(RECONNECT_TIMEOUT_S / 10)


def _may_reconnect(record: JobRecord) -> bool:
    from raysync.store.connection.locks import LEASE_S

    driver = record.driver
    return record.is_abandoned and driver is not None and driver.seen_ago_s < LEASE_S
