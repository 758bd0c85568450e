"""The ChannelSyncActor: a process of the pool, which syncs some channels at a time."""

from __future__ import annotations

from typing import Any

import ray

from raysync.actors.handles import lease_from, observe_by, report_to, watch_by
from raysync.clock import SystemClock
from raysync.credentials import SealedInbox
from raysync.logs import LogFormat, configure_logs
from raysync.models.ids import JobId
from raysync.models.permits import Sharer
from raysync.models.work import ChannelOutcome, ChannelTask
from raysync.worker.channel_worker import ChannelWorker
from raysync.worker.heartbeat import Heartbeat
from raysync.worker.secrets import opened

PROBES = "probes"
"""A concurrency group, which is a thread of its own."""


class ChannelSyncActor:
    """Actor shell. Owned by the run's driver and gone with it.

    What it has committed survives its death: pages with their checkpoints. What it had in flight
    is given to another worker by the dispatcher, hence no restarts and no retries by Ray.
    `sync_channel` may be called again for a channel: it goes on after the last committed page.
    """

    def __init__(
        self, sharer: Sharer, slots: int, governor: Any, tracker: Any, log_format: LogFormat
    ) -> None:
        configure_logs(log_format, role="worker", run=sharer.run, worker_id=sharer.worker)
        self._worker_id = worker_id = sharer.worker
        self._inbox = SealedInbox()
        self._pulse = Heartbeat(SystemClock())
        self._worker = ChannelWorker(
            worker_id,
            slots,
            lambda secrets: lease_from(governor, sharer, secrets),
            lambda fingerprint: observe_by(governor, fingerprint),
            watch_by(governor),
            report_to(tracker),
        )

    def __repr__(self) -> str:
        return f"ChannelSyncActor({self._worker_id})"

    async def introduce(self) -> tuple[bytes, str]:
        """Where to seal a job's secrets to, and the node that it runs on."""
        return self._inbox.public_key(), ray.get_runtime_context().get_node_id()

    @ray.method(concurrency_group=PROBES)
    async def pulse(self) -> float:
        """Seconds since its loop last turned; answered beside that loop, which may be blocked."""
        return self._pulse.age_s()

    async def open_job(self, sealed: bytes) -> None:
        """Log in for a job. Raises what Discord or the database says."""
        await self._worker.open_job(opened(self._inbox, sealed))

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Sync one channel to its end; a failure is an outcome."""
        return await self._worker.sync_channel(task)

    async def close_job(self, job_id: JobId) -> None:
        """Log out of a job that is over; again, or of one that is not open, changes nothing."""
        await self._worker.close_job(job_id)

    async def close(self) -> None:
        """Tell what is left, and let go of connections."""
        await self._worker.close()


_with_probes = ray.remote(concurrency_groups={PROBES: 1})  # type: ignore[call-overload]  # Ray's own
RemoteChannelSync = _with_probes(ChannelSyncActor)
