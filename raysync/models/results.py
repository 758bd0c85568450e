"""Result of a run, as `--json` prints it: a public contract."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True)


class ChannelError(_Result):
    """One error of a job."""

    channel_id: str | None
    error: str
    timestamp: datetime
    name: str | None = None  #: of the channel; None: no channel, or its name is not stored


class SkippedChannel(_Result):
    """Channel that was left out, with the reason."""

    channel_id: str
    name: str
    reason: str


class NotCoveredRoute(_Result):
    """Content that a run could not request, because the API lacks the route. No failure."""

    route: str  #: as Discord documents it
    what: str  #: content that is not covered without the route
    reason: str
    channels: int | None  #: channels concerned; None: the route concerns the guild or the bot


class ArchivedThreads(_Result):
    """Comparison of the archived threads, which runs divide among them (`--archives-every`)."""

    lists: int  #: lists of archived threads that the bot may request
    compared: int  #: of these, compared in this run
    unsettled: int  #: requested in this run, and not read to their end; the next run repeats them
    compared_since: datetime | None  #: all others were compared since then; null: there are none


class QuarantinedRecord(_Result):
    """Stored message with fields that could not be read."""

    channel_id: str
    message_id: str
    fields: list[str]  #: unreadable fields; "payload": the whole payload was dropped


class UnplacedRecord(_Result):
    """Record of a page that is not stored, because no message can have its id."""

    channel_id: str
    after: str  #: message after which the page was requested
    position: int  #: in the page as Discord sent it; the first is 1


class RequestSeries(_Result):
    """Requests answered in each bin of a run, from the first to the last."""

    first_at: datetime  #: start of the first bin
    bin_s: int  #: length of a bin, in seconds
    requests: list[int]


class TimeSpent(_Result):
    """Distribution of a run's time, in seconds.

    Channels wait side by side, so the sums of their waits do not add up to a run's length.
    """

    startup_s: float  #: from the job's start to its first request
    tail_s: float  #: at the end, with less than nine tenths of the budget in use
    permit_wait_s: float  #: waits for the token's budget
    bucket_wait_s: float  #: waits for channels' own limits, while they held a slot
    database_s: float  #: writes of pages
    requests: RequestSeries | None  #: None: no request was made


class PageEstimates(_Result):
    """Quality of the estimates that order the work, for channels read to their end."""

    channels: int
    guessed: int  #: estimated by age alone; their first page gave a better estimate
    within_twofold: int  #: estimated at more than half and less than twice the pages read
    expected_pages: float
    read_pages: int


class ParallelStats(_Result):
    """Use of Discord's limits by the run. Times are in seconds."""

    max_concurrent_channels: int
    average_channel_time: float
    total_api_calls: int
    rate_limit_encounters: int
    ideal_s: float
    actual_s: float  #: from the first request to the last
    efficiency: float | None  #: ideal_s over actual_s; None: fewer than two requests
    time_spent: TimeSpent | None = None  #: None: an earlier version ran the job
    page_estimates: PageEstimates | None = None  #: None: no channel was read to its end


class CoverageGap(_Result):
    """Time range of a channel in which messages may be missing from the archive."""

    channel_id: str
    name: str
    after: datetime  #: start of the range
    before: datetime  #: end of the range
    is_news: bool  #: written since the channel was last synced


class Verification(_Result):
    """Proven part of a tenant's archive, compared with Discord's own lists."""

    channels: int  #: channels that the bot can read
    proven: int  #: complete from the first message to the newest
    gaps: list[CoverageGap]


class ChannelResult(_Result):
    """Result of one channel."""

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
    """Result of one tenant's job."""

    job_id: str
    tenant: str
    status: Literal["completed", "partial", "failed", "cancelled"]
    channels_processed: int
    channels_unchanged: int  #: not requested: Discord's lists name no new message
    channels_total: int = 0  #: channels found: the sum of the two above and the three below
    channels_failed: int = 0
    channels_skipped: int = 0
    channels_left: int = 0  #: interrupted, not begun, or not read for some days
    channels_deleted: int = 0  #: deleted on Discord; their messages are kept
    messages_processed: int
    messages_added: int = 0  #: newly stored
    messages_edited: int = 0  #: updated; the earlier version is kept
    messages_deleted: int = 0  #: marked as deleted, and kept
    reactions_processed: int
    attachments_processed: int
    reactors_read: int = 0  #: users, each once per emoji of a message; with --reactors
    files_stored: int = 0  #: attachments with newly stored bytes; with --attachments
    file_bytes_stored: int = 0
    files_failed: int = 0  #: attachments that could not be downloaded; later runs retry them
    errors: list[ChannelError]
    skipped: list[SkippedChannel]
    not_covered: list[NotCoveredRoute] = []  #: each route once
    archived_threads: ArchivedThreads | None = None  #: null: a failed run, or of named channels
    listened_since: datetime | None = None  #: a tail heard everything since: nothing was compared
    started_at: datetime
    completed_at: datetime
    parallel_stats: ParallelStats
    channel_results: list[ChannelResult]
    verification: Verification | None = None  #: None: the job was no verification
    quarantined: int = 0  #: the tenant's messages with unreadable fields, at the job's end
    quarantined_messages: list[QuarantinedRecord] = []  #: the first of these messages
    unplaced: int = 0  #: records that are not stored, because no message can have their id
    unplaced_records: list[UnplacedRecord] = []  #: positions of the first of these records


class RunResult(_Result):
    """Output of `raysync start --json`."""

    jobs: list[SyncJobResult]
