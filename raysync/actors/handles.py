"""Ports over the handles of the tracker's and the governor's actors; see also `remote_worker`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from raysync.actors.ray_calls import without_waiting
from raysync.background import take_note
from raysync.credentials import seal_for
from raysync.errors import (
    LedgerUnknownError,
    PermitUnavailableError,
    RaysyncError,
    RunStoppedError,
    SyncError,
    UnknownJobError,
)
from raysync.models.events import ApiUsage, ChannelProgress, JobHeader, JobView, WorkerReport
from raysync.models.ids import ChannelId
from raysync.models.permits import Bequest, Demand, Lease, Sharer
from raysync.models.work import ChannelOutcome, ChannelTask, Skipped
from raysync.ratelimit.limiter import Report
from raysync.reasons import reason_of
from raysync.sync.progress.metering import TenantFigures
from raysync.worker.channel_worker import Watch
from raysync.worker.secrets import JobSecrets

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

TRACKER_TIMEOUT_S = 60.0
WATCH_RETRY_S = 1.0
GOVERNOR_TIMEOUT_S = 10.0


class RemoteTracker:
    """Tracker of the run, for one job. A restarted tracker receives all of the job again."""

    def __init__(self, actor: Any, header: JobHeader, database_url: str) -> None:
        self._actor = actor
        self._header = header
        self._database_url = database_url
        self._tasks: list[ChannelTask] = []
        self._skipped: list[Skipped] = []
        self._outcomes: list[ChannelOutcome] = []
        self._planned = False
        self._failed = 0
        self._restarts = 0
        self._resending: asyncio.Task[None] | None = None

    @property
    def tenant(self) -> str:
        """Slug of the job's tenant."""
        return self._header.tenant

    def figures(self, waiting: int) -> TenantFigures:
        """Return the figures of the job that the tracker does not know, and *waiting*."""
        return TenantFigures(waiting, self._failed, self._restarts)

    async def open(self) -> None:
        """Open the job at the tracker, and send everything that is known of it."""
        job_id = self._header.job_id
        try:
            public_key = await self._bounded(self._actor.public_key.remote())
            sealed = seal_for(public_key, self._database_url.encode())
            await self._bounded(self._actor.connect.remote(sealed))
            await self._bounded(self._actor.open.remote(self._header))
            await self._bounded(self._actor.plan.remote(job_id, self._tasks, self._skipped))
            for outcome in self._outcomes:
                await self._bounded(self._actor.settle.remote(job_id, outcome))
            if self._planned:
                await self._bounded(self._actor.planned.remote(job_id))
        except RayError as error:
            raise _of_tracker(error) from error

    async def _bounded(self, call: Awaitable[_T]) -> _T:
        """Await one call; kill a tracker that does not answer, so that Ray restarts it."""
        try:
            async with asyncio.timeout(TRACKER_TIMEOUT_S):
                return await call
        except TimeoutError:
            without_waiting(partial(ray.kill, self._actor, no_restart=False))
            raise SyncError(
                "the progress tracker did not answer in time and is restarted"
            ) from None

    async def _ask(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        restarts = self._restarts
        try:
            return await self._bounded(ask())
        except UnknownJobError:
            await self._resend(restarts)
            return await self._bounded(ask())
        except RayError as error:
            raise _of_tracker(error) from error

    async def _resend(self, restarts: int) -> None:
        """Send the job to a new tracker, once for all of the calls that it has refused.

        *restarts* is the number of known restarts at the time of the refused call.
        """
        if self._resending is None or restarts == self._restarts:
            self._restarts += 1
            self._resending = asyncio.create_task(self.open())
            self._resending.add_done_callback(take_note)
        # other calls wait for it too, if this one is cancelled
        await asyncio.shield(self._resending)

    async def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        self._tasks += tasks
        self._skipped += skipped
        await self._ask(
            lambda: self._actor.plan.remote(self._header.job_id, list(tasks), list(skipped))
        )

    async def planned(self) -> None:
        self._planned = True
        await self._ask(lambda: self._actor.planned.remote(self._header.job_id))

    async def report(self, report: WorkerReport) -> None:
        await self._ask(lambda: self._actor.report.remote(report))

    async def settle(self, outcome: ChannelOutcome) -> None:
        self._outcomes.append(outcome)
        self._failed += outcome.failure is not None
        await self._ask(lambda: self._actor.settle.remote(self._header.job_id, outcome))

    async def usage(self) -> Mapping[str, ApiUsage]:
        return await self._ask(lambda: self._actor.usage.remote(self._header.job_id))

    async def under_way(self) -> Mapping[ChannelId, ChannelProgress]:
        """Return the progress of the channels that have begun and not ended."""
        return await self._ask(lambda: self._actor.under_way.remote(self._header.job_id))

    async def view(self, busiest: int) -> JobView:
        return await self._ask(lambda: self._actor.view.remote(self._header.job_id, busiest))

    async def close(self) -> None:
        """Have the tracker flush the job, and stop tracking it."""
        await self._ask(lambda: self._actor.close.remote(self._header.job_id))


def _of_tracker(error: RayError) -> RaysyncError:
    """Return the error that the tracker raised; else one that says that the tracker is lost."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, RaysyncError):
        return cause
    return SyncError(f"the progress tracker was lost: {why(error)}")


def report_to(tracker: Any) -> Callable[[WorkerReport], Awaitable[None]]:
    """Return a function that sends a worker's reports; it raises SyncError on failure."""

    async def send(report: WorkerReport) -> None:
        try:
            await tracker.report.remote(report)
        except RayError as error:
            raise SyncError(why(error)) from error

    return send


def lease_from(
    governor: Any, sharer: Sharer, secrets: JobSecrets
) -> Callable[[Demand], Awaitable[Lease]]:
    """Return a function that leases permits; without an answer, no request goes to Discord.

    Before the first lease it connects the governor to the job's database: the database of an
    earlier job on this token may be gone, or have a new password.
    """
    is_connected = False

    async def ask(demand: Demand) -> Lease:
        nonlocal is_connected
        if not is_connected:
            await _connect_governor(governor, secrets)
            is_connected = True
        granted: Lease = await governor.lease.remote(
            secrets.token_fingerprint, sharer, demand, secrets.requests_per_second
        )
        return granted

    async def lease(demand: Demand) -> Lease:
        try:
            async with asyncio.timeout(GOVERNOR_TIMEOUT_S):
                try:
                    return await ask(demand)
                except LedgerUnknownError:
                    await _connect_governor(governor, secrets)
                    return await ask(demand)
        except RayTaskError as error:  # raised by the governor: a ban, or too many refusals
            raise error.cause from None
        except (TimeoutError, RayActorError) as error:
            raise PermitUnavailableError(
                "The rate limit governor does not answer, so no request is sent to Discord."
            ) from error

    return lease


async def leave_to(governor: Any, secrets: JobSecrets, bequest: Bequest) -> bool:
    """Return whether the governor, on this machine, continues with another one's token.

    Raises:
        RayError: it does not answer, and may have the token or not.
    """
    await _connect_governor(governor, secrets)
    is_heir: bool = await governor.inherit.remote(
        secrets.token_fingerprint, bequest, secrets.requests_per_second
    )
    return is_heir


async def _connect_governor(governor: Any, secrets: JobSecrets) -> None:
    """Connect the governor to the database by which clusters share the token."""
    public_key = await governor.public_key.remote()
    sealed = seal_for(public_key, secrets.database_url.get_secret_value().encode())
    await governor.connect.remote(secrets.token_fingerprint, sealed, secrets.invalid_request_limit)


def observe_by(governor: Any, fingerprint: str) -> Report:
    """Return a function that reports refusals to the governor."""

    async def observe(status: int, scope: str | None, retry_after_s: float | None) -> None:
        await governor.observe.remote(fingerprint, status, scope, retry_after_s)

    return observe


def watch_by(governor: Any) -> Watch:
    """Return a function that waits until requests are forbidden; None: call it again."""

    async def stopped() -> RunStoppedError | None:
        try:
            reason: RunStoppedError | None = await governor.stopped.remote()
        except RayError:  # without a governor there are no permits either
            await asyncio.sleep(WATCH_RETRY_S)
            return None
        return reason

    return stopped


def why(error: BaseException) -> str:
    """Return the reason why a remote call failed: the error raised in it, or Ray's own."""
    return reason_of(error.cause if isinstance(error, RayTaskError) else error)
