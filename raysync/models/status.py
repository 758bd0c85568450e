"""States of jobs and channels, and the moves between the states of a job."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    """State of a sync job."""

    RUNNING = "running"  #: a driver holds the job, and sends heartbeats
    COMPLETED = "completed"  #: every channel was synced
    PARTIAL = "partial"  #: some channels failed; they are dead letters
    FAILED = "failed"  #: it stopped before all channels were read; resumable
    CANCELLED = "cancelled"  #: ended by its user; resumable


class ChannelJobStatus(StrEnum):
    """State of one channel in a job."""

    PENDING = "pending"  #: waits for a slot: new, its worker died, or it gave its slot away
    IN_PROGRESS = "in_progress"  #: a worker reads it
    COMPLETED = "completed"  #: read to its end, and stored
    FAILED = "failed"  #: given up in this job


class ProgressStatus(StrEnum):
    """State of a channel's copy, across jobs."""

    IDLE = "idle"  #: no worker reads it
    IN_PROGRESS = "in_progress"  #: claimed, until the lease expires
    COMPLETED = "completed"  #: read to its end by the last run that reached it
    FAILED = "failed"  #: the last run gave it up


class SyncType(StrEnum):
    """Extent of a job."""

    FULL = "full"  #: everything in the window, whether stored or not
    INCREMENTAL = "incremental"  #: ranges that are not covered, and the look-back
    VERIFY = "verify"  #: a sample only; coverage is compared with Discord's lists


class FailureClass(StrEnum):
    """Class of a failure, which decides on a retry."""

    RATE_LIMITED = "rate_limited"  #: retry after the pause that Discord asks for
    TRANSIENT = "transient"  #: a later retry may succeed
    PERMANENT = "permanent"  #: a retry would fail in the same way
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
"""Allowed next states, by state; the store's UPDATE compares before it sets."""
