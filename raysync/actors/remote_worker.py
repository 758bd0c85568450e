"""Worker port over an actor's handle, with the detection of lost and hung workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from raysync.actors.handles import why
from raysync.actors.nodes import NODES_S
from raysync.actors.ray_calls import kill_actor, without_waiting
from raysync.background import in_thread, take_note
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
KILL_S = 2.0


@dataclass(frozen=True, slots=True)
class Bound:
    """Node that workers must run on, and the reason."""

    node_id: str
    reason: str  #: the rest of a sentence about workers on other nodes


class RemoteWorker:
    """Worker port of the dispatcher over a ChannelSyncActor."""

    def __init__(
        self,
        create: Callable[[], Any],
        worker_id: str,
        secrets_of: Callable[[JobId], JobSecrets],
        start_timeout_s: float,
        liveness_timeout_s: float,
        bound: Bound | None = None,
        require_nodes: Callable[[], None] | None = None,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        """Describe a worker. *create* creates its actor once the worker is started.

        The worker is lost after *liveness_timeout_s* without a heartbeat. If it dies during its
        start, *require_nodes* raises ConfigurationError where its node is the cause. *on_start* is
        called once it is up.
        """
        self.worker_id = worker_id
        self.node_id: str | None = None
        self._create = create
        self._actor: Any = None
        self._is_killed = False
        self._secrets_of = secrets_of
        self._start_timeout_s = start_timeout_s
        self._liveness_timeout_s = liveness_timeout_s
        self._bound = bound
        self._require_nodes = require_nodes
        self._on_start = on_start
        self._public_key: bytes | None = None
        self._opened: dict[JobId, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[str] | None = None

    async def start(self) -> None:
        """Wait until the process is up.

        Raises:
            WorkerLostError, SyncError: the process did not come up.
            ConfigurationError: the process is on a machine where it cannot work or lacks raysync.
        """
        try:
            async with asyncio.timeout(self._start_timeout_s):
                self._actor = await in_thread(self._created, self._start_timeout_s)
                self._public_key, self.node_id = await self._actor.introduce.remote()
        except TimeoutError:
            raise SyncError(
                f"{self.worker_id} did not start within {self._start_timeout_s:.0f} s. The cluster "
                "may have no room for it: see Ray's dashboard, or `ray status`"
            ) from None
        except RayActorError as error:
            if self._require_nodes is not None and not error.preempted:
                with suppress(TimeoutError):  # then the worker is lost, for whatever reason
                    await in_thread(self._require_nodes, NODES_S)
            if error.actor_init_failed:
                raise SyncError(f"{self.worker_id} did not start: {why(error)}") from error
            raise self._lost(error) from error
        except RayError as error:
            raise SyncError(f"{self.worker_id} did not start: {why(error)}") from error
        if self._bound is not None and self.node_id != self._bound.node_id:
            raise ConfigurationError(f"A worker started on another machine: {self._bound.reason}")
        self._on_start()
        watching = watch_liveness(self._heartbeat_age_s, self._liveness_timeout_s)
        self._watching = asyncio.create_task(watching)
        self._watching.add_done_callback(take_note)

    def _created(self) -> Any:
        """Create the actor; kill it if the worker was killed meanwhile."""
        actor = self._create()
        if self._is_killed:
            kill_actor(actor)
        return actor

    async def _heartbeat_age_s(self) -> float:
        try:
            age_s: float = await self._actor.pulse.remote()
        except ActorUnavailableError:  # temporary; if it lasts, other calls fail too
            return 0.0
        return age_s

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Sync one channel in the worker; a cancelled call returns once the channel is released."""
        await self._open(task.job_id)
        tenant = self._secrets_of(task.job_id).tenant
        # The name has no channel: Ray keeps a time series and a summary for each name.
        named = self._actor.sync_channel.options(name=f"ChannelSyncActor.sync_channel {tenant}")
        call = named.remote(task)
        try:
            outcome: ChannelOutcome = await self._answer(call)
        except asyncio.CancelledError:
            without_waiting(partial(ray.cancel, call))
            await _ended(call)
            raise
        return outcome

    async def _answer(self, call: Any) -> Any:
        """Return the result of a call. Raises as `_translated`, or WorkerLostError first."""
        ending = asyncio.ensure_future(call)
        ending.add_done_callback(take_note)
        waits = {ending} if self._watching is None else {ending, self._watching}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done() and (reason := self._reason_lost()) is not None:
            raise WorkerLostError(f"{self.worker_id} {reason}")
        with self._translated():
            return await ending

    def _reason_lost(self) -> str | None:
        """Return why the worker is lost; None where its calls will report that."""
        if self._watching is None or not self._watching.done():
            return None
        if self._watching.cancelled():  # by `kill`: another call has found it lost
            return "was lost"
        return None if self._watching.exception() else self._watching.result()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise WorkerLostError for a dead worker, and the original error of a living one."""
        try:
            yield
        except RayTaskError as error:
            if isinstance(error.cause, RaysyncError):
                raise error.cause from None
            raise SyncError(f"{self.worker_id} failed: {why(error)}") from error
        except RayError as error:  # it died, ran out of memory, or cannot be reached
            raise self._lost(error) from error

    def _lost(self, error: RayError) -> WorkerLostError:
        is_preempted = isinstance(error, RayActorError) and error.preempted
        kind = WorkerPreemptedError if is_preempted else WorkerLostError
        return kind(f"{self.worker_id} was lost: {why(error)}")

    async def _open(self, job_id: JobId) -> None:
        """Send the job's secrets to the worker, once."""
        if job_id not in self._opened:
            sending = asyncio.create_task(self._send_secrets(job_id))
            sending.add_done_callback(take_note)  # the waiting call may have been cancelled
            self._opened[job_id] = sending
        await asyncio.shield(self._opened[job_id])

    async def _send_secrets(self, job_id: JobId) -> None:
        sealed = self._secrets_of(job_id).sealed_for(self._public_key or b"")
        try:
            await self._answer(self._actor.open_job.remote(sealed))
        except RaysyncError:
            del self._opened[job_id]  # the next channel retries
            raise

    async def close_job(self, job_id: JobId) -> None:
        """Close the job's session in the worker, if it has one."""
        opening = self._opened.pop(job_id, None)
        if opening is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._actor.close_job.remote(job_id)
        except (TimeoutError, RayError) as error:
            _log.info("%s did not close job %s: %s", self.worker_id, job_id, error)

    async def close(self) -> None:
        """Let the worker flush its reports, then end it; kill one that never started."""
        if self._actor is None:
            self.kill()
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._actor.close.remote()
        except (TimeoutError, RayError) as error:
            _log.info("%s did not close: %s", self.worker_id, error)
        self._stop_watching()
        with suppress(TimeoutError, RayError):  # it dies with the driver, too
            await in_thread(partial(ray.kill, self._actor, no_restart=True), KILL_S)

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    def kill(self) -> None:
        """Kill the process now."""
        self._stop_watching()
        self._is_killed = True
        if self._actor is not None:
            kill_actor(self._actor)


async def _ended(call: Any) -> None:
    """Wait until a cancelled call has ended, at most `CLOSE_TIMEOUT_S`.

    A second cancellation, as at the run's end, does not end the wait: the worker is releasing its
    channel, and would be killed before it has done so.
    """
    ending = asyncio.ensure_future(call)
    ending.add_done_callback(take_note)
    loop = asyncio.get_running_loop()
    until_s = loop.time() + CLOSE_TIMEOUT_S
    while not ending.done() and (left_s := until_s - loop.time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait([ending], timeout=left_s)
