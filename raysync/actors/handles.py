"""The engine's ports over actor handles: every Ray call of the driver and the workers is here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from raysync.actors.tracker import UnknownJobError
from raysync.credentials import seal_for
from raysync.errors import (
    PermitUnavailableError,
    RaysyncError,
    RunStoppedError,
    SyncError,
)
from raysync.models.events import ApiUsage, ChannelProgress, JobView, WorkerReport
from raysync.models.ids import ChannelId
from raysync.models.permits import Demand, Lease, Sharer
from raysync.models.work import ChannelOutcome, ChannelTask, Skipped
from raysync.ratelimit.limiter import Report
from raysync.ratelimit.share_keeper import LedgerUnknownError
from raysync.reasons import reason_of
from raysync.sync.metering import TenantFigures
from raysync.sync.progress import JobHeader
from raysync.worker.channel_worker import Watch
from raysync.worker.secrets import JobSecrets

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

CLOSE_TIMEOUT_S = 10.0
TRACKER_TIMEOUT_S = 60.0
WATCH_AGAIN_S = 1.0
GOVERNOR_TIMEOUT_S = 10.0


class RemoteTracker:
    """The run's tracker, for one job; a restarted one is told all of the job again."""

    def __init__(self, actor: Any, header: JobHeader, database_url: str) -> None:
        self._actor = actor
        self._header = header
        self._database_url = database_url
        self._tasks: list[ChannelTask] = []
        self._skipped: list[Skipped] = []
        self._outcomes: list[ChannelOutcome] = []
        self._planned = False
        self._given_up = 0
        self._restarts = 0
        self._telling: asyncio.Task[None] | None = None

    @property
    def tenant(self) -> str:
        """Whose job it is."""
        return self._header.tenant

    def figures(self, waiting: int) -> TenantFigures:
        """What metrics tell of the job beside what the tracker does; *waiting* as given."""
        return TenantFigures(waiting, self._given_up, self._restarts)

    async def open(self) -> None:
        """Make the tracker know the job; what is known here is told again."""
        job_id = self._header.job_id
        try:
            address = await self._bounded(self._actor.public_key.remote())
            sealed = seal_for(address, self._database_url.encode())
            await self._bounded(self._actor.connect.remote(sealed))
            await self._bounded(self._actor.open.remote(self._header))
            await self._bounded(self._actor.plan.remote(job_id, self._tasks, self._skipped))
            for each in self._outcomes:
                await self._bounded(self._actor.settle.remote(job_id, each))
            if self._planned:
                await self._bounded(self._actor.planned.remote(job_id))
        except RayError as error:
            raise _of_tracker(error) from error

    async def _bounded(self, call: Awaitable[_T]) -> _T:
        """The answer to one call; a tracker that gives none is ended, and Ray starts it anew."""
        try:
            async with asyncio.timeout(TRACKER_TIMEOUT_S):
                return await call
        except TimeoutError:
            ray.kill(self._actor, no_restart=False)
            raise SyncError("the progress tracker did not answer, and is started anew") from None

    async def _ask(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        asked_of = self._restarts
        try:
            return await self._bounded(ask())
        except UnknownJobError:
            await self._tell_again(asked_of)
            return await self._bounded(ask())
        except RayError as error:
            raise _of_tracker(error) from error

    async def _tell_again(self, asked_of: int) -> None:
        """Tell a new tracker all of the job: once, however many calls it has refused."""
        if self._telling is None or asked_of == self._restarts:
            self._restarts += 1
            self._telling = asyncio.create_task(self.open())
            self._telling.add_done_callback(take_note)
        await asyncio.shield(self._telling)  # who asked may be cancelled, and others wait, too

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
        self._given_up += outcome.failure is not None
        await self._ask(lambda: self._actor.settle.remote(self._header.job_id, outcome))

    async def usage(self) -> Mapping[str, ApiUsage]:
        return await self._ask(lambda: self._actor.usage.remote(self._header.job_id))

    async def under_way(self) -> Mapping[ChannelId, ChannelProgress]:
        """Where the channels stand that were begun and have not ended."""
        return await self._ask(lambda: self._actor.under_way.remote(self._header.job_id))

    async def view(self, busiest: int) -> JobView:
        return await self._ask(lambda: self._actor.view.remote(self._header.job_id, busiest))

    async def close(self) -> None:
        """Have the tracker write down what is left of the job."""
        await self._ask(lambda: self._actor.close.remote(self._header.job_id))


def take_note(ending: asyncio.Future[Any]) -> None:
    """Ask how it ended: else asyncio tells stderr that nobody did."""
    if not ending.cancelled():
        ending.exception()


def _of_tracker(error: RayError) -> RaysyncError:
    """What the tracker raised, as it is; else that it is away."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, RaysyncError):
        return cause
    return SyncError(f"the progress tracker was lost: {why(error)}")


def report_to(tracker: Any) -> Callable[[WorkerReport], Awaitable[None]]:
    """How a worker sends its reports; a tracker that is away raises SyncError."""

    async def send(report: WorkerReport) -> None:
        try:
            await tracker.report.remote(report)
        except RayError as error:
            raise SyncError(why(error)) from error

    return send


def lease_from(
    governor: Any, sharer: Sharer, secrets: JobSecrets
) -> Callable[[Demand], Awaitable[Lease]]:
    """How a permit pool asks for permits; no answer means no request to Discord.

    The governor is told of the job's database before the first: the one that it knows from an
    earlier job on this token may be gone, or have a new password.
    """
    told = False

    async def ask(demand: Demand) -> Lease:
        nonlocal told
        if not told:
            await _connect_governor(governor, secrets)
            told = True
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
        except RayTaskError as error:  # what the governor raised: a ban, or too many refusals
            raise error.cause from None
        except (TimeoutError, RayActorError) as error:
            raise PermitUnavailableError(
                "The rate limit governor does not answer, so nothing is asked of Discord."
            ) from error

    return lease


async def _connect_governor(governor: Any, secrets: JobSecrets) -> None:
    """Tell the governor in which database it shares the token with other clusters' governors."""
    address = await governor.public_key.remote()
    sealed = seal_for(address, secrets.database_url.get_secret_value().encode())
    await governor.connect.remote(secrets.token_fingerprint, sealed, secrets.invalid_request_limit)


def observe_by(governor: Any, fingerprint: str) -> Report:
    """How a limiter tells the governor of answers that count."""

    async def observe(status: int, scope: str | None, retry_after_s: float | None) -> None:
        await governor.observe.remote(fingerprint, status, scope, retry_after_s)

    return observe


def watch_by(governor: Any) -> Watch:
    """How a process hears at once that nothing may be asked any more."""

    async def stopped() -> RunStoppedError | None:
        try:
            reason: RunStoppedError | None = await governor.stopped.remote()
        except RayError:  # without it there are no permits either
            await asyncio.sleep(WATCH_AGAIN_S)
            return None
        return reason

    return stopped


def why(error: BaseException) -> str:
    """Return why a call of Ray's failed: what was raised in it, or what Ray says."""
    return reason_of(error.cause if isinstance(error, RayTaskError) else error)
