"""A job after the fact: all that is stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from raysync.models.events import ApiUsage
from raysync.models.ids import ChannelId
from raysync.models.records import DeadLetter, JobRecord
from raysync.models.samples import JobSample
from raysync.models.status import ChannelJobStatus
from raysync.models.work import Failure, VisitSpan


@dataclass(frozen=True, slots=True)
class ChannelHistory:
    """One channel of a job."""

    channel_id: ChannelId
    name: str
    status: ChannelJobStatus
    worker_id: str | None  #: the last that read it
    started_at: datetime | None
    completed_at: datetime | None
    messages: int
    requests: int
    retry_count: int
    failure: Failure | None
    visits: tuple[VisitSpan, ...] | None  #: None: a version that did not tell them ran the job


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A job, its channels, what it asked of Discord, and how that went over time."""

    record: JobRecord
    channels: tuple[ChannelHistory, ...]  #: by id
    usage: Mapping[str, ApiUsage]  #: by worker
    samples: tuple[JobSample, ...]  #: of its last run, by time; none of a version without them
    dead_letters: tuple[DeadLetter, ...]  #: of its channels, those that are still open
