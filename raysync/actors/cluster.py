"""Actors of one run: their resources, their placement, and their restarts by Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import ActorPool
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysync.actors.channel_sync import RemoteChannelSync
from raysync.actors.governor import RateLimitGovernorActor, governor_name
from raysync.actors.handles import RemoteTracker, lease_from, leave_to, observe_by, watch_by
from raysync.actors.nodes import require_nodes, this_node
from raysync.actors.offers import Placement
from raysync.actors.remote_worker import Bound, RemoteWorker
from raysync.actors.runtime import NAMESPACE
from raysync.actors.tracker import ProgressTrackerActor
from raysync.background import in_thread
from raysync.logs import LogFormat
from raysync.models.events import JobHeader
from raysync.models.ids import JobId
from raysync.models.permits import Bequest, Demand, Lease, Sharer
from raysync.pool.slots import SlotPool
from raysync.ratelimit.limiter import Report
from raysync.worker.channel_worker import Watch
from raysync.worker.driver_governor import DRIVER
from raysync.worker.secrets import JobSecrets

WORKER_CPUS = 0.02
"""CPU share of a worker, which mostly waits for the network: 50 workers fit one core."""

ON_HEAD = {"node:__internal_head__": 0.001}
"""Resources that pin an actor to the head node: other nodes come and go."""
LOCAL_START_S = 120.0
CLUSTER_START_S = 1_800.0
"""Start timeout on a cluster: a worker may wait for a machine, which takes a cloud minutes."""

GOVERNOR_CALLS = 20_000
"""Concurrent calls of the governor: each process has one `stopped` call open, and leases."""
LEAVE_S = 2.0
"""Timeout for each call that ends a part of the run, in seconds."""


class RunActors:
    """Factory of one run's actors, and owner of its tracker."""

    def __init__(
        self,
        label: str,
        slots_per_worker: int,
        *,
        is_local: bool,
        worker_resource: str | None,
        worker_timeout_s: float,
        log_format: LogFormat,
        placement: Placement,
    ) -> None:
        """Start the governor and the tracker.

        *label* is the run's name in the names of its actors. A worker takes one unit of
        *worker_resource*, if given, and is replaced without a heartbeat for *worker_timeout_s*.
        """
        self.worker_started = asyncio.Event()
        self._label = label
        self._is_local = is_local
        self._slots = slots_per_worker
        self._start_timeout_s = LOCAL_START_S if is_local else CLUSTER_START_S
        self._worker_resources = {worker_resource: 1.0} if worker_resource else {}
        self._worker_timeout_s = worker_timeout_s
        self._log_format = log_format
        self._placement = placement
        self._require_nodes = None if is_local else partial(require_nodes, worker_resource)
        governor: Any = RateLimitGovernorActor.options(
            name=governor_name(),
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",  # all jobs of the cluster share it; it ends itself when idle
            num_cpus=0,
            resources=ON_HEAD,
            max_restarts=-1,  # its state is obsolete after a second, and workers wait for it
            max_task_retries=0,  # the caller has timed out by then
            max_concurrency=GOVERNOR_CALLS,
        ).remote(log_format)
        self._governor = governor
        # now, because an idle governor may be about to end
        self._greeting = governor.public_key.remote()
        self._tracker: Any = ProgressTrackerActor.options(
            name=f"raysync/{label}/tracker",
            namespace=NAMESPACE,
            num_cpus=0,
            resources=ON_HEAD,
            max_restarts=-1,  # a cache: the driver sends everything again to a new one
            max_task_retries=-1,  # every method is idempotent
        ).remote(label, log_format)

    @staticmethod
    def new_slot_pool() -> SlotPool:
        """Return an empty `ActorPool`, which is typed for actors but holds their slots."""
        pool: Any = ActorPool([])
        slots: SlotPool = pool
        return slots

    def spawn(self, number: int, secrets_of: Callable[[JobId], JobSecrets]) -> RemoteWorker:
        """Start a worker, without waiting for it."""
        worker_id = f"worker-{number}"
        place = self._placement
        bound = None if place.bound is None else Bound(this_node(), place.bound)
        described = RemoteChannelSync.options(
            name=f"raysync/{self._label}/{worker_id}",
            namespace=NAMESPACE,
            num_cpus=WORKER_CPUS,
            memory=place.memory_bytes,
            resources=self._worker_resources,
            scheduling_strategy=_strategy(place.is_spread, bound),
            max_restarts=0,  # the dispatcher replaces it and reassigns its channels
            max_task_retries=0,  # the dispatcher counts attempts
            max_concurrency=2 * self._slots + 4,  # channels in slots and on standby, open, close
        )
        create = partial(
            described.remote,
            self._sharer(worker_id),
            self._slots,
            self._governor,
            self._tracker,
            self._log_format,
        )
        return RemoteWorker(
            create,
            worker_id,
            secrets_of,
            self._start_timeout_s,
            self._worker_timeout_s,
            bound,
            self._require_nodes,
            self.worker_started.set,
        )

    def lease_for(self, secrets: JobSecrets) -> Callable[[Demand], Awaitable[Lease]]:
        """Return the function by which a client in this process leases permits.

        The function waits for a governor that is still starting, while the driver is planning.
        """
        lease = lease_from(self._governor, self._sharer(DRIVER), secrets)

        async def lease_once_up(demand: Demand) -> Lease:
            with suppress(RayError):  # `lease` says what is wrong
                await self._greeting
            return await lease(demand)

        return lease_once_up

    async def inherit(self, secrets: JobSecrets, bequest: Bequest) -> bool:
        """Let the governor continue with a token of this process. Return whether it does.

        It does not on a cluster, whose machines have clocks of their own.

        Raises:
            RayError: it does not answer, and may have the token or not.
        """
        if not self._is_local:
            return False
        await self._greeting
        return await leave_to(self._governor, secrets, bequest)

    def observe_for(self, fingerprint: str) -> Report:
        """Return the function by which a client in this process reports refusals."""
        return observe_by(self._governor, fingerprint)

    def watch(self) -> Watch:
        """Return the function that tells this process when requests are forbidden."""
        return watch_by(self._governor)

    def tracker_of(self, header: JobHeader, database_url: str) -> RemoteTracker:
        """Return the port of the tracker for a job, which is not open there yet."""
        return RemoteTracker(self._tracker, header, database_url)

    def _sharer(self, worker_id: str) -> Sharer:
        return Sharer(self._label, worker_id)

    async def leave_tokens(self) -> None:
        """Release the tokens to other clusters: this one is about to end."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._governor.give_up_shares.remote()
        except (RayError, TimeoutError):
            return  # the shares expire by themselves

    async def end(self) -> None:
        """Kill the tracker. The dispatcher ends the workers; other runs may use the governor."""
        with suppress(TimeoutError, RayError):  # it dies with this process, too
            await in_thread(partial(ray.kill, self._tracker, no_restart=True), LEAVE_S)


def _strategy(is_spread: bool, bound: Bound | None) -> Any:
    """Return Ray's scheduling strategy. A bound worker never runs on a node that joins later."""
    if bound is not None:
        return NodeAffinitySchedulingStrategy(bound.node_id, soft=False)
    return "SPREAD" if is_spread else None
