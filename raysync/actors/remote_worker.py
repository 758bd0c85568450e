"""A worker over its actor's handle: how the dispatcher calls it, and hears that it is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from raysync.actors.handles import take_note, why
from raysync.errors import (
    ConfigurationError,
    RaysyncError,
    SyncError,
    WorkerLostError,
    WorkerPreemptedError,
)
from raysync.models.ids import JobId
from raysync.models.work import ChannelOutcome, ChannelTask
from raysync.worker.heartbeat import watch_liveness
from raysync.worker.secrets import JobSecrets

_log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Bound:
    """Where workers must be, and why."""

    node_id: str
    reason: str  #: the rest of a sentence on workers elsewhere


class RemoteWorker:
    """A ChannelSyncActor, as the dispatcher sees it."""

    def __init__(
        self,
        actor: Any,
        worker_id: str,
        secrets_of: Callable[[JobId], JobSecrets],
        start_timeout_s: float,
        still_timeout_s: float,
        bound: Bound | None = None,
        require_nodes: Callable[[], None] | None = None,
    ) -> None:
        """It may take *start_timeout_s* to come up, and stand still for *still_timeout_s*.

        Where it dies at once, *require_nodes* raises ConfigurationError if its node is the cause.
        """
        self.worker_id = worker_id
        self.node_id: str | None = None
        self._actor = actor
        self._secrets_of = secrets_of
        self._start_timeout_s = start_timeout_s
        self._still_timeout_s = still_timeout_s
        self._bound = bound
        self._require_nodes = require_nodes
        self._address: bytes | None = None
        self._opened: dict[JobId, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[str] | None = None

    async def start(self) -> None:
        """Wait until the process is up.

        Raises:
            WorkerLostError, SyncError: it is not.
            ConfigurationError: it is on a machine where it cannot work, or has no raysync.
        """
        try:
            async with asyncio.timeout(self._start_timeout_s):
                self._address, self.node_id = await self._actor.introduce.remote()
        except TimeoutError:
            raise SyncError(
                f"{self.worker_id} was not up after {self._start_timeout_s:.0f} s; the cluster may "
                "have no room for it (see the dashboard)"
            ) from None
        except RayActorError as error:
            if self._require_nodes is not None and not error.preempted:
                await asyncio.to_thread(self._require_nodes)
            if error.actor_init_failed:
                raise SyncError(f"{self.worker_id} did not start: {why(error)}") from error
            raise self._lost(error) from error
        except RayError as error:
            raise SyncError(f"{self.worker_id} did not start: {why(error)}") from error
        if self._bound is not None and self.node_id != self._bound.node_id:
            raise ConfigurationError(f"A worker came up on another machine: {self._bound.reason}")
        watching = watch_liveness(self._pulse, self._still_timeout_s)
        self._watching = asyncio.create_task(watching)
        self._watching.add_done_callback(take_note)

    async def _pulse(self) -> float:
        try:
            age_s: float = await self._actor.pulse.remote()
        except ActorUnavailableError:  # for a moment, or its calls fail, too
            return 0.0
        return age_s

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Have it sync one channel; a cancelled call has let go of the channel when it returns."""
        await self._open(task.job_id)
        tenant = self._secrets_of(task.job_id).tenant
        # not the channel's: Ray keeps a series and a summary for each name
        named = self._actor.sync_channel.options(name=f"ChannelSyncActor.sync_channel {tenant}")
        call = named.remote(task)
        try:
            outcome: ChannelOutcome = await self._answer(call)
        except asyncio.CancelledError:
            ray.cancel(call)
            await _ended(call)
            raise
        return outcome

    async def _answer(self, call: Any) -> Any:
        """What a call returns, unless the worker is lost before. Raises as `_translated`."""
        ending = asyncio.ensure_future(call)
        ending.add_done_callback(take_note)
        waits = {ending} if self._watching is None else {ending, self._watching}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done() and (reason := self._reason_lost()) is not None:
            raise WorkerLostError(f"{self.worker_id} {reason}")
        with self._translated():
            return await ending

    def _reason_lost(self) -> str | None:
        """Why nothing more is to be expected of it; None where its calls tell by themselves."""
        if self._watching is None or not self._watching.done():
            return None
        if self._watching.cancelled():  # by `kill`: another of its calls has told that it is lost
            return "was lost"
        return None if self._watching.exception() else self._watching.result()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise WorkerLostError for a dead worker, and what a living one raised as it is."""
        try:
            yield
        except RayTaskError as error:
            if isinstance(error.cause, RaysyncError):
                raise error.cause from None
            raise SyncError(f"{self.worker_id} failed: {why(error)}") from error
        except RayError as error:  # it died, was killed for its memory, or cannot be reached
            raise self._lost(error) from error

    def _lost(self, error: RayError) -> WorkerLostError:
        is_preempted = isinstance(error, RayActorError) and error.preempted
        kind = WorkerPreemptedError if is_preempted else WorkerLostError
        return kind(f"{self.worker_id} was lost: {why(error)}")

    async def _open(self, job_id: JobId) -> None:
        """Give the worker the job's secrets, once."""
        if job_id not in self._opened:
            sending = asyncio.create_task(self._send_secrets(job_id))
            sending.add_done_callback(take_note)  # who waited may have been cancelled
            self._opened[job_id] = sending
        await asyncio.shield(self._opened[job_id])

    async def _send_secrets(self, job_id: JobId) -> None:
        sealed = self._secrets_of(job_id).sealed_for(self._address or b"")
        try:
            await self._answer(self._actor.open_job.remote(sealed))
        except RaysyncError:
            del self._opened[job_id]  # the next channel tries again
            raise

    async def close_job(self, job_id: JobId) -> None:
        """Have it forget a job, if it ever had a channel of it."""
        opening = self._opened.pop(job_id, None)
        if opening is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._actor.close_job.remote(job_id)
        except (TimeoutError, RayError) as error:
            _log.info("%s did not close job %s: %s", self.worker_id, job_id, error)

    async def close(self) -> None:
        """Have it tell what is left and end."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._actor.close.remote()
        except (TimeoutError, RayError) as error:
            _log.info("%s did not close: %s", self.worker_id, error)
        self.kill()

    def kill(self) -> None:
        """End its process now."""
        if self._watching is not None:
            self._watching.cancel()
        ray.kill(self._actor, no_restart=True)


async def _ended(call: Any) -> None:
    """Wait until a cancelled call has ended, but not for ever.

    Being cancelled again, as at the run's end, does not cut it short: the worker is letting go of
    its channel, and would be killed in the middle of that.
    """
    ending = asyncio.ensure_future(call)
    ending.add_done_callback(take_note)
    clock = asyncio.get_running_loop()
    until_s = clock.time() + CLOSE_TIMEOUT_S
    while not ending.done() and (left_s := until_s - clock.time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait([ending], timeout=left_s)
