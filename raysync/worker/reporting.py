"""Reports of one worker about one job, sent to the tracker a few times a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from raysync.errors import SyncError
from raysync.models.events import ApiUsage, ChannelProgress, WorkerReport
from raysync.models.ids import ChannelId, JobId

_log = logging.getLogger(__name__)

REPORT_PERIOD_S = 0.5


class JobReporter:
    """Sender of cumulative, numbered reports, one at a time so that they cannot pile up."""

    def __init__(
        self,
        job_id: JobId,
        worker_id: str,
        send: Callable[[WorkerReport], Awaitable[None]],
        usage: Callable[[], ApiUsage],
    ) -> None:
        self._job_id = job_id
        self._worker_id = worker_id
        self._send = send
        self._usage = usage
        self._sequence = 0
        self._fresh: dict[ChannelId, ChannelProgress] = {}
        self._sending = asyncio.Lock()
        self._reporting = asyncio.create_task(self._report_for_ever())

    def note(self, progress: ChannelProgress) -> None:
        """Include *progress* in the next report."""
        self._fresh[progress.channel_id] = progress

    async def flush(self) -> None:
        """Send what is not reported yet. If the tracker is away, a later report includes it."""
        async with self._sending:
            self._sequence += 1
            fresh, self._fresh = self._fresh, {}
            report = WorkerReport(
                self._job_id, self._worker_id, self._sequence, tuple(fresh.values()), self._usage()
            )
            try:
                await self._send(report)
            except SyncError as error:
                _log.warning(
                    "the tracker did not accept a report: %s",
                    error,
                    extra={"event": "report_failed"},
                )
                self._fresh = fresh | self._fresh
            except asyncio.CancelledError:
                self._fresh = fresh | self._fresh
                raise

    async def close(self) -> None:
        """Stop the periodic reports, and send the last one."""
        self._reporting.cancel()
        await asyncio.gather(self._reporting, return_exceptions=True)
        await self.flush()

    async def _report_for_ever(self) -> None:
        last = ApiUsage()
        while True:
            await asyncio.sleep(REPORT_PERIOD_S)
            usage = self._usage()
            if self._fresh or usage != last:
                last = usage
                await self.flush()
