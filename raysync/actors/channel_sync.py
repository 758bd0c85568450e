"""Actor shell of a worker: a process of the pool, which syncs several channels at a time."""

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
from raysync.worker.collection import collect_rarely
from raysync.worker.heartbeat import Heartbeat
from raysync.worker.secrets import export_proxies, opened

PROBES = "probes"
"""Name of a concurrency group, which has its own thread."""


class ChannelSyncActor:
    """Actor shell. Owned by the run's driver and gone with it.

    After a crash, committed pages and their checkpoints remain, and the dispatcher gives channels
    in flight to another worker. Hence Ray neither restarts the actor nor retries its calls.
    `sync_channel` may be repeated for a channel: it continues after the last committed page.
    """

    def __init__(
        self, sharer: Sharer, slots: int, governor: Any, tracker: Any, log_format: LogFormat
    ) -> None:
        configure_logs(log_format, role="worker", run=sharer.run, worker_id=sharer.worker)
        collect_rarely()
        self._inbox = SealedInbox()
        self._heartbeat = Heartbeat(SystemClock())
        self._worker = ChannelWorker(
            sharer.worker,
            slots,
            lambda secrets: lease_from(governor, sharer, secrets),
            lambda fingerprint: observe_by(governor, fingerprint),
            watch_by(governor),
            report_to(tracker),
        )

    async def introduce(self) -> tuple[bytes, str]:
        """Return the public key to which secrets are sealed, and the id of the node."""
        return self._inbox.public_key(), ray.get_runtime_context().get_node_id()

    @ray.method(concurrency_group=PROBES, enable_task_events=False)
    async def pulse(self) -> float:
        """Return the heartbeat's age in seconds, even while the event loop is blocked."""
        return self._heartbeat.age_s()

    async def open_job(self, sealed: bytes) -> None:
        """Log in for a job. Raises the errors of Discord and of the database."""
        secrets = opened(self._inbox, sealed)
        export_proxies(secrets)
        await self._worker.open_job(secrets)

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Run one visit of a channel; a failure is an outcome, too."""
        return await self._worker.sync_channel(task)

    async def close_job(self, job_id: JobId) -> None:
        """Log out of a job that is over. Idempotent."""
        await self._worker.close_job(job_id)

    async def close(self) -> None:
        """Flush the reports, and close the connections."""
        await self._worker.close()


_with_probes = ray.remote(concurrency_groups={PROBES: 1})  # type: ignore[call-overload]  # Ray's types
RemoteChannelSync = _with_probes(ChannelSyncActor)
