"""Requests of a job that failed early, or that were reported late: Discord has counted them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretBytes, SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.clock import SystemClock
from raysync.emulator import Emulator, EmulatorThread, GuildSpec, World, generate_guild
from raysync.errors import GuildUnavailableError, RaysyncError, TokenRejectedError
from raysync.models.entities import Privacy, Tenant, TenantStatus
from raysync.models.events import ApiUsage, JobHeader, WorkerReport
from raysync.models.ids import GuildId, JobId, TenantId
from raysync.models.permits import Demand, Lease
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from raysync.run.active_jobs import ActiveJobs
from raysync.run.driver import _Run
from raysync.run.tenant_job import TenantJob
from raysync.store.connection.locks import Lease as LockLease
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.server.health import refusals
from raysync.store.tenants import TenantStore
from raysync.sync.retry import RetryPolicy
from raysync.worker.channel_worker import ChannelWorker
from raysync.worker.job_tracker import JobTracker
from raysync.worker.secrets import JobSecrets
from raysync.worker.tracked_jobs import TrackedJobs
from tests.unit.sync.sinks import FakeSink

TOKEN = "a-token"
DRIVER = "the tests"
LATE = ApiUsage(calls={"GET /channels/{channel_id}/messages 200": 5})


class Here:
    """A driver's run without Ray: its own client, its tracker, and permits for whoever asks."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.store = JobStore(engine)
        self._engine = engine
        self._jobs = TrackedJobs(self.store, FakeSink())
        self._worker = ChannelWorker(
            "driver",
            5,
            lambda _: self._lease,
            lambda _: self._observe,
            asyncio.Event().wait,  # type: ignore[arg-type] # nothing ends the run
            self._report,
        )

    async def _lease(self, demand: Demand) -> Lease:
        now_s = asyncio.get_running_loop().time()
        return Lease(now_s, (0.0,) * demand.permits, 10.0)

    async def _observe(self, *_: object) -> None:
        return

    async def _report(self, report: Any) -> None:
        self._jobs.report(report)

    async def _close_job(self, job_id: JobId) -> None:
        """Report, as a worker whose last visit was parked a moment ago."""
        await self._report(WorkerReport(job_id, "worker-1", 1, (), LATE))

    async def track(self, tracker: JobTracker, _: JobHeader) -> None:
        await tracker.open()

    async def run(self, tenant: Tenant, secrets: JobSecrets) -> None:
        parts: Any = SimpleNamespace(
            request=SimpleNamespace(window=SyncWindow(SyncType.FULL)),
            engine=self._engine,
            clock=SystemClock(),
            policy=RetryPolicy(base_s=0.01),
            ray=SimpleNamespace(
                track=self.track,
                channels_of=lambda *_: None,
                close_job=self._close_job,
                publish_metrics=lambda: None,
                most_at_once=0,
            ),
            planning=self._worker,
            tracked=self._jobs,
            active=ActiveJobs(),
        )
        parts.active.secrets[secrets.job_id] = secrets
        lease: Any = LockLease("tenant")
        header = JobHeader(secrets.job_id, tenant.slug, SyncType.FULL, parts.clock.now(), 48.0)
        try:
            await TenantJob(parts, tenant).sync(header, lease)
        finally:
            await self._worker.close()


async def usage_of_job(
    engine: AsyncEngine,
    url: str,
    token: str,
    prepare: Callable[[Emulator, int], object],
    error: type[RaysyncError] | None,
) -> ApiUsage:
    """Return what is kept of a job's requests; it ends with *error* before it reads anything."""
    world = World(generate_guild(GuildSpec.tiny() if error else GuildSpec(text_channels=0)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    tenant = await TenantStore(engine).add(
        "takaro", GuildId(guild_id), "Takaro", "env:T", Privacy.FULL
    )
    here = Here(engine)
    job_id = await here.store.begin(tenant.id, SyncWindow(SyncType.FULL), None, DRIVER)
    with EmulatorThread(world) as emulator:
        prepare(emulator, guild_id)
        secrets = JobSecrets(
            job_id=job_id,
            tenant=tenant.slug,
            guild_id=tenant.guild_id,
            database_url=SecretStr(url),
            token=SecretStr(token),
            token_fingerprint="f",
            pseudonym_key=SecretBytes(bytes(32)),
            privacy=Privacy.FULL,
            discord_api_url=emulator.url,
            requests_per_second=48.0,
            channel_pages_per_second=1.0,
            invalid_request_limit=1_000,
            page_size=100,
            retry_base_s=0.01,
        )
        with pytest.raises(error) if error else nullcontext():
            await here.run(tenant, secrets)
        asked = len(emulator.log.entries)
    usage = await here.store.usage(job_id)
    assert usage.pop("worker-1") == LATE
    record = await here.store.load(job_id)
    assert record.view is not None
    requests = record.view.requests - sum(LATE.calls.values())
    assert 0 < requests <= asked, "an answer that nobody waited for is not counted"
    (own,) = usage.values()
    return own


async def test_a_token_that_is_refused_counts(engine: AsyncEngine, database_url: str) -> None:
    usage = await usage_of_job(engine, database_url, "another", lambda *_: None, TokenRejectedError)

    assert usage.calls == {"GET /users/@me 401": 1}
    assert await refusals(engine) == 1


async def test_what_planning_asked_before_it_failed_counts(
    engine: AsyncEngine, database_url: str
) -> None:
    usage = await usage_of_job(
        engine,
        database_url,
        TOKEN,
        lambda emulator, guild_id: emulator.edits.remove_bot(TOKEN, guild_id),
        GuildUnavailableError,
    )

    assert usage.calls["GET /users/@me 200"] == 1
    assert any(each.startswith("GET /guilds/{guild_id}") for each in usage.calls)


async def test_what_workers_report_at_the_end_of_a_good_job_counts(
    engine: AsyncEngine, database_url: str
) -> None:
    usage = await usage_of_job(engine, database_url, TOKEN, lambda *_: None, None)

    assert usage.calls["GET /users/@me 200"] == 1


def test_what_nobody_thought_of_in_one_tenant_costs_no_other_its_result() -> None:
    told: list[Any] = []
    run = SimpleNamespace(_clock=SystemClock(), _observer=SimpleNamespace(finished=told.append))
    tenant = Tenant(
        TenantId(1), "takaro", "T", TenantStatus.ACTIVE, GuildId(5), "env:T", Privacy.FULL
    )
    job = SimpleNamespace(tenant=tenant, job_id=None)
    odd = LookupError("what somebody wrote")

    result = _Run._result(run, job, odd, alone=False)  # type: ignore[arg-type]

    assert told == [result]
    assert result.status == "failed"
    assert [each.error for each in result.errors] == ["Unexpected LookupError"]
    with pytest.raises(LookupError):
        _Run._result(run, job, odd, alone=True)  # type: ignore[arg-type]
