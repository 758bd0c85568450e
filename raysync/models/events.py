"""What workers stream to the tracker, and what the tracker tells.

Reports are cumulative and numbered: folding one twice, late or out of order changes nothing,
which is what an actor whose methods run out of order and again after a crash needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from raysync.models.durations import Durations
from raysync.models.extras import Extras, ExtraTally
from raysync.models.ids import ChannelId, JobId
from raysync.models.rates import RequestRate
from raysync.models.status import ChannelJobStatus, JobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTally, ChannelTask, Failure, VisitSpan


@dataclass(frozen=True, slots=True)
class JobHeader:
    """Facts of a job that are known before its first request."""

    job_id: JobId
    tenant: str  #: the slug
    sync_type: SyncType
    started_at: datetime
    budget_per_second: float  #: the token's requests per second
    channel_pages_per_second: float = 1.0
    extras: Extras = field(default_factory=Extras)  #: read in addition to messages


@dataclass(frozen=True, slots=True)
class ChannelProgress:
    """Where one attempt at a channel stands."""

    channel_id: ChannelId
    attempt: int
    worker_id: str
    started_at: datetime
    tally: ChannelTally
    fraction: float | None  #: of the channel's time span already read; None while unknown
    visits: tuple[VisitSpan, ...] = ()  #: up to now


@dataclass(frozen=True, slots=True)
class Written:
    """What one worker has written for one job since it began; pages written again count again."""

    pages: int = 0
    messages: int = 0
    added: int = 0
    edited: int = 0
    deleted: int = 0
    took: Durations = field(default_factory=Durations)  #: in the database, by the page


@dataclass(frozen=True, slots=True)
class ApiUsage:
    """What one client has asked of Discord for one job since the client began."""

    calls: Mapping[str, int] = field(default_factory=dict)  #: by ``"METHOD /route status"``
    rate_limit_hits: Mapping[str, int] = field(default_factory=dict)  #: 429 by scope
    permits: int = 0  #: granted of the token's budget, those never used too
    permit_wait_s: float = 0.0  #: waited for them
    bucket_wait_s: float = 0.0  #: waited for a channel's bucket
    store_s: float = 0.0  #: spent in the database
    first_request_at: datetime | None = None
    last_request_at: datetime | None = None
    rate: RequestRate = field(default_factory=RequestRate)  #: when it asked
    answers: Durations = field(default_factory=Durations)  #: from sending to the answer
    written: Written = field(default_factory=Written)


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker has done for one job; the highest *sequence* of a worker counts."""

    job_id: JobId
    worker_id: str
    sequence: int
    channels: tuple[ChannelProgress, ...]
    usage: ApiUsage


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One channel of a job, as the store keeps it."""

    task: ChannelTask
    status: ChannelJobStatus = ChannelJobStatus.PENDING
    attempt: int = 0
    worker_id: str | None = None
    started_at: datetime | None = None
    progress: ChannelProgress | None = None
    outcome: ChannelOutcome | None = None

    @property
    def tally(self) -> ChannelTally:
        """What has been done, by the newest word of it."""
        if self.outcome is not None:
            return self.outcome.tally
        return self.progress.tally if self.progress is not None else ChannelTally()

    @property
    def visits(self) -> tuple[VisitSpan, ...]:
        """When it was read, by the newest word of it."""
        if self.outcome is not None:
            return self.outcome.visits
        return self.progress.visits if self.progress is not None else self.task.visits


@dataclass(frozen=True, slots=True)
class ChannelView:
    """One channel of a job, as shown to people."""

    channel_id: ChannelId
    name: str
    status: ChannelJobStatus
    worker_id: str | None
    messages: int
    messages_per_second: float
    fraction: float | None
    eta_s: float | None
    retry_count: int = 0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """A job at one moment, as shown to people. Rates are over the last few seconds."""

    job_id: JobId
    tenant: str
    status: JobStatus
    sync_type: SyncType
    started_at: datetime
    heartbeat_at: datetime
    completed_at: datetime | None
    planning: bool  #: more channels may yet be found
    channels_total: int
    channels_completed: int
    channels_failed: int
    channels_skipped: int
    messages: int
    requests: int
    rate_limit_encounters: int
    messages_per_second: float
    requests_per_second: float
    budget_per_second: float
    fraction: float | None
    eta_s: float | None
    channels: tuple[ChannelView, ...] = ()
    extras: ExtraTally = field(default_factory=ExtraTally)
    channels_unchanged: int = 0  #: asked nothing of
    channels_cooling: int = 0  #: given up before, and left alone for some days
