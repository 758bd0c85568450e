"""A worker without Ray: the adapters, wired into the engine for each job."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from raysync.clock import Clock, SystemClock
from raysync.discord_api.address import api_of
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import pseudonymizer_for
from raysync.discord_api.routes import KnownRoutes
from raysync.errors import RouteMissingError, RunStoppedError
from raysync.logs import log_place
from raysync.models.durations import DurationMeter
from raysync.models.events import ApiUsage, WorkerReport, Written
from raysync.models.ids import JobId
from raysync.models.permits import Demand, Lease
from raysync.models.work import (
    ChannelOutcome,
    ChannelTask,
    Claim,
    PageReceipt,
    PageWrite,
)
from raysync.ratelimit.in_flight_limit import InFlightLimit
from raysync.ratelimit.limiter import Report, WorkerLimiter
from raysync.ratelimit.permits import PermitPool
from raysync.ratelimit.policies import PAGES, pages_at
from raysync.store.archive.pages import PostgresPages
from raysync.store.connection.engine import Engine, open_engine
from raysync.store.limits.learned import LimitStore
from raysync.sync.channel import ChannelSync
from raysync.sync.channel_ports import ChannelPorts
from raysync.sync.ports import PageStore
from raysync.sync.retry import Retrier, RetryPolicy
from raysync.worker.job_extras import JobExtras
from raysync.worker.limit_memory import LimitMemory
from raysync.worker.reporting import JobReporter
from raysync.worker.secrets import JobSecrets

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
LeaseFor = Callable[[JobSecrets], Callable[[Demand], Awaitable[Lease]]]
"""Factory of the call for permits, from a job's token, rate and database."""
Watch = Callable[[], Awaitable[RunStoppedError | None]]
"""Wait that returns why no request may be sent any more; None: call it again."""
SATURATION_WINDOW_S = 0.5
WAITING_SHARE = 0.1
"""Part of the time with requests waiting for a place that counts as saturation."""
BUSY_SHARE = 0.6
"""Part of a core that counts as saturation: beyond it, requests wait for the event loop."""
BAN_RETRY_S = 10.0
"""Seconds between failures of the waiting requests, during a ban."""
ObserveFor = Callable[[str], Report]
"""Factory of the report of a 401, 403 or 429, from a token's fingerprint."""


@dataclass(slots=True)
class TimedPages:
    """A page store that measures its time and counts its writes."""

    inner: PageStore
    spent_s: float = 0.0
    _saves: DurationMeter = field(default_factory=DurationMeter)
    _written: Written = field(default_factory=Written)

    def written(self) -> Written:
        """Return the writes so far."""
        return replace(self._written, took=self._saves.durations())

    async def claim(self, task: ChannelTask, worker_id: str) -> Claim | None:
        return await self._timed(self.inner.claim(task, worker_id))

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        began_s = time.monotonic()
        receipt = await self._timed(self.inner.save_page(claim, page))
        self._saves.note(time.monotonic() - began_s)
        done = self._written
        self._written = replace(
            done,
            pages=done.pages + 1,
            messages=done.messages + len(page.messages),
            added=done.added + receipt.inserted,
            edited=done.edited + receipt.edited,
            deleted=done.deleted + receipt.deleted,
        )
        return receipt

    async def renew(self, claim: Claim) -> None:
        await self._timed(self.inner.renew(claim))

    async def release(self, claim: Claim, outcome: ChannelOutcome) -> None:
        await self._timed(self.inner.release(claim, outcome))

    async def _timed(self, call: Awaitable[_T]) -> _T:
        clock = SystemClock()
        started_s = clock.monotonic_s()
        try:
            return await call
        finally:
            self.spent_s += clock.monotonic_s() - started_s


def _figures(outcome: ChannelOutcome) -> dict[str, object]:
    """Return the log's fields for a channel that has ended."""
    return {
        "event": "channel_ended",
        "attempt": outcome.attempt,
        "pages": outcome.tally.pages,
        "messages": outcome.tally.messages,
        "requests": outcome.tally.requests,
        "retries": outcome.retry_count,
        "failure": outcome.failure.error if outcome.failure else None,
    }


class Saturation:
    """A worker's saturation: without places or CPU left, another would use the token better."""

    def __init__(
        self, places: InFlightLimit, clock: Clock, cpu_s: Callable[[], float] = time.process_time
    ) -> None:
        """Measure the process's CPU time by *cpu_s*."""
        self._places = places
        self._clock = clock
        self._cpu_s = cpu_s
        self._since = (clock.monotonic_s(), places.waited_s, cpu_s())
        self._is_saturated = False

    def is_full(self) -> bool:
        """Return whether requests waited for a place, or the core was busy, in the last window."""
        now = (self._clock.monotonic_s(), self._places.waited_s, self._cpu_s())
        lasts_s, waited_s, busy_s = (new - old for new, old in zip(now, self._since, strict=True))
        if lasts_s >= SATURATION_WINDOW_S:
            self._is_saturated = waited_s > WAITING_SHARE * lasts_s or busy_s > BUSY_SHARE * lasts_s
            self._since = now
        return self._is_saturated


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
        again = Retrier(policy, SystemClock())
        self._limiter.learn(await again(self._memory.recall))
        await again(self.client.login)

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


class ChannelWorker:
    """All jobs of one worker. Jobs of one token share its permits, as the limit is the token's."""

    def __init__(
        self,
        worker_id: str,
        slots: int,
        lease_for: LeaseFor,
        observe_for: ObserveFor,
        watch: Watch,
        send: Callable[[WorkerReport], Awaitable[None]],
        *,
        connections: int | None = None,
    ) -> None:
        """Allow at most *slots* requests in flight.

        *connections* limits those to a database; None: as many as requests, which bring pages.
        """
        self.worker_id = worker_id
        self._connections = slots if connections is None else connections
        self._places = InFlightLimit(slots)
        self._saturation = Saturation(self._places, SystemClock())
        self._lease_for = lease_for
        self._observe_for = observe_for
        self._watch = watch
        self._watching: asyncio.Task[None] | None = None
        self._send = send
        self._permits: dict[str, PermitPool] = {}
        self._tokens: dict[JobId, str] = {}  # fingerprint of the token whose permits a job uses
        self._sessions: dict[JobId, JobSession] = {}
        self._engines: dict[str, Engine] = {}
        self._routes: defaultdict[str, KnownRoutes] = defaultdict(
            KnownRoutes
        )  # by the API's address

    async def open_job(self, secrets: JobSecrets, attempts: int | None = None) -> JobSession:
        """Log in and connect for a job. Idempotent.

        *attempts* bounds the login where a person waits for it; None: by the retry policy.
        """
        if secrets.job_id in self._sessions:
            return self._sessions[secrets.job_id]
        with log_place(tenant=secrets.tenant, job_id=secrets.job_id):
            session = await self._open_session(secrets, attempts)
            _log.info("logged in", extra={"event": "job_open_session"})
        self._sessions[secrets.job_id] = session
        return session

    async def _open_session(self, secrets: JobSecrets, attempts: int | None) -> JobSession:
        if secrets.proxies is not None:  # for libraries of object stores; Ray did not pass it on
            for name, value in secrets.proxies.variables.items():
                os.environ.setdefault(name, value)
        engine = self._engine(secrets.database_url.get_secret_value())
        session = JobSession(
            secrets,
            self.worker_id,
            engine,
            self._limiter(secrets),
            self._send,
            self._routes[secrets.discord_api_url],
        )
        try:
            await session.open(attempts)
        except BaseException:
            await session.close()
            await self._release_token(secrets.job_id)
            raise
        return session

    async def close_job(self, job_id: JobId) -> None:
        """Log out of a job that has ended. Idempotent."""
        session = self._sessions.pop(job_id, None)
        if session is not None:
            await session.close()
            await self._release_token(job_id)

    async def _release_token(self, job_id: JobId) -> None:
        name = self._tokens.pop(job_id, None)
        if name is not None and name not in self._tokens.values():
            await self._permits.pop(name).close()

    def _engine(self, url: str) -> Engine:
        """Return the connection pool that all jobs of a database share."""
        if url not in self._engines:
            name = f"raysync {self.worker_id}"
            self._engines[url] = open_engine(
                url, pool_size=self._connections, application_name=name
            )
        return self._engines[url]

    def _limiter(self, secrets: JobSecrets) -> WorkerLimiter:
        """Return a limiter of the job's own, which counts its requests; jobs share no channel."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._stop_on_ban())
        self._tokens[secrets.job_id] = name = secrets.token_fingerprint
        if name not in self._permits:
            self._permits[name] = PermitPool(
                self._lease_for(secrets), SystemClock(), places=self._places
            )
        return WorkerLimiter(
            self._permits[name],
            SystemClock(),
            self._observe_for(name),
            known=[pages_at(secrets.channel_pages_per_second)],
        )

    async def _stop_on_ban(self) -> None:
        """Stop all requests as soon as this address is banned."""
        while True:
            reason = await self._watch()
            if reason is not None:
                for permits in self._permits.values():
                    permits.stop(reason)
                await asyncio.sleep(BAN_RETRY_S)

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Sync one channel of a job that is open."""
        session = self._sessions[task.job_id]
        with log_place(tenant=session.tenant, job_id=task.job_id, channel_id=task.channel_id):
            outcome = await session.sync_channel(task)
            if outcome.parked is None:
                _log.info("channel %s", outcome.status.value, extra=_figures(outcome))
        return replace(outcome, is_worker_full=self._saturation.is_full())

    async def close(self) -> None:
        """Send the last reports of all jobs, and log out."""
        if self._watching is not None:
            self._watching.cancel()
        sessions = list(self._sessions.values())
        self._sessions.clear()
        await asyncio.gather(*(session.close() for session in sessions))
        await asyncio.gather(*(permits.close() for permits in self._permits.values()))
        await asyncio.gather(*(engine.dispose() for engine in self._engines.values()))
