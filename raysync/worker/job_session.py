"""One job in one worker: the adapters, wired into the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from raysync.clock import SystemClock
from raysync.discord_api.address import api_of
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import pseudonymizer_for
from raysync.discord_api.routes import KnownRoutes
from raysync.errors import RouteMissingError
from raysync.models.events import ApiUsage, WorkerReport
from raysync.models.work import (
    ChannelOutcome,
    ChannelTask,
)
from raysync.ratelimit.limiter import WorkerLimiter
from raysync.ratelimit.policies import PAGES
from raysync.store.archive.pages import PostgresPages
from raysync.store.connection.engine import Engine
from raysync.store.limits.learned import LimitStore
from raysync.sync.channels.channel import ChannelSync
from raysync.sync.channels.ports import ChannelPorts
from raysync.sync.retry import Retrier, RetryPolicy
from raysync.worker.job_extras import JobExtras
from raysync.worker.limit_memory import LimitMemory
from raysync.worker.reporting import JobReporter
from raysync.worker.secrets import JobSecrets
from raysync.worker.timed_pages import TimedPages


class JobSession:
    """One job in one worker: its Discord client, page store, engine and reports."""

    def __init__(
        self,
        secrets: JobSecrets,
        worker_id: str,
        engine: Engine,
        limiter: WorkerLimiter,
        send: Callable[[WorkerReport], Awaitable[None]],
        known_routes: KnownRoutes,
    ) -> None:
        self.tenant = secrets.tenant
        self._limiter = limiter
        self._memory = LimitMemory(LimitStore(engine, api_of(secrets.discord_api_url)))
        identities = pseudonymizer_for(
            secrets.privacy, secrets.key(), secrets.people, known={str(secrets.guild_id)}
        )
        self.client = DiscordClient(
            token=secrets.token.get_secret_value(),
            base_url=secrets.discord_api_url,
            limiter=limiter,
            identities=identities,
            identity=secrets.identity,
            proxies=secrets.proxies,
            known_routes=known_routes,
        )
        self._engine = engine
        self._extras = JobExtras(secrets.extras, self.client, identities, engine, secrets.guild_id)
        self._pages = TimedPages(PostgresPages(self._engine))
        self.reporter = JobReporter(secrets.job_id, worker_id, send, self.usage)
        self._policy = RetryPolicy(base_s=secrets.retry_base_s)
        self._sync = ChannelSync(
            ChannelPorts(
                source=self.client.history,
                bucket_of=lambda channel_id: limiter.bucket(PAGES, str(channel_id)),
                store=self._pages,
                policy=self._policy,
                clock=SystemClock(),
                worker_id=worker_id,
                page_size=secrets.page_size,
                extras=self._extras.all,
            )
        )

    async def open(self, attempts: int | None) -> None:
        """Log in. Raises TokenRejectedError and other errors of Discord."""
        policy = self._policy
        if attempts is not None:
            policy = replace(policy, max_attempts=attempts, outage_s=0.0)
        retry = Retrier(policy, SystemClock())
        self._limiter.learn(await retry(self._memory.recall))
        await retry(self.client.login)

    def usage(self) -> ApiUsage:
        """Return this session's requests, waits and writes."""
        pages = self._pages
        return replace(self._limiter.usage(), store_s=pages.spent_s, written=pages.written())

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Sync one channel. Its progress is reported before this ends, even if cancelled.

        A parked channel's progress goes with the next report.
        """
        for missing in task.missing_routes:
            error = RouteMissingError(missing.reason, missing.route, missing.what)
            self.client.known_routes.learn(error)
        is_over = True
        try:
            outcome = await self._sync.run(task, self.reporter.note)
            is_over = outcome.parked is None
        finally:
            if is_over:
                await self.reporter.flush()
        await self._memory.keep(self._limiter.learned())
        return outcome

    async def close(self) -> None:
        await self.reporter.close()
        await self._extras.close()
        await self.client.close()
        await self._limiter.close()
        await self._memory.keep(self._limiter.learned())
