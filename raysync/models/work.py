"""Units of work: values between driver, workers and store while a job runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from raysync.models.entities import Message
from raysync.models.extras import Extras, ExtraTally
from raysync.models.ids import ChannelId, ChannelKey, JobId, MessageId, TenantId
from raysync.models.not_covered import MissingRoute
from raysync.models.status import ChannelJobStatus, FailureClass, SyncType


@dataclass(frozen=True, slots=True, order=True)
class IdRange:
    """Range of message ids, from *start* up to, but without, *stop*."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"not a range of ids: [{self.start}, {self.stop})")

    def __contains__(self, message_id: int) -> bool:
        return self.start <= message_id < self.stop


UNDOCUMENTED = "not what Discord documents"
"""Part of the reason for leaving out a channel that this version cannot read."""
MOST_NAMED = 5
"""Limit on the unplaced records of one channel that are listed."""


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Record of a page that becomes no row: its id cannot be read, or cannot be true."""

    after: MessageId  #: message after which the page was requested
    position: int  #: in the page as Discord sent it; the first is 1


@dataclass(frozen=True, slots=True)
class ChannelTally:
    """Tally of a channel in one job so far."""

    requests: int = 0
    pages: int = 0
    messages: int = 0
    reactions: int = 0
    attachments: int = 0
    added: int = 0  #: newly stored messages
    edited: int = 0  #: updated messages; the earlier version is kept
    deleted: int = 0  #: messages marked as deleted on Discord
    first_message_id: MessageId | None = None
    last_message_id: MessageId | None = None
    extras: ExtraTally = field(default_factory=ExtraTally)
    unplaced: int = 0  #: records of pages that became no row
    unplaced_at: tuple[Unplaced, ...] = ()  #: positions of the first of these records
    ties: int = 0  #: milliseconds with more messages than a page holds: not proven complete
    first_tie: MessageId | None = None  #: a message of the first such millisecond
    not_covered: tuple[MissingRoute, ...] = ()  #: routes that the API lacks


@dataclass(frozen=True, slots=True)
class VisitSpan:
    """Period in which a worker read a channel; times in Unix seconds.

    If a channel had too many visits to keep each, a span stands for several of them.
    """

    worker_id: str
    began_s: float
    ended_s: float
    count: int = 1  #: number of visits
    read_s: float = 0.0  #: time in visits, as a part of the span


@dataclass(frozen=True, slots=True)
class ChannelTask:
    """Channel to read in one job, in one visit or several."""

    job_id: JobId
    tenant_id: TenantId
    channel_key: ChannelKey
    channel_id: ChannelId
    name: str
    sync_type: SyncType
    window: IdRange  #: from --since up to --until
    last_message_id: MessageId | None  #: as listed at planning: reading can stop there
    lookback_start: int  #: id from which an incremental run reads again
    expected_pages: float  #: still to read; the largest channels come first
    is_guess: bool = False  #: estimated by age alone, so a sample page is read first
    attempt: int = 1
    done: ChannelTally = ChannelTally()  #: by earlier visits
    started_at: datetime | None = None  #: of the first visit
    retries_before: int = 0  #: retried requests of earlier visits
    paged_ago_s: tuple[float, ...] = ()  #: ages of earlier pages that still count in the bucket
    is_hurried: bool = False  #: other channels wait for the slot
    recheck: tuple[IdRange, ...] = ()  #: old ids to compare again
    only_recheck: bool = False  #: no other messages of the channel are due
    is_read: bool = False  #: the messages are read; only extras are left
    visits: tuple[VisitSpan, ...] = ()  #: earlier visits
    missing_routes: tuple[MissingRoute, ...] = ()  #: found by any worker of the job


@dataclass(frozen=True, slots=True, order=True)
class ArchiveKey:
    """Key of a list of archived threads: each channel has a public and a private one."""

    channel_id: ChannelId
    is_private: bool


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """State of a list of archived threads after the last run that compared all of it."""

    compared_at: datetime | None  #: when that run began; None: void, or by an earlier version
    archived_until: datetime | None = None  #: threads archived before it were read; None: no thread
    last_message_id: MessageId | None = None  #: of the channel, as listed then
    routes: str = ""  #: routes that were requested, which depend on permissions and on the type
    missing: frozenset[ChannelId] = frozenset()  #: threads once active that no list named any more


@dataclass(frozen=True, slots=True)
class ArchiveTally:
    """Comparison of a guild's archived threads, as of the end of a run."""

    lists: int  #: lists that the bot may request
    compared: int  #: of these, compared in the run
    unsettled: int  #: requested by the run, and not read to their end
    since: datetime | None  #: every other list was compared since then; None: there is no other


@dataclass(frozen=True, slots=True)
class Gap:
    """Range of a channel's ids that is not proven complete."""

    channel_id: ChannelId
    name: str
    ids: IdRange
    is_news: bool  #: above all proven ranges: written since the last sync


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """Channel or thread that is stored and not marked as deleted."""

    id: ChannelId
    type: int
    parent_id: ChannelId | None
    is_active: bool = False  #: a thread that was not archived when a list last named it


@dataclass(frozen=True, slots=True)
class Claim:
    """Exclusive right to read one channel and to write its rows, until the lease expires."""

    task: ChannelTask
    worker_id: str
    epoch: int  #: grows with every claim; a write under an old one is refused
    coverage: tuple[IdRange, ...]  #: proven complete; ascending and disjoint
    resume_after: MessageId | None  #: checkpoint of an earlier attempt in the same job
    paged_ago_s: float | None = None  #: age of the channel's last page, of any job
    has_rows: bool = True  #: messages of the channel are stored
    server: str | None = None  #: id of the database server's current start; a restart changes it
    unreported: ChannelTally = ChannelTally()  #: pages that a dead worker committed


@dataclass(frozen=True, slots=True)
class PageWrite:
    """Page to write, with what it proves."""

    messages: tuple[Message, ...]
    covered: IdRange | None  #: range in which no message of the channel is missing
    checkpoint: MessageId | None  #: id after which an interrupted attempt continues
    gone: IdRange | None = None  #: range in which stored messages outside the page were deleted
    requested_s: float | None = None  #: monotonic time of the request; None: now


@dataclass(frozen=True, slots=True)
class PageReceipt:
    """Changes of a page in the database."""

    inserted: int
    updated: int
    edited: int = 0  #: the part of `updated` with an earlier version that was kept
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Reason for giving up a channel."""

    failure_class: FailureClass
    error: str  #: the class of the error
    message: str


@dataclass(frozen=True, slots=True)
class Parked:
    """Channel that gave its slot away early: its bucket is empty, or it was only sampled."""

    ready_after_s: float  #: until its bucket has room again
    remaining_pages: float | None  #: None: its size is still unknown
    paged_ago_s: tuple[float, ...]  #: ages of pages that still count in the bucket
    is_read: bool = False  #: only extras are left; no messages have to wait for them


@dataclass(frozen=True, slots=True)
class ChannelOutcome:
    """End of a visit to a channel; its tally and times are of the whole job."""

    channel_id: ChannelId
    status: ChannelJobStatus
    worker_id: str
    attempt: int
    started_at: datetime
    completed_at: datetime
    tally: ChannelTally
    retry_count: int  #: number of retried requests
    failure: Failure | None = None
    parked: Parked | None = None
    is_worker_full: bool = False  #: its worker is short of in-flight places or of CPU
    visits: tuple[VisitSpan, ...] = ()  #: of the whole job


class LeftOut(StrEnum):
    """Reason for not requesting a channel."""

    SKIPPED = "skipped"  #: it cannot be read, or was forgotten
    UNCHANGED = "unchanged"  #: Discord's lists name no new message
    COOLING = "cooling"  #: given up before, and not read for some days


@dataclass(frozen=True, slots=True)
class Skipped:
    """Channel that is left out, with the reason."""

    channel_id: ChannelId
    name: str
    type: int
    reason: str
    kind: LeftOut = LeftOut.SKIPPED


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """State of a channel in the store before a run."""

    key: ChannelKey
    channel_id: ChannelId
    coverage: tuple[IdRange, ...]
    message_count: int  #: rows stored, as of the last finished run
    read_at: datetime | None = None  #: time at which its last page was written


@dataclass(frozen=True, slots=True)
class Recheck:
    """Old pages of a channel that are due for another comparison with Discord."""

    stored: StoredChannel
    name: str
    type: int
    parent_id: ChannelId | None
    last_message_id: MessageId | None
    ids: tuple[IdRange, ...]  #: empty: no such old messages are stored
    pages: int
    is_last: bool  #: no old messages are above these


@dataclass(frozen=True, slots=True)
class DeadLetterNote:
    """Channel that was given up before, and not read to its end since."""

    cools_until: datetime | None  #: not read before this time, because Discord refused it
    message: str  #: reason for giving up
    due: Recheck  #: the channel as stored, with no old pages


@dataclass(frozen=True, slots=True)
class SyncWindow:
    """Scope of a sync that a user asks for: everything by default."""

    sync_type: SyncType
    since: datetime | None = None
    until: datetime | None = None
    channels: frozenset[ChannelId] = field(default_factory=frozenset)  #: empty: all
    lookback_s: float = 0.0
    reconcile_requests: int = 0  #: requests for comparing old pages beyond the look-back again
    sample: int = 0  #: random pages that a verification reads again
    extras: Extras = field(default_factory=Extras)
    archives_every_s: float = 0.0  #: window for comparing lists of archived threads; 0: each run
    listened_since: datetime | None = None  #: a tail heard everything since; the run relies on it
    messages: frozenset[tuple[ChannelId, MessageId]] = frozenset()  #: read these and no others

    @property
    def is_whole(self) -> bool:
        """True if it covers the whole guild and all of its time."""
        is_bounded = self.channels or self.since is not None or self.until is not None
        return not is_bounded and not self.messages
