"""Actor shell of the RateLimitGovernor: one actor per cluster, which grants permits."""

from __future__ import annotations

import asyncio

import ray

from raysync import __version__
from raysync.actors.code_hash import code_hash
from raysync.actors.metrics import RayMetrics, beat
from raysync.clock import SystemClock
from raysync.credentials import SealedInbox
from raysync.errors import RunStoppedError
from raysync.logs import LogFormat, configure_logs
from raysync.models.permits import Bequest, Demand, Lease, Sharer
from raysync.worker.token_sharing import TokenSharing

CODE = (
    "actors/__init__.py",
    "actors/code_hash.py",
    "actors/governor.py",
    "actors/metrics.py",
    "actors/shipped.py",
    "clock.py",
    "credentials.py",
    "discord_api/address.py",
    "errors.py",
    "logs.py",
    "models",
    "ratelimit",
    "reasons.py",
    "settings.py",
    "store",
    "sync/progress",
    "visible.py",
    "worker/token_sharing.py",
)
"""Modules that the governor loads, as paths below raysync's folder."""


def governor_name() -> str:
    """Return the name of the governor that runs this code.

    `get_if_exists` returns an actor with its original code, so each code has a name of its own. Two
    governors on one cluster share a token in the database, as those of two clusters do.
    """
    return f"raysync/governor/{__version__}-{code_hash(CODE)}"


class RateLimitGovernor:
    """Actor shell. Detached, because all jobs of the cluster share it; ends itself when idle."""

    def __init__(self, log_format: LogFormat) -> None:
        configure_logs(log_format, role="governor")
        self._inbox = SealedInbox()
        self._tokens = TokenSharing(SystemClock(), RayMetrics())
        self._background = (
            asyncio.create_task(self._tokens.renew_for_ever()),
            asyncio.create_task(self._end_when_idle()),
            asyncio.create_task(beat(self._tokens.publish_metrics)),
        )

    async def public_key(self) -> bytes:
        """Return the public key to which a database's URL is sealed."""
        self._tokens.greet()
        return self._inbox.public_key()

    async def connect(
        self, fingerprint: str, sealed_database_url: bytes, invalid_stop: int
    ) -> None:
        """Share a token by way of a database; see `TokenSharing.connect`. Idempotent."""
        self._tokens.stop_at(invalid_stop)  # even if the URL was sealed for an earlier governor
        self._tokens.connect(fingerprint, self._inbox.open(sealed_database_url).decode())

    async def inherit(self, fingerprint: str, bequest: Bequest, per_second: float) -> bool:
        """Continue with a token of a governor on this machine; see `TokenSharing.inherit`."""
        return self._tokens.inherit(fingerprint, bequest, per_second)

    @ray.method(enable_task_events=False)  # too many for the dashboard's list of tasks
    async def lease(
        self, fingerprint: str, sharer: Sharer, demand: Demand, per_second: float
    ) -> Lease:
        """Grant permits for one token; see `Governor.lease`. Raises LedgerUnknownError."""
        return self._tokens.lease(fingerprint, sharer, demand, per_second)

    @ray.method(enable_task_events=False)
    async def observe(
        self, fingerprint: str, status: int, scope: str | None, retry_after_s: float | None
    ) -> None:
        """Count an answer of 401, 403 or 429."""
        self._tokens.observe(fingerprint, status, scope, retry_after_s)

    @ray.method(enable_task_events=False)
    async def stopped(self) -> RunStoppedError | None:
        """Return the reason as soon as requests are forbidden; None after a while."""
        return await self._tokens.stopped()

    async def give_up_shares(self) -> None:
        """Release all tokens to the governors of other clusters: this cluster is about to end."""
        await self._tokens.give_up_shares()

    async def _end_when_idle(self) -> None:
        await self._tokens.until_idle()
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


RateLimitGovernorActor = ray.remote(RateLimitGovernor)
