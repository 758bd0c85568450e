"""What travels between driver, workers and store while a job runs."""

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
    """Message ids from *start* up to, and without, *stop*."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"not a range of ids: [{self.start}, {self.stop})")

    def __contains__(self, message_id: int) -> bool:
        return self.start <= message_id < self.stop


UNDOCUMENTED = "not what Discord documents"
"""In the reasons for which channels are left out that this version cannot read."""
MOST_NAMED = 5
"""Records of one channel that are named among those that have no place."""


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A record of a page that no row can be made of: its id cannot be read, or cannot be true."""

    after: MessageId  #: the page is the one behind this message
    position: int  #: in the page as Discord sent it; the first is 1


@dataclass(frozen=True, slots=True)
class ChannelTally:
    """What has been done at a channel in one job so far."""

    requests: int = 0
    pages: int = 0
    messages: int = 0
    reactions: int = 0
    attachments: int = 0
    added: int = 0  #: rows that the database did not have
    edited: int = 0  #: whose earlier version was kept
    deleted: int = 0  #: marked as deleted: they are gone on Discord
    first_message_id: MessageId | None = None
    last_message_id: MessageId | None = None
    extras: ExtraTally = field(default_factory=ExtraTally)
    unplaced: int = 0  #: records of pages that have no place
    unplaced_at: tuple[Unplaced, ...] = ()  #: where the first of them stand
    ties: int = 0  #: milliseconds with more messages than a page holds: not proven complete
    first_tie: MessageId | None = None  #: a message of the first of them
    not_covered: tuple[MissingRoute, ...] = ()  #: what the API has no route for


@dataclass(frozen=True, slots=True)
class VisitSpan:
    """A stretch of time in which a worker read a channel; times in Unix seconds.

    Where a channel was visited too often to tell each time, it stands for several visits.
    """

    worker_id: str
    began_s: float
    ended_s: float
    count: int = 1
    read_s: float = 0.0  #: of its length, in visits


@dataclass(frozen=True, slots=True)
class ChannelTask:
    """One channel to read in one job, in one visit or several."""

    job_id: JobId
    tenant_id: TenantId
    channel_key: ChannelKey
    channel_id: ChannelId
    name: str
    sync_type: SyncType
    window: IdRange  #: from --since up to --until
    last_message_id: MessageId | None  #: as listed at planning: where to stop without asking
    lookback_start: int  #: an incremental run re-reads from here
    expected_pages: float  #: still to read: the most first
    is_guess: bool = False  #: nothing but the channel's age is known: a sample page tells more
    attempt: int = 1
    done: ChannelTally = ChannelTally()  #: by earlier visits
    started_at: datetime | None = None  #: of the first visit
    retries_before: int = 0  #: requests asked again in earlier visits
    paged_ago_s: tuple[float, ...] = ()  #: pages of earlier visits that count in the bucket
    is_hurried: bool = False  #: others wait for the slot
    recheck: tuple[IdRange, ...] = ()  #: old ids that are to be compared again
    only_recheck: bool = False  #: nothing else of the channel's messages is due
    is_read: bool = False  #: its messages are: extras are left
    visits: tuple[VisitSpan, ...] = ()  #: earlier ones
    missing_routes: tuple[MissingRoute, ...] = ()  #: found by any worker of the job


@dataclass(frozen=True, slots=True, order=True)
class ArchiveKey:
    """Which list of archived threads: of a channel, the public or the private one."""

    channel_id: ChannelId
    is_private: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Ids of a channel of which nothing is proven."""

    channel_id: ChannelId
    name: str
    ids: IdRange
    is_news: bool  #: above all that is proven: written since the last sync


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """A channel or thread that is stored and not marked as deleted."""

    id: ChannelId
    type: int
    parent_id: ChannelId | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The exclusive right to read one channel and to write its rows, until the lease expires."""

    task: ChannelTask
    worker_id: str
    epoch: int  #: grows with every claim; a write under an old one is refused
    coverage: tuple[IdRange, ...]  #: proven complete, ascending, apart
    resume_after: MessageId | None  #: where an earlier attempt of the same job stopped
    paged_ago_s: float | None = None  #: since anybody's last page of the channel was written
    has_rows: bool = True  #: whether messages of the channel are stored
    server: str | None = None  #: the life of the database server, which a crash ends


@dataclass(frozen=True, slots=True)
class PageWrite:
    """One page, with what it proves."""

    messages: tuple[Message, ...]
    covered: IdRange | None  #: no message of the channel in this range is missing
    checkpoint: MessageId | None  #: an interrupted attempt goes on after this id
    gone: IdRange | None = None  #: what is stored in it and not in the page was deleted


@dataclass(frozen=True, slots=True)
class PageReceipt:
    """What a page changed in the database."""

    inserted: int
    updated: int
    edited: int = 0  #: of the updated, those whose earlier version was kept
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something was given up."""

    failure_class: FailureClass
    error: str  #: the class of the error
    message: str


@dataclass(frozen=True, slots=True)
class Parked:
    """A channel that gave its slot away before its end: its bucket is empty, or it was sampled."""

    ready_after_s: float  #: until its bucket has room again
    remaining_pages: float | None  #: None: nothing was learned of its size
    paged_ago_s: tuple[float, ...]  #: pages that still count: the bucket goes with the channel
    is_read: bool = False  #: extras alone are left, for which nobody is to wait


@dataclass(frozen=True, slots=True)
class ChannelOutcome:
    """How a visit to a channel ended; its tally and times are of the whole job."""

    channel_id: ChannelId
    status: ChannelJobStatus
    worker_id: str
    attempt: int
    started_at: datetime
    completed_at: datetime
    tally: ChannelTally
    retry_count: int  #: requests asked again
    failure: Failure | None = None
    parked: Parked | None = None
    is_worker_full: bool = False  #: its worker could have asked more with more requests at a time
    visits: tuple[VisitSpan, ...] = ()  #: of the whole job


class LeftOut(StrEnum):
    """Why nothing is asked of a channel."""

    SKIPPED = "skipped"  #: it cannot be read, or was forgotten
    UNCHANGED = "unchanged"  #: Discord's lists name nothing new in it
    COOLING = "cooling"  #: it was given up before, and is left alone for some days


@dataclass(frozen=True, slots=True)
class Skipped:
    """A channel that is left out, and why."""

    channel_id: ChannelId
    name: str
    type: int
    reason: str
    kind: LeftOut = LeftOut.SKIPPED


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """What the store knows of a channel before a run."""

    key: ChannelKey
    channel_id: ChannelId
    coverage: tuple[IdRange, ...]
    message_count: int  #: rows stored, as of the last finished run
    read_at: datetime | None = None  #: when a page of it was last written


@dataclass(frozen=True, slots=True)
class Recheck:
    """Old pages of a channel that are due to be compared with Discord's again."""

    stored: StoredChannel
    name: str
    type: int
    parent_id: ChannelId | None
    last_message_id: MessageId | None
    ids: tuple[IdRange, ...]  #: none: nothing so old is stored
    pages: int
    is_last: bool  #: the channel's old messages end there


@dataclass(frozen=True, slots=True)
class DeadLetterNote:
    """A channel that was given up before, and not read to its end since."""

    cools_until: datetime | None  #: Discord refused it: it is left alone until then
    message: str  #: why it was given up
    due: Recheck  #: the channel as it is stored, with no old pages


@dataclass(frozen=True, slots=True)
class SyncWindow:
    """What a user asked to read: everything by default."""

    sync_type: SyncType
    since: datetime | None = None
    until: datetime | None = None
    channels: frozenset[ChannelId] = field(default_factory=frozenset)  #: empty: all
    lookback_s: float = 0.0
    reconcile_requests: int = 0  #: so many requests read old pages again, beyond the look-back
    sample: int = 0  #: so many random pages are read again by a verification
    extras: Extras = field(default_factory=Extras)

    @property
    def is_whole(self) -> bool:
        """Whether it is about the whole guild and all of its time."""
        return not self.channels and self.since is None and self.until is None
