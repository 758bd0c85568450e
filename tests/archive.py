"""raysync without Ray and without limits: real client, engine and store against an emulator."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.clock import Clock, SystemClock
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import Identities, pseudonymizer_for
from raysync.models.entities import Privacy, Tenant
from raysync.models.events import ApiUsage, JobHeader, JobView, WorkerReport
from raysync.models.ids import GuildId, JobId
from raysync.models.work import ChannelOutcome, ChannelTask, Skipped, SyncWindow
from raysync.pool.dispatch import next_visit
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from raysync.store.privacy.suppressions import people_rules
from raysync.store.tenants import TenantStore
from raysync.sync.channels.channel import ChannelSync
from raysync.sync.channels.ports import ChannelPorts
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.job import SyncJob
from raysync.sync.job.outcome import JobOutcome
from raysync.sync.planning.planner import GuildPlanner
from raysync.sync.retry import Retrier, RetryPolicy
from raysync.worker.job_extras import JobExtras

KEY = b"0123456789abcdef0123456789abcdef"
AT_ONCE = 4


class FreeLimiter:
    """A limiter that lets every request pass, and each of those requests."""

    async def enter(
        self, route: str, major_id: str | None, head_start_s: float = 0.0
    ) -> FreeLimiter:
        return self

    def sent(self) -> None:
        return

    def finish(self, status: int | None, headers: Mapping[str, str]) -> None:
        return


class FreeBucket:
    """A channel's bucket that is never empty."""

    head_start_s = 0.0

    def pause_s(self) -> float:
        return 0.0

    def return_s(self, requests: float) -> float:
        return 0.0

    def ages_s(self) -> tuple[float, ...]:
        return ()

    def restore(self, ages_s: Iterable[float]) -> None:
        return

    def assume_exhausted(self, ago_s: float) -> None:
        return


class LocalDispatcher:
    """Reads some channels at a time in this process; a parked one *comes_back*, or not."""

    def __init__(self, engine: ChannelSync, *, comes_back: bool) -> None:
        self._engine = engine
        self._comes_back = comes_back
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, task: ChannelTask) -> ChannelOutcome:
        async with self._slots:
            outcome = await self._engine.run(task, lambda _: None)
            while self._comes_back and (parked := outcome.parked) is not None:
                task = next_visit(task, outcome, parked)
                outcome = await self._engine.run(task, lambda _: None)
            return outcome


class SilentSink:
    """A progress sink that ignores everything."""

    async def plan(self, tasks: Iterable[ChannelTask], skipped: Iterable[Skipped]) -> None:
        return

    async def planned(self) -> None:
        return

    async def report(self, report: WorkerReport) -> None:
        return

    async def settle(self, outcome: ChannelOutcome) -> None:
        return

    async def usage(self) -> Mapping[str, ApiUsage]:
        return {}

    async def view(self, busiest: int) -> JobView:
        raise NotImplementedError


class Archive:
    """Archive of one tenant, synced by several runs."""

    def __init__(self, engine: AsyncEngine, url: str, token: str, page_size: int) -> None:
        self._engine = engine
        self._url = url
        self._token = token
        self._page_size = page_size
        self.key = KEY  #: key of its pseudonyms
        self.tenant: Tenant | None = None
        self.clock: Clock = SystemClock()
        self.comes_back = True  #: whether a channel that gave its slot away continues
        self.job: SyncJob | None = None  #: the last job

    async def add(self, guild_id: int, privacy: Privacy = Privacy.PSEUDONYMOUS) -> None:
        slug = f"t{guild_id}-{uuid.uuid4().hex[:6]}"
        self.tenant = await TenantStore(self._engine).add(
            slug, GuildId(guild_id), slug, "env:T", privacy
        )

    async def remove(self) -> None:
        """Remove the tenant, because Hypothesis may try the same guild again."""
        assert self.tenant is not None
        await TenantStore(self._engine).remove(self.tenant.slug)

    async def run(self, window: SyncWindow) -> JobOutcome:
        """One run to its end."""
        assert self.tenant is not None
        clock, policy = self.clock, RetryPolicy(base_s=0.001)
        job_id = JobId(str(uuid.uuid4()))
        header = JobHeader(job_id, self.tenant.slug, window.sync_type, clock.now(), 48.0)
        rules = await people_rules(self._engine, self.tenant, clock.now())
        identities, guild_id = await self.people(), self.tenant.guild_id
        client = DiscordClient(self._token, self._url, FreeLimiter(), identities)
        extras = JobExtras(window.extras, client, identities, self._engine, guild_id)
        async with client, AsyncExitStack() as stack:
            stack.push_async_callback(extras.close)
            ports = ChannelPorts(
                client.history,
                lambda _: FreeBucket(),
                PostgresPages(self._engine),
                policy,
                clock,
                "w",
                self._page_size,
                extras.all,
            )
            job = self.job = SyncJob(
                JobScope.of(header, self.tenant.id, window, clock.now(), rules),
                JobPorts(
                    planner=GuildPlanner(client.guilds, self.tenant.guild_id),
                    catalog=ChannelStore(self._engine, self.tenant.id),
                    dispatcher=LocalDispatcher(ChannelSync(ports), comes_back=self.comes_back),
                    sink=SilentSink(),
                    clock=clock,
                    retry=Retrier(policy, clock),
                ),
            )
            return await job.run()

    async def people(self) -> Identities:
        """Return the pseudonyms of people under the current rules."""
        assert self.tenant is not None
        rules = await people_rules(self._engine, self.tenant, SystemClock().now())
        guild_id = str(self.tenant.guild_id)
        return pseudonymizer_for(self.tenant.privacy, self.key, rules, known={guild_id})

    async def rows(self) -> dict[tuple[int, int], tuple[str, bool]]:
        """Return content and existence of each message, by channel and message id."""
        return {
            (row.channel, row.message): (row.content, row.there)
            for row in await self.query(
                "SELECT c.platform_channel_id AS channel, m.platform_message_id AS message,"
                " m.content, m.deleted_at IS NULL AS there"
                " FROM messages m JOIN channels c ON c.id = m.channel_id"
                " WHERE m.tenant_id = :tenant"
            )
        }

    async def gone_channels(self) -> set[int]:
        rows = await self.query(
            "SELECT platform_channel_id AS id FROM channels"
            " WHERE tenant_id = :tenant AND deleted_at IS NOT NULL"
        )
        return {row.id for row in rows}

    async def versions(self) -> int:
        (row,) = await self.query(
            "SELECT count(*) AS kept FROM message_versions v"
            " JOIN channels c ON c.id = v.channel_id WHERE c.tenant_id = :tenant"
        )
        return int(row.kept)

    async def reactions(self) -> dict[tuple[int, int, str], int]:
        return {
            (row.channel, row.message, row.emoji): row.count_
            for row in await self.query(
                "SELECT c.platform_channel_id AS channel, r.platform_message_id AS message,"
                " r.emoji, r.count AS count_ FROM message_emoji_reactions r"
                " JOIN channels c ON c.id = r.channel_id"
                " JOIN messages m ON m.channel_id = r.channel_id"
                "  AND m.platform_message_id = r.platform_message_id"
                " WHERE c.tenant_id = :tenant AND m.deleted_at IS NULL"
            )
        }

    async def query(self, statement: str) -> list[Any]:
        assert self.tenant is not None
        async with self._engine.connect() as connection:
            rows = await connection.execute(text(statement), {"tenant": self.tenant.id})
            return list(rows.all())

    async def execute(self, statement: str) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(text(statement))
