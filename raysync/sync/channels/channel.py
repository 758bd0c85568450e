"""The sync of one channel: claim it, read it to its end, release it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from raysync.errors import RaysyncError, StoreRestartedError, safe_message
from raysync.models.events import ChannelProgress
from raysync.models.status import ChannelJobStatus
from raysync.models.work import (
    ChannelOutcome,
    ChannelTask,
    Claim,
    Failure,
    Parked,
)
from raysync.sync.channels.ports import ChannelPorts
from raysync.sync.channels.reading import Reading
from raysync.sync.channels.whereabouts import where
from raysync.sync.retry import Retrier, RetryPolicy, failure_of

_log = logging.getLogger(__name__)

CLAIM_AGAIN_S = 5.0
"""Seconds until a channel that another worker holds is tried again."""
RENEWAL_S = 20.0
"""Seconds between renewals of a claim, beside those by pages; a third of the shortest lease."""


@dataclass(frozen=True, slots=True)
class ChannelSync:
    """Syncs channels for one worker; holds no state of any channel."""

    ports: ChannelPorts

    async def run(
        self, task: ChannelTask, on_progress: Callable[[ChannelProgress], None]
    ) -> ChannelOutcome:
        """Sync the channel of *task*; a failure is an outcome, only cancellation is raised.

        Pages written before a failure stay, with their checkpoint: the next attempt starts there.
        """
        started_at = task.started_at or self.ports.clock.now()
        reading = Reading(self.ports, task, started_at, on_progress)
        failure: Failure | None = None
        try:
            claim = await self._claim(task, reading, started_at)
            if claim is None:  # a worker that could not give it back holds it until its lease ends
                reading.parked = Parked(CLAIM_AGAIN_S, None, task.paged_ago_s)
                return self._outcome(task, reading, started_at, None)
        except RaysyncError as error:
            return self._outcome(task, reading, started_at, failure_of(error))
        renewal = asyncio.create_task(self._keep(claim))
        try:
            await reading.read(claim)
        except RaysyncError as error:
            failure = failure_of(error)
        except Exception as error:  # noqa: BLE001 the outermost: a bug must not take other channels along
            _log.exception("a channel failed unexpectedly", extra=where(task, "channel_crashed"))
            failure = failure_of(error)
        finally:
            renewal.cancel()
            outcome = self._outcome(task, reading, started_at, failure)
            running = asyncio.current_task()
            is_cancelled = running is not None and running.cancelling() > 0
            again = self._once() if is_cancelled else reading.again
            if not await asyncio.shield(self._release(claim, outcome, again)):
                reading.come_back()
                outcome = self._outcome(task, reading, started_at, failure)
        return outcome

    async def _claim(
        self, task: ChannelTask, reading: Reading, started_at: datetime
    ) -> Claim | None:
        """Claim the channel; release it if this is cancelled while the claim is under way."""
        claiming = asyncio.ensure_future(
            reading.again(lambda: self.ports.store.claim(task, self.ports.worker_id))
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await asyncio.wait([claiming], timeout=CLAIM_AGAIN_S)
            if not claiming.done():  # the database is away: the lease expires by itself
                claiming.cancel()
            elif claiming.exception() is None and (claim := claiming.result()) is not None:
                nothing = self._outcome(task, reading, started_at, None)
                await self._release(claim, nothing, self._once())
            raise

    def _once(self) -> Retrier:
        return Retrier(
            RetryPolicy(max_attempts=1, outage_s=0.0), self.ports.clock, self.ports.sleep
        )

    def _outcome(
        self,
        task: ChannelTask,
        reading: Reading,
        started_at: datetime,
        failure: Failure | None,
    ) -> ChannelOutcome:
        status = ChannelJobStatus.PENDING  # parked or interrupted: not at its end, not given up
        if failure is not None:
            status = ChannelJobStatus.FAILED
        elif reading.is_finished:
            status = ChannelJobStatus.COMPLETED
        return ChannelOutcome(
            channel_id=task.channel_id,
            status=status,
            worker_id=self.ports.worker_id,
            attempt=task.attempt,
            started_at=started_at,
            completed_at=self.ports.clock.now(),
            tally=reading.tally,
            retry_count=task.retries_before + reading.again.retries,
            failure=failure,
            parked=reading.parked if failure is None else None,
            visits=reading.visits(),
        )

    async def _keep(self, claim: Claim) -> None:
        """Renew the lease during long waits; the next write shows whether the claim was lost."""
        while True:
            await self.ports.sleep(RENEWAL_S)
            try:
                await self.ports.store.renew(claim)
            except Exception as error:  # noqa: BLE001 the next renewal must come, whatever it is
                place = where(claim.task, "renewal_failed")
                _log.warning("a claim was not renewed: %s", safe_message(error), extra=place)

    async def _release(self, claim: Claim, outcome: ChannelOutcome, again: Retrier) -> bool:
        """Release the claim, which proves that the database still has the pages.

        Return False where the channel was at its end, but the server may have lost its last pages.
        """
        try:
            await again(lambda: self.ports.store.release(claim, outcome))
        except StoreRestartedError:
            return outcome.status is not ChannelJobStatus.COMPLETED
        except RaysyncError as error:  # the lease expires by itself
            _log.warning(
                "a claim was not released: %s", error, extra=where(claim.task, "release_failed")
            )
        return True
