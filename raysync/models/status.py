"""The states of jobs and channels, and the only moves between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    """Where a sync job stands."""

    RUNNING = "running"  #: a driver holds it, and its heartbeat says so
    COMPLETED = "completed"  #: every channel was synced
    PARTIAL = "partial"  #: some channels failed; they are dead letters
    FAILED = "failed"  #: it stopped before all channels had their turn; resumable
    CANCELLED = "cancelled"  #: its user ended it; resumable


class ChannelJobStatus(StrEnum):
    """Where one channel of a job stands."""

    PENDING = "pending"  #: planned, waiting for a slot
    IN_PROGRESS = "in_progress"  #: a worker reads it
    COMPLETED = "completed"  #: read to its end, and stored
    FAILED = "failed"  #: given up in this job


class ProgressStatus(StrEnum):
    """Where a channel's copy stands, across jobs."""

    IDLE = "idle"  #: nobody reads it
    IN_PROGRESS = "in_progress"  #: claimed, until the lease expires
    COMPLETED = "completed"  #: read to its end by the last run that reached it
    FAILED = "failed"  #: the last run gave it up


class SyncType(StrEnum):
    """How much a job reads."""

    FULL = "full"  #: everything in the window, whether stored or not
    INCREMENTAL = "incremental"  #: what coverage lacks, and the look-back
    VERIFY = "verify"  #: nothing but a sample: what is proven is compared with Discord's lists


class FailureClass(StrEnum):
    """What may be done about a failure."""

    RATE_LIMITED = "rate_limited"  #: Discord said when
    TRANSIENT = "transient"  #: may work later
    PERMANENT = "permanent"  #: the same answer again
    FATAL = "fatal"  #: ends the run


JOB_MOVES: Final = {
    JobStatus.RUNNING: frozenset(
        {JobStatus.COMPLETED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.COMPLETED: frozenset[JobStatus](),
    JobStatus.PARTIAL: frozenset({JobStatus.RUNNING}),
    JobStatus.FAILED: frozenset({JobStatus.RUNNING}),
    JobStatus.CANCELLED: frozenset({JobStatus.RUNNING}),
}
"""From a state to those it may become; the store's UPDATE compares before it sets."""
