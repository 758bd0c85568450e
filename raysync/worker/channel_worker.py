"""A worker without Ray: its jobs, and what they share."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from raysync.clock import SystemClock
from raysync.discord_api.routes import KnownRoutes
from raysync.errors import RunStoppedError
from raysync.logs import log_place
from raysync.models.durations import Durations
from raysync.models.events import WorkerReport
from raysync.models.ids import JobId
from raysync.models.permits import Demand, Lease
from raysync.models.work import (
    ChannelOutcome,
    ChannelTask,
)
from raysync.ratelimit.in_flight_limit import InFlightLimit
from raysync.ratelimit.limiter import Report, WorkerLimiter
from raysync.ratelimit.permits import PermitPool
from raysync.ratelimit.policies import pages_at
from raysync.store.connection.engine import Engine, open_engine
from raysync.worker.job_session import JobSession
from raysync.worker.saturation import Saturation
from raysync.worker.secrets import JobSecrets

_log = logging.getLogger(__name__)
LeaseFor = Callable[[JobSecrets], Callable[[Demand], Awaitable[Lease]]]
"""Factory of the call for permits, from a job's token, rate and database."""
Watch = Callable[[], Awaitable[RunStoppedError | None]]
"""Wait that returns why no request may be sent any more; None: call it again."""
ObserveFor = Callable[[str], Report]
"""Factory of the report of a 401, 403 or 429, from a token's fingerprint."""
FORBIDDEN_RETRY_S = 10.0
"""Seconds between failures of the waiting requests, while requests are forbidden."""


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
        # by the API's address
        self._routes: defaultdict[str, KnownRoutes] = defaultdict(KnownRoutes)

    async def open_job(self, secrets: JobSecrets, attempts: int | None = None) -> JobSession:
        """Log in and connect for a job. Idempotent.

        *attempts* bounds the login where a person waits for it; None: by the retry policy.
        """
        if secrets.job_id in self._sessions:
            return self._sessions[secrets.job_id]
        with log_place(tenant=secrets.tenant, job_id=secrets.job_id):
            session = await self._open_session(secrets, attempts)
            _log.info("logged in", extra={"event": "job_opened"})
        self._sessions[secrets.job_id] = session
        return session

    async def _open_session(self, secrets: JobSecrets, attempts: int | None) -> JobSession:
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
            self._watching = asyncio.create_task(self._stop_when_forbidden())
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

    async def _stop_when_forbidden(self) -> None:
        """Stop all requests as soon as they are forbidden: by a ban, or to prevent one."""
        while True:
            reason = await self._watch()
            if reason is not None:
                for permits in self._permits.values():
                    permits.stop(reason)
                await asyncio.sleep(FORBIDDEN_RETRY_S)

    def in_flight_at(self, per_second: float) -> float:
        """Return the number of requests in flight at which each token makes *per_second*.

        The answers so far tell how long a request takes; 0 before the first answer.
        """
        answers = [session.usage().answers.counts for session in self._sessions.values()]
        counts = tuple(map(sum, zip(*filter(None, answers), strict=True)))
        latency_s = Durations(counts).median_s() or 0.0
        return len(self._permits) * per_second * latency_s

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
