"""Values between driver, workers and tracker: headers, reports and views of a job.

Reports are cumulative and numbered, so folding one twice, late or out of order changes nothing. An
actor needs that: its methods run out of order, and again after a crash.
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
    """Progress of one attempt at a channel."""

    channel_id: ChannelId
    attempt: int
    worker_id: str
    started_at: datetime
    tally: ChannelTally
    fraction: float | None  #: share of the channel's time span that is read; None while unknown
    visits: tuple[VisitSpan, ...] = ()  #: of the whole job, up to now


@dataclass(frozen=True, slots=True)
class Written:
    """Writes of one worker for one job since the worker began; repeated pages count again."""

    pages: int = 0
    messages: int = 0
    added: int = 0
    edited: int = 0
    deleted: int = 0
    took: Durations = field(default_factory=Durations)  #: of each page, in the database


@dataclass(frozen=True, slots=True)
class ApiUsage:
    """Requests of one client to Discord for one job, since the client began."""

    calls: Mapping[str, int] = field(default_factory=dict)  #: by ``"METHOD /route status"``
    rate_limit_hits: Mapping[str, int] = field(default_factory=dict)  #: status 429, by scope
    permits: int = 0  #: granted from the token's budget, unused ones included
    permit_wait_s: float = 0.0  #: time waited for permits
    bucket_wait_s: float = 0.0  #: time waited for channels' buckets
    store_s: float = 0.0  #: time spent in the database
    first_request_at: datetime | None = None
    last_request_at: datetime | None = None
    rate: RequestRate = field(default_factory=RequestRate)  #: requests over time
    answers: Durations = field(default_factory=Durations)  #: from a request to its answer
    written: Written = field(default_factory=Written)


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """Report of a worker on one job; the one with the highest *sequence* counts."""

    job_id: JobId
    worker_id: str
    sequence: int
    channels: tuple[ChannelProgress, ...]
    usage: ApiUsage


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """Channel of a job, as the store keeps it."""

    task: ChannelTask
    status: ChannelJobStatus = ChannelJobStatus.PENDING
    attempt: int = 0
    worker_id: str | None = None
    started_at: datetime | None = None
    progress: ChannelProgress | None = None
    outcome: ChannelOutcome | None = None

    @property
    def tally(self) -> ChannelTally:
        """Tally by the newest report."""
        if self.outcome is not None:
            return self.outcome.tally
        return self.progress.tally if self.progress is not None else ChannelTally()

    @property
    def visits(self) -> tuple[VisitSpan, ...]:
        """Visits by the newest report."""
        if self.outcome is not None:
            return self.outcome.visits
        return self.progress.visits if self.progress is not None else self.task.visits


@dataclass(frozen=True, slots=True)
class ChannelView:
    """Channel of a job, as shown to people."""

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
    """Job at one moment, as shown to people. Rates are over the last few seconds."""

    job_id: JobId
    tenant: str
    status: JobStatus
    sync_type: SyncType
    started_at: datetime
    heartbeat_at: datetime
    completed_at: datetime | None
    planning: bool  #: more channels may still be found
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
    channels_unchanged: int = 0  #: without new messages, so not requested
    channels_cooling: int = 0  #: given up before, and not read for some days
