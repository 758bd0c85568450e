"""Settle passes: jobs of a tail, in its own process, that prove by pages what it has heard."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from raysync.clock import SystemClock
from raysync.errors import JobRunningError
from raysync.live.settle_loop import Figures
from raysync.models.entities import Tenant
from raysync.models.events import JobView
from raysync.models.ids import JobId
from raysync.models.outage import Outage
from raysync.models.results import SyncJobResult
from raysync.models.status import JobStatus
from raysync.run.active_jobs import ActiveJobs
from raysync.run.keys import RunKeys
from raysync.run.own_reader import OwnReader
from raysync.run.requests import SyncRequest
from raysync.run.tenant_job import RunParts, TenantJob
from raysync.settings import Settings
from raysync.store.connection.engine import Engine
from raysync.store.jobs.lease import TenantHolder
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.live.listening import ListeningStore
from raysync.sync.retry import RetryPolicy
from raysync.worker.channel_worker import ChannelWorker
from raysync.worker.tracked_jobs import TrackedJobs
from raysync.worker.unmeasured import NoMetrics

_log = logging.getLogger(__name__)

SLOTS: Final = 16
"""Channels that a tail's process reads at once."""
NO_LOOK_BACK_S: Final = 0.0
YOUNG_LOOK_BACK_S: Final = 900.0


class SettleRuns:
    """All settle passes of one process, with its clients and its share of each token."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        keys: RunKeys,
        worker: ChannelWorker,
        active: ActiveJobs,
    ) -> None:
        """Read by *worker*, which other parts of the process use, too."""
        clock = SystemClock()
        self._engine = engine
        self._active = active
        self._tracked = TrackedJobs(JobStore(engine), NoMetrics())
        self._parts = RunParts(
            request=SyncRequest(),
            settings=settings,
            observer=_Silent(),
            engine=engine,
            keys=keys,
            clock=clock,
            policy=RetryPolicy(base_s=settings.retry_delay_ms / 1000),
            holder=TenantHolder(engine),
            ray=OwnReader(worker.sync_channel, SLOTS, clock),
            planning=worker,
            tracked=self._tracked,
            active=active,
        )

    def renew(self, keys: RunKeys) -> None:
        """Use other keys from now on: tenants came or went."""
        self._parts = replace(self._parts, keys=keys)

    def of(self, tenant: Tenant) -> TenantSettler:
        """Return the passes over one tenant."""
        return TenantSettler(self, tenant, ListeningStore(self._engine))

    async def run(self, tenant: Tenant, request: SyncRequest) -> SyncJobResult | None:
        """Run one job. Return None where another job of the tenant runs, or this was cancelled."""
        parts = replace(self._parts, request=replace(request, is_settling=True))
        try:
            result = await TenantJob(parts, tenant).run()
        except JobRunningError:
            return None
        return None if result.status == JobStatus.CANCELLED.value else result

    async def close(self) -> None:
        """End all passes, so that other jobs may begin."""
        self._active.end(None)
        await self._tracked.end()


class TenantSettler:
    """`Settler` of one tenant."""

    def __init__(self, runs: SettleRuns, tenant: Tenant, listening: ListeningStore) -> None:
        self._runs = runs
        self._tenant = tenant
        self._listening = listening

    async def whole(self) -> Figures | None:
        """See `Settler`."""
        before = await self._listening.state(self._tenant.id)
        figures = _figures(await self._runs.run(self._tenant, SyncRequest()))
        after = await self._listening.state(self._tenant.id)
        if figures is not None and before is not None and after is not None:
            figures["missed"] = after.missed - before.missed
        return figures

    async def young(self) -> Figures | None:
        """See `Settler`."""
        request = SyncRequest(lookback_s=YOUNG_LOOK_BACK_S)
        return _figures(await self._runs.run(self._tenant, request))

    async def news(self) -> Figures | None:
        """See `Settler`."""
        channels = await self._listening.channels_with_news(self._tenant.id)
        if not channels:
            return {}
        request = SyncRequest(channels=frozenset(channels), lookback_s=NO_LOOK_BACK_S)
        return _figures(await self._runs.run(self._tenant, request))

    async def doubts(self) -> Figures | None:
        """See `Settler`."""
        found = await self._listening.doubts(self._tenant.id)
        if not found:
            return {}
        request = SyncRequest(
            channels=frozenset(doubt.channel_id for doubt in found),
            messages=frozenset((doubt.channel_id, doubt.message_id) for doubt in found),
            lookback_s=NO_LOOK_BACK_S,
        )
        return _figures(await self._runs.run(self._tenant, request))


def _figures(result: SyncJobResult | None) -> Figures | None:
    """Return what a pass did; None where it is to be repeated."""
    has_ended = (JobStatus.COMPLETED.value, JobStatus.PARTIAL.value)
    if result is None or result.status not in has_ended:
        return None
    return {
        "job_id": result.job_id,
        "status": result.status,
        "channels": result.channels_processed,
        "added": result.messages_added,
        "edited": result.messages_edited,
        "deleted": result.messages_deleted,
    }


class _Silent:
    """Observer of passes, of which the tail tells the results only."""

    def ray_ready(self, dashboard_url: str | None, token_source: str | None) -> None: ...
    def started(self, tenant: str, job_id: JobId) -> None: ...
    def progress(self, views: Sequence[JobView]) -> None: ...
    def database_away(self, outage: Outage) -> None: ...
    def database_back(self, after_s: float) -> None: ...
    def finished(self, result: SyncJobResult) -> None: ...
