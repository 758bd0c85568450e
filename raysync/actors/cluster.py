"""The actors of one run: how many there may be, where they run, and what Ray does if they die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util import ActorPool

from raysync.actors.channel_sync import RemoteChannelSync
from raysync.actors.governor import GOVERNOR_NAME, RateLimitGovernorActor
from raysync.actors.handles import RemoteTracker, lease_from, observe_by, report_to, watch_by
from raysync.actors.nodes import require_nodes, this_node
from raysync.actors.remote_worker import Bound, RemoteWorker
from raysync.actors.runtime import NAMESPACE
from raysync.actors.tracker import ProgressTrackerActor
from raysync.logs import LogFormat
from raysync.models.events import WorkerReport
from raysync.models.ids import JobId
from raysync.models.permits import Sharer
from raysync.pool.workers import SlotPool
from raysync.ratelimit.limiter import Report
from raysync.sync.progress import JobHeader
from raysync.worker.channel_worker import LeaseFor, Watch
from raysync.worker.secrets import JobSecrets

WORKER_CPUS = 0.02
"""A worker waits for the network: a share small enough for 50 of them on one core."""

ON_HEAD = {"node:__internal_head__": 0.001}
"""Pins an actor to the head: other nodes come and go."""
LOCAL_START_S = 120.0
CLUSTER_START_S = 1_800.0
"""A worker that waits for room may wait for a machine, which a cloud takes minutes to start."""

GOVERNOR_CALLS = 20_000
"""Every process keeps a question open, whether to stop, and asks for permits beside it."""
LEAVE_S = 2.0


class RunActors:
    """Makes the actors of one run."""

    def __init__(
        self,
        label: str,
        slots_per_worker: int,
        *,
        is_local: bool,
        worker_resource: str | None,
        worker_timeout_s: float,
        log_format: LogFormat,
        bound: str | None = None,
    ) -> None:
        """*label* tells people whose they are. A worker takes one of the nodes' *worker_resource*,
        if there is such a thing, and is replaced if it stands still for *worker_timeout_s*. *bound*
        says why none may be on another machine, where that is so.
        """
        self._label = label
        self._slots = slots_per_worker
        self._start_timeout_s = LOCAL_START_S if is_local else CLUSTER_START_S
        self._worker_resources = {worker_resource: 1.0} if worker_resource else {}
        self._worker_timeout_s = worker_timeout_s
        self._log_format = log_format
        self._bound = bound
        self._require_nodes = None if is_local else partial(require_nodes, None, worker_resource)
        governor: Any = RateLimitGovernorActor.options(
            name=GOVERNOR_NAME,
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",  # shared by all jobs of the cluster; ends itself when idle
            num_cpus=0,
            resources=ON_HEAD,
            max_restarts=-1,  # its state is worthless a second later, and workers wait for it
            max_task_retries=0,  # who asked has given up by then
            max_concurrency=GOVERNOR_CALLS,
        ).remote(log_format)
        self._governor = governor
        self._greeting = governor.public_key.remote()  # at once: one that was idle may be ending
        self._tracker: Any = ProgressTrackerActor.options(
            name=f"raysync/{label}/tracker",
            namespace=NAMESPACE,
            num_cpus=0,
            resources=ON_HEAD,
            max_restarts=-1,  # a cache: its driver tells the new one all of it again
            max_task_retries=-1,  # every method is idempotent
        ).remote(label, log_format)

    @staticmethod
    def new_slot_pool() -> SlotPool:
        """Return an empty `ActorPool`. It is typed for actors and holds slots of them."""
        pool: Any = ActorPool([])
        slots: SlotPool = pool
        return slots

    def spawn(self, number: int, secrets_of: Callable[[JobId], JobSecrets]) -> RemoteWorker:
        """A new worker, not waited for."""
        worker_id = f"worker-{number}"
        actor = RemoteChannelSync.options(
            name=f"raysync/{self._label}/{worker_id}",
            namespace=NAMESPACE,
            num_cpus=WORKER_CPUS,
            resources=self._worker_resources,
            max_restarts=0,  # the dispatcher replaces it, and gives its channels to others
            max_task_retries=0,  # the dispatcher counts attempts
            max_concurrency=2 * self._slots + 4,  # its channels, those on standby, open and close
        ).remote(
            self._sharer(worker_id), self._slots, self._governor, self._tracker, self._log_format
        )
        return RemoteWorker(
            actor,
            worker_id,
            secrets_of,
            self._start_timeout_s,
            self._worker_timeout_s,
            None if self._bound is None else Bound(this_node(), self._bound),
            self._require_nodes,
        )

    def lease_for(self, worker_id: str) -> LeaseFor:
        """How a client in this process asks for permits."""
        return lambda secrets: lease_from(self._governor, self._sharer(worker_id), secrets)

    def observe_for(self, fingerprint: str) -> Report:
        """Where a client in this process tells of answers that count."""
        return observe_by(self._governor, fingerprint)

    def watch(self) -> Watch:
        """How this process hears that nothing may be asked any more."""
        return watch_by(self._governor)

    async def report(self, report: WorkerReport) -> None:
        """Tell the tracker what a client in this process has done."""
        await report_to(self._tracker)(report)

    async def track(self, header: JobHeader, database_url: str) -> RemoteTracker:
        """Have the tracker follow one job."""
        tracker = RemoteTracker(self._tracker, header, database_url)
        await tracker.open()
        return tracker

    def _sharer(self, worker_id: str) -> Sharer:
        return Sharer(self._label, worker_id)

    async def leave_tokens(self) -> None:
        """Leave the tokens to other clusters now: this one ends, and cannot say so later."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._governor.give_up_shares.remote()
        except (RayActorError, TimeoutError):
            return  # the shares expire by themselves

    def end(self) -> None:
        """End the tracker; workers are the dispatcher's, the governor is everybody's."""
        ray.kill(self._tracker, no_restart=True)
