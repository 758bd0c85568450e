"""What a worker does, without Ray round it: the adapters wired into the engine, job by job."""

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
"""From a job's token, rate and database to how permits are asked for."""
Watch = Callable[[], Awaitable[RunStoppedError | None]]
"""Answers as soon as nothing may be asked of Discord any more; None: not yet, ask again."""
FULLNESS_WINDOW_S = 0.5
FULL_SHARE = 0.1
BUSY_SHARE = 0.6
"""One loop, one core: beyond that, requests wait for the loop."""
STOP_AGAIN_S = 10.0
"""While it lasts, who comes is told so often."""
ObserveFor = Callable[[str], Report]
"""From a token's fingerprint to where answers of 401, 403 and 429 are told."""


@dataclass(slots=True)
class TimedPages:
    """A page store that adds up the time spent in it, and what was written."""

    inner: PageStore
    spent_s: float = 0.0
    _saves: DurationMeter = field(default_factory=DurationMeter)
    _written: Written = field(default_factory=Written)

    def written(self) -> Written:
        """What was written so far."""
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
    """What the log tells of a channel that has ended."""
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
    """Whether a worker is short of places, or of CPU: another would use the token better."""

    def __init__(
        self, places: InFlightLimit, clock: Clock, cpu_s: Callable[[], float] = time.process_time
    ) -> None:
        """*cpu_s* is how long the process has computed."""
        self._places = places
        self._clock = clock
        self._cpu_s = cpu_s
        self._since = (clock.monotonic_s(), places.waited_s, cpu_s())
        self._is_full = False

    def is_full(self) -> bool:
        """Whether requests waited for a place in a tenth of the last while, or a core was busy."""
        now = (self._clock.monotonic_s(), self._places.waited_s, self._cpu_s())
        lasts_s, waited_s, busy_s = (new - old for new, old in zip(now, self._since, strict=True))
        if lasts_s >= FULLNESS_WINDOW_S:
            self._is_full = waited_s > FULL_SHARE * lasts_s or busy_s > BUSY_SHARE * lasts_s
            self._since = now
        return self._is_full


class JobSession:
    """One job in one worker: its Discord client, its page store, its engine, its reports."""

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
        """Log in. Raises TokenRejectedError and what else Discord may say."""
        policy = self._policy
        if attempts is not None:
            policy = replace(policy, max_attempts=attempts, outage_s=0.0)
        again = Retrier(policy, SystemClock())
        self._limiter.learn(await again(self._memory.recall))
        await again(self.client.login)

    def usage(self) -> ApiUsage:
        """What this session has asked of Discord, waited for, and written."""
        pages = self._pages
        return replace(self._limiter.usage(), store_s=pages.spent_s, written=pages.written())

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Sync one channel; all of its progress is told before this ends, cancelled or not.

        A channel that will come back is told of with the next report.
        """
        for each in task.missing_routes:
            self.client.known_routes.learn(RouteMissingError(each.reason, each.route, each.what))
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
    """All jobs of one worker. Jobs on one token share its permits: the limit is the token's."""

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
        """At most *slots* requests of it are under way.

        *connections* to a database at the most; None: as many as requests, which bring pages.
        """
        self.worker_id = worker_id
        self._connections = slots if connections is None else connections
        self._places = InFlightLimit(slots)
        self._fullness = Saturation(self._places, SystemClock())
        self._lease_for = lease_for
        self._observe_for = observe_for
        self._watch = watch
        self._watching: asyncio.Task[None] | None = None
        self._send = send
        self._permits: dict[str, PermitPool] = {}
        self._tokens: dict[JobId, str] = {}  # whose permits a job uses
        self._sessions: dict[JobId, JobSession] = {}
        self._engines: dict[str, Engine] = {}
        self._routes: defaultdict[str, KnownRoutes] = defaultdict(KnownRoutes)  # the API's

    async def open_job(self, secrets: JobSecrets, attempts: int | None = None) -> JobSession:
        """Log in and connect for a job; again for one that is open changes nothing.

        *attempts* bounds the login where a person waits for it; None: as the policy says.
        """
        if secrets.job_id in self._sessions:
            return self._sessions[secrets.job_id]
        with log_place(tenant=secrets.tenant, job_id=secrets.job_id):
            session = await self._opened(secrets, attempts)
            _log.info("logged in", extra={"event": "job_opened"})
        self._sessions[secrets.job_id] = session
        return session

    async def _opened(self, secrets: JobSecrets, attempts: int | None) -> JobSession:
        if secrets.proxies is not None:  # for libraries of object stores: what was kept from Ray
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
            await self._let_go_of_token(secrets.job_id)
            raise
        return session

    async def close_job(self, job_id: JobId) -> None:
        """Log out of a job that is over; again, or of one that is not open, changes nothing."""
        session = self._sessions.pop(job_id, None)
        if session is not None:
            await session.close()
            await self._let_go_of_token(job_id)

    async def _let_go_of_token(self, job_id: JobId) -> None:
        name = self._tokens.pop(job_id, None)
        if name is not None and name not in self._tokens.values():
            await self._permits.pop(name).close()

    def _engine(self, url: str) -> Engine:
        """One pool for all jobs of a database."""
        if url not in self._engines:
            name = f"raysync {self.worker_id}"
            self._engines[url] = open_engine(
                url, pool_size=self._connections, application_name=name
            )
        return self._engines[url]

    def _limiter(self, secrets: JobSecrets) -> WorkerLimiter:
        """A limiter of the job's own: it records what the job asks, and channels are no others'."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._stop_when_told())
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

    async def _stop_when_told(self) -> None:
        """Let nothing pass any more as soon as anybody on this address was banned."""
        while True:
            reason = await self._watch()
            if reason is not None:
                for each in self._permits.values():
                    each.stop(reason)
                await asyncio.sleep(STOP_AGAIN_S)

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Sync one channel of a job that is open."""
        session = self._sessions[task.job_id]
        with log_place(tenant=session.tenant, job_id=task.job_id, channel_id=task.channel_id):
            outcome = await session.sync_channel(task)
            if outcome.parked is None:
                _log.info("channel %s", outcome.status.value, extra=_figures(outcome))
        return replace(outcome, is_worker_full=self._fullness.is_full())

    async def close(self) -> None:
        """Tell what is left of all jobs, and log out."""
        if self._watching is not None:
            self._watching.cancel()
        sessions = list(self._sessions.values())
        self._sessions.clear()
        await asyncio.gather(*(each.close() for each in sessions))
        await asyncio.gather(*(each.close() for each in self._permits.values()))
        await asyncio.gather(*(each.dispose() for each in self._engines.values()))
