"""The result of a run, as `--json` prints it: a public contract."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True)


class ChannelError(_Result):
    """One thing that went wrong."""

    channel_id: str | None
    error: str
    timestamp: datetime
    name: str | None = None  #: of the channel; None: it is about none, or its name is not stored


class SkippedChannel(_Result):
    """A channel that was left out, and why."""

    channel_id: str
    name: str
    reason: str


class NotCoveredRoute(_Result):
    """What a run could not ask for, since the API has no route for it. No failure."""

    route: str  #: as Discord documents it
    what: str  #: what is not covered without it
    reason: str
    channels: int | None  #: concerned; None: it is about the guild or the bot


class QuarantinedRecord(_Result):
    """A message that is stored, and of which some fields could not be read."""

    channel_id: str
    message_id: str
    fields: list[str]  #: those that could not; "payload": nothing of it is kept


class UnplacedRecord(_Result):
    """A record of a page without an id that a message can have: it is not stored."""

    channel_id: str
    after: str  #: the message that its page was asked for behind
    position: int  #: in the page as Discord sent it; the first is 1


class RequestSeries(_Result):
    """Requests answered in each stretch of a run, from the first to the last."""

    first_at: datetime  #: where the first stretch begins
    bin_s: int  #: how long each stretch is, in seconds
    requests: list[int]


class TimeSpent(_Result):
    """Where a run's time went, in seconds.

    Channels wait side by side: the waits are sums over them, and do not add up to a run's length.
    """

    startup_s: float  #: from the job's beginning to its first request
    tail_s: float  #: at the end, with less than nine tenths of the budget in use
    permit_wait_s: float  #: for the token's budget
    bucket_wait_s: float  #: for channels' own limits, while they held a slot
    database_s: float  #: for pages to be written
    requests: RequestSeries | None  #: None: none was made


class PageEstimates(_Result):
    """How good the estimates were that order the work; of the channels read to their end."""

    channels: int
    guessed: int  #: from their age alone: one page was read first, which told more
    within_twofold: int  #: estimated at more than half and less than twice what was read
    expected_pages: float
    read_pages: int


class ParallelStats(_Result):
    """How well the run used what Discord allows. Times in seconds."""

    max_concurrent_channels: int
    average_channel_time: float
    total_api_calls: int
    rate_limit_encounters: int
    ideal_s: float
    actual_s: float  #: from the first request to the last
    efficiency: float | None  #: ideal_s over actual_s; None: fewer than two requests
    time_spent: TimeSpent | None = None  #: None: a version before this was told ran it
    page_estimates: PageEstimates | None = None  #: None: no channel was read to its end


class CoverageGap(_Result):
    """A stretch of a channel of which it is not proven that every message is stored."""

    channel_id: str
    name: str
    after: datetime  #: it begins at that time ...
    before: datetime  #: ... and ends at that one
    is_news: bool  #: written since the channel was last synced


class Verification(_Result):
    """What is proven of a tenant's archive, against Discord's own lists."""

    channels: int  #: that the bot can read
    proven: int  #: complete from the first message to the newest
    gaps: list[CoverageGap]


class ChannelResult(_Result):
    """How one channel ended."""

    channel_id: str
    status: Literal["completed", "failed", "pending"]
    worker_id: str | None
    started_at: datetime | None
    completed_at: datetime | None
    messages_processed: int
    last_message_id: str | None
    error: str | None
    retry_count: int


class SyncJobResult(_Result):
    """How one tenant's job ended."""

    job_id: str
    tenant: str
    status: Literal["completed", "partial", "failed", "cancelled"]
    channels_processed: int
    channels_unchanged: int  #: asked nothing of: Discord's lists name nothing new in them
    channels_total: int = 0  #: that were found: the sum of the two before and the three below
    channels_failed: int = 0
    channels_skipped: int = 0
    channels_left: int = 0  #: not read to their end, not begun, or left alone for some days
    channels_deleted: int = 0  #: found to exist no more; their messages are kept
    messages_processed: int
    messages_added: int = 0  #: that were not stored yet
    messages_edited: int = 0  #: whose earlier version is kept
    messages_deleted: int = 0  #: marked as deleted, and kept
    reactions_processed: int
    attachments_processed: int
    reactors_read: int = 0  #: users, each once for each emoji of a message; with --reactors
    files_stored: int = 0  #: attachments whose bytes were stored; with --attachments
    file_bytes_stored: int = 0
    files_failed: int = 0  #: whose bytes could not be had: tried again by later runs
    errors: list[ChannelError]
    skipped: list[SkippedChannel]
    not_covered: list[NotCoveredRoute] = []  #: each once, however many channels it concerns
    started_at: datetime
    completed_at: datetime
    parallel_stats: ParallelStats
    channel_results: list[ChannelResult]
    verification: Verification | None = None  #: None: the job was no verification
    quarantined: int = 0  #: messages of the tenant, at the job's end, that could not be read whole
    quarantined_messages: list[QuarantinedRecord] = []  #: the first of them
    unplaced: int = 0  #: records that are not stored, for they have no id a message can have
    unplaced_records: list[UnplacedRecord] = []  #: where the first of them stand


class RunResult(_Result):
    """What `raysync start --json` prints."""

    jobs: list[SyncJobResult]
