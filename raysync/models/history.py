"""History of a job: everything that is stored of it."""

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
    """History of one channel in a job."""

    channel_id: ChannelId
    name: str
    status: ChannelJobStatus
    worker_id: str | None  #: the last worker that read the channel
    started_at: datetime | None
    completed_at: datetime | None
    messages: int
    requests: int
    retry_count: int
    failure: Failure | None
    visits: tuple[VisitSpan, ...] | None  #: None: a version that did not record them ran the job


@dataclass(frozen=True, slots=True)
class JobHistory:
    """Job with its channels, its requests to Discord, and its progress over time."""

    record: JobRecord
    channels: tuple[ChannelHistory, ...]  #: by id
    usage: Mapping[str, ApiUsage]  #: by worker
    samples: tuple[JobSample, ...]  #: of the last run, by time; empty for versions before samples
    dead_letters: tuple[DeadLetter, ...]  #: open dead letters of its channels
